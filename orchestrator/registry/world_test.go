package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/testkit/ports"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/host"
)

type world struct {
	*testing.T
	authority *identity.Authority
	dir       string
	addr      string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	now := time.Now()
	root, err := identity.NewRoot(cluster, now)
	if err != nil {
		t.Fatal(err)
	}
	issuing, err := root.Issue(cluster, now)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(issuing.Key)
	if err != nil {
		t.Fatal(err)
	}
	a, err := identity.OpenAuthority(cluster, root.Cert.Raw, issuing.Cert.Raw, key)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, authority: a, dir: t.TempDir()}
	sum := sha256.Sum256([]byte(token))
	w.json("registry.json", boot.RegistryConfig{Version: 1, Cluster: cluster, CAPin: w.pin(), PushToken: fmt.Sprintf("sha256:%x", sum)})
	l, err := net.Listen("unix", filepath.Join(w.dir, "identity.sock"))
	if err != nil {
		t.Fatal(err)
	}
	agent := &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		var q identity.ComponentCSR
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
			t.Error(err)
		}
		chain, err := a.Sign(q.CSR, identity.Peer{CTID: 1, Component: "registry", Host: "h-0123456789ab"},
			[]string{"localhost", "127.0.0.1", "::1"}, time.Now())
		if err != nil {
			t.Error(err)
		}
		json.NewEncoder(rw).Encode(host.RenewReply{Chain: chain, Now: time.Now()})
	})}
	go agent.Serve(l)
	t.Cleanup(func() { agent.Close() })
	return w
}

func (w *world) pin() string { return identity.Pin(w.authority.Root) }

func (w *world) json(file string, v any) {
	w.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		w.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(w.dir, file), raw, 0o600); err != nil {
		w.Fatal(err)
	}
}

// start runs the program as a child of the test and waits until it answers; the returned function kills it, as a power cut would.
func (w *world) start() (kill func()) {
	w.Helper()
	w.addr = ports.Own(w)
	var log bytes.Buffer
	cmd := exec.Command(os.Args[0], "-config", filepath.Join(w.dir, "registry.json"), "-data", filepath.Join(w.dir, "data"), "-listen",
		w.addr, "-identity", filepath.Join(w.dir, "identity.sock"))
	cmd.Env, cmd.Stderr, cmd.Stdout = append(os.Environ(), "REGISTRY_CHILD=1"), &log, &log
	if err := cmd.Start(); err != nil {
		w.Fatal(err)
	}
	dead := false
	kill = func() {
		if !dead {
			dead = true
			cmd.Process.Kill()
			cmd.Wait()
			if w.Failed() {
				w.Logf("log of the registry:\n%s", log.String())
			}
		}
	}
	w.Cleanup(kill)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		resp, err := w.as(nil).Get("https://" + w.addr + host.PathHealthz)
		if err == nil {
			resp.Body.Close()
			return kill
		}
		if !run.Wait(ctx, 20*time.Millisecond) {
			w.Fatalf("the registry does not answer: %v\n%s", err, log.String())
		}
	}
}

// as is a client with the given identity, or with none.
func (w *world) as(p *identity.Peer) *http.Client {
	return &http.Client{Timeout: 20 * time.Second, Transport: w.transport(p)}
}

func (w *world) transport(p *identity.Peer) *http.Transport {
	w.Helper()
	var self *identity.Holder
	if p != nil {
		key, err := identity.NewKey()
		if err != nil {
			w.Fatal(err)
		}
		csr, err := identity.CSR(key)
		if err != nil {
			w.Fatal(err)
		}
		chain, err := w.authority.Sign(csr, *p, nil, time.Now())
		if err != nil {
			w.Fatal(err)
		}
		c, err := identity.NewCredential(key, chain)
		if err != nil {
			w.Fatal(err)
		}
		self = &identity.Holder{}
		self.Set(c)
	}
	t := &http.Transport{TLSClientConfig: identity.ClientTLS(identity.Trust{Pin: w.pin(), Cluster: cluster},
		identity.WantComponent("registry"), self), DisableKeepAlives: true}
	return t
}

var aHost = &identity.Peer{Host: "h-0123456789ab", Role: host.RoleUser, Name: "host-1"}

func (w *world) image(layers int, size int64) v1.Image {
	w.Helper()
	img, err := random.Image(size, int64(layers), random.WithSource(fixed{rand.New(rand.NewPCG(1, uint64(size)))}))
	if err != nil {
		w.Fatal(err)
	}
	img, err = mutate.Config(img, v1.Config{Entrypoint: []string{"/x"}, Labels: map[string]string{"io.hardnode.http-port": "80"}})
	if err != nil {
		w.Fatal(err)
	}
	cf, err := img.ConfigFile()
	if err != nil {
		w.Fatal(err)
	}
	cf = cf.DeepCopy()
	cf.OS, cf.Architecture = "linux", "amd64"
	if img, err = mutate.ConfigFile(img, cf); err != nil {
		w.Fatal(err)
	}
	return img
}

type fixed struct{ *rand.Rand }

func (f fixed) Int63() int64 { return f.Int64() }
func (f fixed) Seed(int64)   {}

func (w *world) ref(n string) name.Reference {
	w.Helper()
	ref, err := name.ParseReference(w.addr + "/" + n)
	if err != nil {
		w.Fatal(err)
	}
	return ref
}

func (w *world) push(n string, img v1.Image, password string) error {
	return remote.Write(w.ref(n), img, remote.WithTransport(w.transport(nil)),
		remote.WithAuth(&authn.Basic{Username: "admin", Password: password}))
}

func (w *world) list() (host.Templates, int) {
	w.Helper()
	resp, err := w.as(aHost).Get("https://" + w.addr + host.PathImages)
	if err != nil {
		w.Fatal(err)
	}
	defer resp.Body.Close()
	l, err := host.DecodeTemplates(resp.Body)
	if err != nil {
		w.Fatal(err)
	}
	return l, resp.StatusCode
}

func (w *world) do(c *http.Client, method, path, body, bearer string) (int, string, http.Header) {
	w.Helper()
	req, err := http.NewRequest(method, "https://"+w.addr+path, strings.NewReader(body))
	if err != nil {
		w.Fatal(err)
	}
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	resp, err := c.Do(req)
	if err != nil {
		w.Fatal(err)
	}
	defer resp.Body.Close()
	raw, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(raw), resp.Header
}

// until waits for something to be so.
func (w *world) until(what string, so func() bool) {
	w.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for !so() {
		if !run.Wait(ctx, 20*time.Millisecond) {
			l, _ := w.list()
			w.Fatalf("a minute is over, and not yet: %s; the list: %+v", what, l)
		}
	}
}
