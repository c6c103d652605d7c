package identity

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/wire/host"
)

const cluster = "cl-0123456789abcdef"

func authority(t *testing.T, now time.Time) *Authority {
	t.Helper()
	root, err := NewRoot(cluster, now)
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
	a, err := OpenAuthority(cluster, root.Cert.Raw, issuing.Cert.Raw, key)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func holder(t *testing.T, a *Authority, p Peer, now time.Time) *Holder {
	t.Helper()
	key, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	csr, err := CSR(key)
	if err != nil {
		t.Fatal(err)
	}
	chain, err := a.Sign(csr, p, []string{"127.0.0.1", "localhost"}, now)
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewCredential(key, chain)
	if err != nil {
		t.Fatal(err)
	}
	h := &Holder{}
	h.Set(c)
	return h
}

var (
	user         = Peer{Host: "h-0123456789ab", Role: host.RoleUser, Name: "host-1"}
	orchestrator = Peer{CTID: 3, Component: "orchestrator"}
	registry     = Peer{CTID: 1, Component: "registry", Host: "h-0123456789ab"}
)

func TestPeerRoundTrip(t *testing.T) {
	now := time.Now()
	a := authority(t, now)
	for _, p := range []Peer{user, orchestrator, registry} {
		got := holder(t, a, p, now).Get().Peer()
		key := got.Key
		got.Key, got.Cluster = nil, ""
		if got.String() != p.String() || got.Host != p.Host || got.Role != p.Role || len(key) != ed25519.PublicKeySize {
			t.Errorf("got %+v, want %+v", got, p)
		}
	}
}

func TestSignRefuses(t *testing.T) {
	now := time.Now()
	a := authority(t, now)
	key, _ := NewKey()
	csr, _ := CSR(key)
	for name, p := range map[string]Peer{
		"bad host id":            {Host: "h-1", Role: host.RoleUser, Name: "a"},
		"bad role":               {Host: user.Host, Role: "king", Name: "a"},
		"name with a slash":      {Host: user.Host, Role: host.RoleUser, Name: "a/b"},
		"component as user":      {CTID: 100, Component: "orchestrator"},
		"component with a slash": {CTID: 3, Component: "a/b"},
	} {
		if _, err := a.Sign(csr, p, nil, now); err == nil {
			t.Errorf("%s: signed", name)
		}
	}
	csr[len(csr)-1] ^= 1
	if _, err := a.Sign(csr, user, nil, now); err == nil {
		t.Error("a request with a bad signature was signed")
	}
}

// TestTLS pairs servers and clients: who reaches whom, and what the refusal says.
func TestTLS(t *testing.T) {
	now := time.Now()
	ours, theirs := authority(t, now), authority(t, now)
	trust := Trust{Pin: Pin(ours.Root), Cluster: cluster}
	before := Trust{Pin: trust.Pin, Cluster: cluster, Now: func() time.Time { return now.AddDate(-1, 0, 0) }}
	later := Trust{Pin: trust.Pin, Cluster: cluster, Now: func() time.Time { return now.Add(25 * time.Hour) }}
	tests := []struct {
		name           string
		server, client *Holder
		trust          Trust
		want           string
	}{
		{"host reaches orchestrator", holder(t, ours, orchestrator, now), holder(t, ours, user, now), trust, ""},
		{"without a certificate", holder(t, ours, orchestrator, now), nil, trust, ""},
		{"another host in its place", holder(t, ours, user, now), holder(t, ours, user, now), trust, "want component orchestrator"},
		{"another component in its place", holder(t, ours, registry, now), nil, trust, "want component orchestrator"},
		{"another cluster", holder(t, theirs, orchestrator, now), nil, trust, "check CA pin"},
		{"client of another cluster", holder(t, ours, orchestrator, now), holder(t, theirs, user, now), trust, "remote error"},
		{"expired", holder(t, ours, orchestrator, now), nil, later, "has expired: it ended at"},
		{"a clock that is a year behind", holder(t, ours, orchestrator, now), nil, before, ""},
		{"a clock that is behind, another cluster", holder(t, theirs, orchestrator, now), nil, before, "check CA pin"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l, err := tls.Listen("tcp", "127.0.0.1:0", ServerTLS(trust, nil, tt.server))
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			seen := make(chan Peer, 1)
			go func() {
				c, err := l.Accept()
				if err != nil {
					return
				}
				defer c.Close()
				tc := c.(*tls.Conn)
				if tc.Handshake() == nil {
					s := tc.ConnectionState()
					p, _ := ClientOf(&s, time.Now())
					seen <- p
					c.Write([]byte("x"))
				}
			}()
			c, err := tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", l.Addr().String(),
				ClientTLS(tt.trust, WantComponent("orchestrator"), tt.client))
			if err == nil {
				defer c.Close()
				_, err = c.Read(make([]byte, 1))
			}
			switch {
			case tt.want != "":
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("got %v, want an error with %q", err, tt.want)
				}
			case err != nil:
				t.Errorf("got %v, want a connection", err)
			case tt.client != nil && (<-seen).Host != user.Host:
				t.Error("the server saw another client")
			}
		})
	}
}

func TestJoinToken(t *testing.T) {
	text, rec, err := NewJoinToken("host-1", host.RoleUser, time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if id, err := JoinTokenID(text); err != nil || id != rec.ID {
		t.Errorf("got id %q, %v; want %q", id, err, rec.ID)
	}
	if HashToken(text) != rec.Hash || strings.Contains(rec.Hash, text.Reveal()[13:]) {
		t.Error("the record does not hold the token's hash")
	}
	if _, err := JoinTokenID("hn1.xyz"); err == nil {
		t.Error("a malformed token was accepted")
	}
}

func TestLoadKeyKeepsTheKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	a, err := LoadKey(path)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := LoadKey(path); err != nil || !a.Equal(b) {
		t.Errorf("got another key, %v", err)
	}
}

func TestKeepComponent(t *testing.T) {
	now := time.Now()
	a := authority(t, now)
	sock := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", sock)
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked++; asked == 1 { // the orchestrator is not there yet
			http.Error(w, "not yet", http.StatusServiceUnavailable)
			return
		}
		var req ComponentCSR
		if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
			t.Error(err)
		}
		chain, err := a.Sign(req.CSR, registry, nil, now)
		if err != nil {
			t.Error(err)
		}
		json.NewEncoder(w).Encode(host.RenewReply{Chain: chain, Now: now})
	})}
	go srv.Serve(l)
	defer srv.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	h, done := &Holder{}, make(chan error, 1)
	go func() { done <- KeepComponent(ctx, nil, sock, Trust{Pin: Pin(a.Root), Cluster: cluster}, h) }()
	for h.Get() == nil && ctx.Err() == nil {
		time.Sleep(10 * time.Millisecond)
	}
	cancel()
	if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if h.Get() == nil || h.Get().Peer().Component != "registry" {
		t.Error("no certificate came")
	}
}
