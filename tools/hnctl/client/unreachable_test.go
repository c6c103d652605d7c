package client

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/testkit/ports"
)

// TestUnreachable: what is slow or wrong is said by its phase, with the next step, and a slow one counts as timed out.
func TestUnreachable(t *testing.T) {
	silent := listen(t, func(c net.Conn) { io.Copy(io.Discard, c) })
	cuts := listen(t, func(c net.Conn) { c.Close() })
	block := make(chan struct{})
	t.Cleanup(func() { close(block) })
	wait := func(r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-block:
		}
	}
	busy, pin := pinned(t, func(_ http.ResponseWriter, r *http.Request) { wait(r) })
	stops, stopsPin := pinned(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "100")
		w.Write([]byte("{"))
		w.(http.Flusher).Flush()
		wait(r)
	})
	leaves, leavesPin := pinned(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	breaks, breaksPin := pinned(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		w.Write([]byte("{"))
	})
	other := "sha256:" + strings.Repeat("0b", 32)
	for _, c := range []struct {
		name, server, pin string
		at                Phase
		slow              bool
		text, next        string
	}{
		{"nothing listens", ports.Own(t), other, PhaseConnect, false, "connecting: refused: nothing listens there",
			"the infra host runs"},
		{"no such name", "nosuch.invalid:7443", other, PhaseResolve, false, "resolving the name: ", "DNS"},
		{"accepts and is silent", silent, other, PhaseHandshake, true, "TLS handshake took too long (", "overloaded"},
		{"accepts and closes", cuts, other, PhaseHandshake, false, "TLS handshake: the connection was c", "of one cluster"},
		{"another key", busy, other, PhaseHandshake, false, "TLS handshake: ", "pin"},
		{"does not answer", busy, pin, PhaseAnswer, true, "waiting for the answer took too long (", "--timeout"},
		{"closes in place of an answer", leaves, leavesPin, PhaseAnswer, false, "waiting for the answer: the connection was closed",
			"hnctl op list"},
		{"stops in the answer", stops, stopsPin, PhaseRead, true, "reading the answer took too long (", "try again"},
		{"breaks off the answer", breaks, breaksPin, PhaseRead, false, "reading the answer: the connection was closed", "try again"},
	} {
		t.Run(c.name, func(t *testing.T) {
			limit := time.Minute
			if c.slow {
				limit = time.Second
			}
			err := patiently(t, limit, c.at, func(ctx context.Context) error {
				return Pinned("https://"+c.server, c.pin, "x").Call(ctx, "GET", "/", nil, nil)
			})
			var got NoAnswer
			if !errors.As(err, &got) || len(got) != 1 {
				t.Fatalf("got %T %v, want one server that gave no answer", err, err)
			}
			if got[0].At != c.at || got.Timeout() != c.slow {
				t.Errorf("got phase %d, slow %v; want %d, %v: %v", got[0].At, got.Timeout(), c.at, c.slow, err)
			}
			if s := err.Error(); !strings.Contains(s, "https://"+c.server+": "+c.text) || strings.HasSuffix(s, ":") ||
				strings.Contains(s, "net/http") {
				t.Errorf("got %q, want the server and %q", s, c.text)
			}
			if !strings.Contains(got.Next(), c.next) {
				t.Errorf("next: got %q, want %q in it", got.Next(), c.next)
			}
		})
	}
	t.Run("websocket", func(t *testing.T) {
		err := patiently(t, time.Second, PhaseAnswer, func(ctx context.Context) error {
			_, err := Pinned("https://"+busy, pin, "x").Dial(ctx, "/", nil)
			return err
		})
		var got NoAnswer
		if !errors.As(err, &got) || got[0].At != PhaseAnswer || !got.Timeout() {
			t.Errorf("got %v, want that the answer was waited for", err)
		}
	})
	t.Run("as a transport", func(t *testing.T) {
		err := patiently(t, time.Second, PhaseAnswer, func(ctx context.Context) error {
			req, err := http.NewRequestWithContext(ctx, "GET", "https://"+busy+"/v2/", nil)
			if err != nil {
				t.Fatal(err)
			}
			_, err = (&http.Client{Transport: Watched(&http.Transport{TLSClientConfig: identity.PinnedTLS(pin)})}).Do(req)
			return err
		})
		var got *Unreachable
		if !errors.As(err, &got) || got.At != PhaseAnswer || !got.Slow || got.Server != "https://"+busy {
			t.Errorf("got %v, want that the answer was waited for", err)
		}
	})
	t.Run("interrupted", func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		enough := errors.New("enough")
		cancel(enough)
		if err := Pinned("https://"+busy, pin, "x").Call(ctx, "GET", "/", nil, nil); !errors.Is(err, enough) {
			t.Errorf("got %v, want the cause", err)
		}
	})
}

// patiently calls with a limit, and again with a longer one while a busy machine did not come as far as the phase that is to be slow.
func patiently(t *testing.T, limit time.Duration, at Phase, call func(context.Context) error) error {
	for {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		err := call(ctx)
		cancel()
		var one *Unreachable
		var all NoAnswer
		if errors.As(err, &all) {
			one = all[0]
		}
		if one == nil && !errors.As(err, &one) || !one.Slow || one.At >= at || limit > 30*time.Second {
			return err
		}
		limit *= 3
	}
}

func listen(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { c.Close() })
			if serve != nil {
				go serve(c)
			}
		}
	}()
	return l.Addr().String()
}

// pinned serves h with a key of its own.
func pinned(t *testing.T, h http.HandlerFunc) (addr, pin string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0",
		&tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: h}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return l.Addr().String(), identity.Pin(cert)
}
