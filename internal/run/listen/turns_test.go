package listen

import (
	"context"
	"crypto"
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
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// slowKey is a key whose signature waits until somebody lets it go on, as on a machine without CPU.
type slowKey struct {
	*ecdsa.PrivateKey
	now, most atomic.Int64
	goOn      chan struct{} // closed: don't wait
}

func (k *slowKey) Sign(r io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	n := k.now.Add(1)
	defer k.now.Add(-1)
	for {
		most := k.most.Load()
		if n <= most || k.most.CompareAndSwap(most, n) {
			break
		}
	}
	<-k.goOn
	return k.PrivateKey.Sign(r, digest, o)
}

func slow(t *testing.T) (*slowKey, *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	k := &slowKey{PrivateKey: key, goOn: make(chan struct{})}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)},
		&x509.Certificate{SerialNumber: big.NewInt(1)}, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return k, &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: k}}}
}

// Of many handshakes that come at once few are computed at a time, and all that wait get their turn.
func TestFewHandshakesAtOnce(t *testing.T) {
	key, conf := slow(t)
	at := serveTLS(t, conf)
	const callers = 40
	var all sync.WaitGroup
	failed := make(chan error, callers)
	for range callers {
		all.Go(func() {
			c, err := tls.Dial("tcp", at, &tls.Config{InsecureSkipVerify: true})
			if err != nil {
				failed <- err
				return
			}
			c.Close()
		})
	}
	places := int64(runtime.GOMAXPROCS(0) + 1)
	until(t, "as many handshakes as there are places", func() bool { return key.now.Load() == places })
	close(key.goOn)
	all.Wait()
	close(failed)
	for err := range failed {
		t.Errorf("a caller: %v", err)
	}
	if most := key.most.Load(); most > places {
		t.Errorf("%d handshakes were computed at once, want %d at most", most, places)
	}
}

// Callers who begin a handshake and leave it there hold no turn.
func TestHandshakesLeftHoldNothing(t *testing.T) {
	key, conf := slow(t)
	close(key.goOn)
	at := serveTLS(t, conf)
	for range 3 * (runtime.GOMAXPROCS(0) + 1) {
		c, err := net.Dial("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		go tls.Client(deaf{c}, &tls.Config{InsecureSkipVerify: true}).Handshake() // says hello and hears no answer
	}
	c, err := tls.DialWithDialer(&net.Dialer{Timeout: 30 * time.Second}, "tcp", at, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatalf("beside callers that left their handshakes: %v", err)
	}
	c.Close()
}

// Whoever gets no turn is told so by the end of the connection, before its own patience ends.
func TestNoTurn(t *testing.T) {
	turns := &turns{make(chan struct{}, 1)}
	turns.places <- struct{}{}
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	c := &turnConn{Conn: near, turns: turns}
	began := time.Now()
	if err := c.take(t.Context()); !errors.Is(err, errNoTurn) || time.Since(began) < turnWait {
		t.Errorf("got %v after %v, want %v after %v", err, time.Since(began), errNoTurn, turnWait)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.take(gone); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller that is gone waits: %v", err)
	}
	c.give()
	if len(turns.places) != 1 {
		t.Error("a turn was given back that was never taken")
	}
}

type deaf struct{ net.Conn }

func (d deaf) Read([]byte) (int, error) { select {} }

func serveTLS(t *testing.T, conf *tls.Config) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	serve := HTTP(l, conf, http.NotFoundHandler(), Limits{End: time.Second}, nil)
	go func() { ended <- serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}
