package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/testkit/ports"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/front"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/hostapi/hosttest"
	"hardnode.dev/orchestrator/store"
)

// programs is the folder of those that tests build, and building each of them once.
var (
	programs string
	building sync.Map
)

func TestMain(m *testing.M) { os.Exit(withPrograms(m)) }

func withPrograms(m *testing.M) int {
	var err error
	if programs, err = os.MkdirTemp("", "programs"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(programs)
	return m.Run()
}

// built is where the program of a package is, which is built once for all tests: a build is a lot of work beside hosts that are to answer
// in time.
func built(t testing.TB, pkg string) string {
	t.Helper()
	once, _ := building.LoadOrStore(pkg, sync.OnceValues(func() (string, error) {
		program := filepath.Join(programs, path.Base(pkg))
		build := exec.Command("go", "build", "-buildvcs=false", "-o", program, pkg)
		build.Env = append(os.Environ(), "CGO_ENABLED=0") // as all else is built, so that most of it is there
		if out, err := build.CombinedOutput(); err != nil {
			return "", fmt.Errorf("build %s: %v\n%s", pkg, err, out)
		}
		return program, nil
	}))
	program, err := once.(func() (string, error))()
	if err != nil {
		t.Fatal(err)
	}
	return program
}

// resolver runs the resolver's program beside this orchestrator, with the infra host h as its agent, until the test ends. It
// gives back where it serves HTTP and HTTPS, once it does.
func (c *cluster) resolver(h *hosttest.Host) (plain, secure, names string) {
	c.t.Helper()
	c.eventually("the infra host's components are known", func() bool {
		for _, ct := range h.Work().Containers {
			if ct.CTID == 4 {
				return true
			}
		}
		return false
	})
	dir := c.t.TempDir()
	program := built(c.t, "./resolver")
	socket, err := net.Listen("unix", filepath.Join(dir, "id.sock"))
	must(c.t, err)
	agent := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q identity.ComponentCSR
		var got host.RenewReply
		err := json.NewDecoder(r.Body).Decode(&q)
		if err == nil {
			err = h.Call(r.Context(), "POST", host.PathComponent, host.ComponentRequest{CTID: 4, CSR: q.CSR}, &got)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		json.NewEncoder(w).Encode(got)
	})}
	go agent.Serve(socket)
	c.t.Cleanup(func() { agent.Close() })
	config, err := json.Marshal(boot.ResolverConfig{Version: 1, Cluster: c.seed.Cluster, CAPin: identity.Pin(c.root.Cert),
		Orchestrator: []string{c.hostAddr}})
	must(c.t, err)
	must(c.t, os.WriteFile(filepath.Join(dir, "resolver.json"), config, 0o600))
	plain, secure, names = ports.Own(c.t), ports.Own(c.t), ports.Own(c.t)
	ctx, stop := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, program, "-config", filepath.Join(dir, "resolver.json"), "-data", filepath.Join(dir, "data"),
		"-listen", plain, "-listen-tls", secure, "-listen-dns", names, "-identity", filepath.Join(dir, "id.sock"))
	said := &strings.Builder{}
	cmd.Stderr = said
	must(c.t, cmd.Start())
	c.t.Cleanup(func() {
		stop()
		cmd.Wait()
		if c.t.Failed() {
			c.t.Logf("the resolver said:\n%s", said)
		}
	})
	c.eventually("the resolver listens", func() bool {
		for _, addr := range []string{plain, secure} {
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				return false
			}
			conn.Close()
		}
		return true
	})
	return plain, secure, names
}

// shown asks over HTTPS, and gives back the SHA-256 of the certificate that was shown, and the answer.
func shown(ctx context.Context, secure, name string, roots *x509.CertPool) (sum string, status int, body string, err error) {
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true, ForceAttemptHTTP2: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", secure)
		}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+name+"/", nil)
	if err != nil {
		return "", 0, "", err
	}
	req.Header.Set("Accept", "text/html")
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return "", 0, "", err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	hash := sha256.Sum256(resp.TLS.PeerCertificates[0].Raw)
	return hex.EncodeToString(hash[:]), resp.StatusCode, string(raw), err
}

// TestUploadReachesClients: from a certificate's upload by the API, through the resolver's own process, to a client that believes it; and
// back to none. A client of the environment's own name believes the web CA. The orchestrator's end ends nothing of it.
func TestUploadReachesClients(t *testing.T) {
	t.Parallel()
	c := found(t, 2, "infra1", "host1")
	c.start()
	infra, _ := c.join("infra1", 0)
	c.join("host1", 0)
	c.create(hello("hello", 1))
	var a operator.Accepted
	c.ok("POST", "/api/v1/environments/hello/stop", nil, &a)
	c.ended(a.Operation.ID)
	c.ok("PUT", "/api/v1/environments/hello/route", front.Settings{Pages: []front.Page{{Name: "down", HTML: "<p>asleep"}}}, nil)
	_, secure, _ := c.resolver(infra)

	var ca operator.WebCA
	c.eventually("there is a web CA", func() bool { return c.call("GET", "/api/v1/web-ca", nil, &ca) == nil })
	believed := x509.NewCertPool()
	if !believed.AppendCertsFromPEM([]byte(ca.PEM)) {
		t.Fatal("the web CA is no PEM")
	}
	own := "hello." + ca.Domain
	served := func(name, want string, roots *x509.CertPool) {
		t.Helper()
		c.eventually("clients of "+name+" are shown "+want, func() bool {
			sum, status, body, err := shown(t.Context(), secure, name, roots)
			if want == "" {
				return err != nil && strings.Contains(err.Error(), "unrecognized name")
			}
			return err == nil && (want == "a certificate" || sum == want) && status == 503 && body == "<p>asleep"
		})
	}
	served(own, "a certificate", believed)

	pair, der := pairFor(t, "shop.example")
	sum := sha256.Sum256(der)
	mine := x509.NewCertPool()
	mine.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	c.ok("PUT", "/api/v1/environments/hello/domains/shop.example", front.Scheme{}, nil)
	served("shop.example", "", mine)
	c.ok("PUT", "/api/v1/environments/hello/certificates/shop.example", pair, nil)
	served("shop.example", hex.EncodeToString(sum[:]), mine)
	c.stopped()
	got, status, _, err := shown(t.Context(), secure, "shop.example", mine)
	if err != nil || got != hex.EncodeToString(sum[:]) || status != 503 {
		t.Errorf("without the orchestrator: %d, %v", status, err)
	}
	c.start()
	c.ok("DELETE", "/api/v1/environments/hello/certificates/shop.example", nil, nil)
	served("shop.example", "", mine)
}

// TestAccessLog: an environment's access log is read by the resolver's own program in its container, with what was asked for and no more.
func TestAccessLog(t *testing.T) {
	t.Parallel()
	c := found(t, 2, "infra1", "host1")
	c.start()
	c.join("infra1", 0)
	c.join("host1", 0)
	c.create(hello("hello", 1))
	e, _ := store.Envs.Get(c.o.store.View(), "hello")
	c.eventually("the resolver runs", func() bool {
		n, ok := c.o.seen(wire.AdminAccount).Node(4)
		return ok && n.State == string(host.CtRunning)
	})
	out, exit := drain(t, c.dialAt("environments/hello/access-log?tail=3&follow=true"))
	if want := "/resolver -access-log " + front.LogName("hello", e.Created) + " -tail 3 -follow\n"; out != want || exit.Error != "" {
		t.Errorf("got %q, %+v, want %q", out, exit, want)
	}
	for _, q := range []string{"?tail=-1", "?tail=x", "?follow=maybe", "?argv=sh"} {
		p := c.call("GET", "/api/v1/environments/hello/access-log"+q, nil, nil, "Upgrade", "websocket")
		if p == nil || p.Code != operator.Invalid || p.Next == "" {
			t.Errorf("%s: %v", q, p)
		}
	}
	var viewer operator.MadeToken
	c.ok("POST", "/api/v1/tokens", operator.NewToken{Name: "viewer", Scopes: []string{"read"}}, &viewer)
	c.as(viewer.Text, func() {
		p := c.call("GET", "/api/v1/environments/hello/access-log", nil, nil, "Upgrade", "websocket")
		if p == nil || p.Code != operator.Denied {
			t.Errorf("with scope read: %v", p)
		}
	})
}
