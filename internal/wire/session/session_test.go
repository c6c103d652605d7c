package session

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/host"
)

// sockets are the two ends of one WebSocket over TCP; protocols are what the person's and the host's end name.
func sockets(t *testing.T, person, node []string) (p, n *websocket.Conn) {
	t.Helper()
	got := make(chan *websocket.Conn, 1)
	over := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: node})
		if err != nil {
			t.Error(err)
			return
		}
		got <- c
		<-over
	}))
	t.Cleanup(func() { close(over); s.Close() })
	p, _, err := websocket.Dial(t.Context(), s.URL, &websocket.DialOptions{Subprotocols: person})
	if err != nil {
		t.Fatal(err)
	}
	n = <-got
	t.Cleanup(func() { p.CloseNow(); n.CloseNow() })
	return p, n
}

var spoken = []string{host.SessionProtocol}

// quick makes a minute of signs of life pass in a second and a half.
var quick = Options{Alive: 100 * time.Millisecond, Gone: 1500 * time.Millisecond, Ping: true}

func links(t *testing.T, o Options) (p, n *Link) {
	t.Helper()
	pc, nc := sockets(t, spoken, spoken)
	p, n = Open(t.Context(), pc, PersonEnd, o), Open(t.Context(), nc, HostEnd, o)
	t.Cleanup(func() {
		p.Break(errOver)
		n.Break(errOver)
		p.Close()
		n.Close()
	})
	return p, n
}

func random(t *testing.T, n int) []byte {
	t.Helper()
	b := make([]byte, n)
	if _, err := rand.Read(b); err != nil {
		t.Fatal(err)
	}
	return b
}

// lazy takes nothing for a while, then everything.
type lazy struct {
	got   bytes.Buffer
	pause time.Duration
}

func (l *lazy) Write(p []byte) (int, error) {
	if l.pause > 0 {
		run.Wait(context.Background(), l.pause)
		l.pause = 0
	}
	return l.got.Write(p)
}

// Nobody takes the output for longer than a dead peer would be waited for: the session lives on, and every byte comes.
func TestSlowReader(t *testing.T) {
	for _, tt := range []struct {
		name         string
		person, node []string
	}{{"windows", spoken, spoken}, {"an older person", nil, spoken}, {"an older host", spoken, nil}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			pc, nc := sockets(t, tt.person, tt.node)
			p, n := Open(t.Context(), pc, PersonEnd, quick), Open(t.Context(), nc, HostEnd, Options{Alive: quick.Alive, Gone: quick.Gone})
			want := random(t, 5<<20)
			sent := make(chan error, 1)
			go func() {
				_, err := n.Writer(host.ChanStdout).Write(want)
				sent <- errors.Join(err, n.Exit(host.Exit{Code: 3}))
				n.Close()
			}()
			got := &lazy{pause: 2 * quick.Gone}
			if _, err := io.Copy(got, p.Reader(host.ChanStdout)); err != nil {
				t.Fatalf("after %d bytes: %v", got.got.Len(), err)
			}
			if sha256.Sum256(got.got.Bytes()) != sha256.Sum256(want) {
				t.Errorf("%d bytes came, other than the %d sent", got.got.Len(), len(want))
			}
			if exit, err := p.Exited(); exit.Code != 3 || err != nil {
				t.Errorf("exit %+v, %v", exit, err)
			}
			if err := <-sent; err != nil {
				t.Error(err)
			}
			p.Close()
		})
	}
}

// stdin waits for a process that does not read, at a bounded cost, while its output flows; its end comes after its last byte.
func TestStdinWaits(t *testing.T) {
	t.Parallel()
	p, n := links(t, quick)
	want := random(t, 3<<20)
	w := &counted{w: p.Writer(host.ChanStdin)}
	fed := make(chan error, 1)
	go func() {
		_, err := io.Copy(w, bytes.NewReader(want))
		fed <- errors.Join(err, p.Writer(host.ChanStdin).Close())
	}()
	for range 20 { // output in both streams meanwhile
		for _, c := range []host.Channel{host.ChanStdout, host.ChanStderr} {
			go n.Writer(c).Write([]byte("line\n"))
			line := make([]byte, 5)
			if _, err := io.ReadFull(p.Reader(c), line); err != nil {
				t.Fatal(err)
			}
		}
		run.Wait(t.Context(), quick.Alive)
	}
	if w.n != 0 {
		t.Errorf("%d bytes were sent to a reader that never asked", w.n)
	}
	got, err := io.ReadAll(n.Reader(host.ChanStdin))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("got %d bytes of %d, %v", len(got), len(want), err)
	}
	if err := <-fed; err != nil {
		t.Error(err)
	}
}

type counted struct {
	w io.Writer
	n int
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += n
	return n, err
}

// One output that nobody takes does not hold the other.
func TestChannelsAreApart(t *testing.T) {
	t.Parallel()
	p, n := links(t, quick)
	stuck := make(chan error, 1)
	go func() {
		_, err := n.Writer(host.ChanStdout).Write(make([]byte, 1<<20))
		stuck <- err
	}()
	io.ReadFull(p.Reader(host.ChanStdout), make([]byte, 1))
	go n.Writer(host.ChanStderr).Write(make([]byte, 1<<20))
	if _, err := io.ReadFull(p.Reader(host.ChanStderr), make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-stuck:
		t.Fatalf("1 MiB of output went to nobody: %v", err)
	default:
	}
	p.Break(errors.New("enough"))
	if err := <-stuck; !errors.Is(err, ErrBroken) {
		t.Errorf("the writer of a broken session got %v", err)
	}
}

// A link that breaks is never an end of stdin or of output.
func TestBrokenIsNoEnd(t *testing.T) {
	t.Parallel()
	p, n := links(t, quick)
	go func() {
		p.Writer(host.ChanStdin).Write([]byte("half"))
		n.Writer(host.ChanStdout).Write([]byte("a part"))
	}()
	half := make([]byte, 4)
	if _, err := io.ReadFull(n.Reader(host.ChanStdin), half); err != nil || string(half) != "half" {
		t.Fatalf("%q, %v", half, err)
	}
	part := make([]byte, 6)
	if _, err := io.ReadFull(p.Reader(host.ChanStdout), part); err != nil {
		t.Fatal(err)
	}
	p.ws.CloseNow()
	for name, r := range map[string]io.Reader{"stdin": n.Reader(host.ChanStdin), "stdout": p.Reader(host.ChanStdout)} {
		if _, err := r.Read(half); !errors.Is(err, ErrBroken) {
			t.Errorf("%s of a broken session ended with %v", name, err)
		}
	}
	if _, err := p.Exited(); !errors.Is(err, ErrBroken) {
		t.Errorf("the exit of a broken session: %v", err)
	}
	<-n.Done()
}

// A peer that is silent is gone; one that only sends signs of life is not.
func TestSilentPeer(t *testing.T) {
	t.Parallel()
	pc, nc := sockets(t, spoken, spoken)
	n := Open(t.Context(), nc, HostEnd, quick)
	began := time.Now()
	for time.Since(began) < 2*quick.Gone {
		if err := pc.Write(t.Context(), websocket.MessageBinary, host.Frame(host.ChanAlive, nil)); err != nil {
			t.Fatal(err)
		}
		run.Wait(t.Context(), quick.Alive)
	}
	select {
	case <-n.Done():
		t.Fatalf("a living peer was taken for dead: %v", n.Err())
	default:
	}
	select {
	case <-n.Done():
	case <-time.After(10 * quick.Gone):
		t.Fatal("a silent peer was waited for without an end")
	}
	if !strings.Contains(n.Err().Error(), "nothing came from the other side for 1.5s") {
		t.Error(n.Err())
	}
	n.Close()
}

// What a peer may not send ends the session with a word why.
func TestRefusedFrames(t *testing.T) {
	for _, tt := range []struct {
		name  string
		end   End
		frame []byte
	}{
		{"more than allowed", HostEnd, host.Frame(host.ChanStdin, make([]byte, 1))},
		{"output from a person", HostEnd, host.Frame(host.ChanStdout, []byte("x"))},
		{"exit from a person", HostEnd, host.Frame(host.ChanExit, host.ExitPayload(host.Exit{}))},
		{"stdin from a host", PersonEnd, host.Frame(host.ChanStdin, []byte("x"))},
		{"a window for stdin from a person", HostEnd, host.Frame(host.ChanWindow, host.WindowPayload(host.ChanStdin, 1))},
		{"half a window", HostEnd, host.Frame(host.ChanWindow, []byte{1, 0, 0})},
		{"half a size", HostEnd, host.Frame(host.ChanResize, []byte{1, 0, 0})},
		{"exit that is no JSON", PersonEnd, host.Frame(host.ChanExit, []byte("0"))},
		{"unknown channel", PersonEnd, []byte{7}},
		{"nothing", PersonEnd, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pc, nc := sockets(t, spoken, spoken)
			ours, peer := pc, nc
			if tt.end == HostEnd {
				ours, peer = nc, pc
			}
			l := Open(t.Context(), ours, tt.end, Options{})
			if err := peer.Write(t.Context(), websocket.MessageBinary, tt.frame); err != nil {
				t.Fatal(err)
			}
			_, _, err := peer.Read(t.Context())
			if websocket.CloseStatus(err) != websocket.StatusPolicyViolation {
				t.Errorf("got %v", err)
			}
			<-l.Done()
			l.Close()
		})
	}
	t.Run("windows without an end", func(t *testing.T) {
		pc, nc := sockets(t, spoken, spoken)
		l := Open(t.Context(), nc, HostEnd, Options{})
		for range 2 {
			pc.Write(t.Context(), websocket.MessageBinary, host.Frame(host.ChanWindow, host.WindowPayload(host.ChanStdout, host.MaxWindow)))
		}
		if _, _, err := pc.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusPolicyViolation {
			t.Errorf("got %v", err)
		}
		l.Close()
	})
}

// Sizes of a terminal: the newest counts, and nobody waits for one who does not take them.
func TestResize(t *testing.T) {
	t.Parallel()
	p, n := links(t, quick)
	for i := range uint16(100) {
		if err := p.Resize(i, 80); err != nil {
			t.Fatal(err)
		}
	}
	p.Writer(host.ChanStdin).Close()
	if b, err := io.ReadAll(n.Reader(host.ChanStdin)); len(b) != 0 || err != nil {
		t.Fatal(b, err)
	}
	if got := <-n.Resizes(); got != [2]uint16{99, 80} {
		t.Errorf("got %v", got)
	}
}

// A link may be broken without a reason, and by more than one.
func TestBreakWithoutAReason(t *testing.T) {
	t.Parallel()
	pc, _ := sockets(t, spoken, spoken)
	p := Open(t.Context(), pc, PersonEnd, quick)
	p.Break(nil)
	p.Break(nil)
	p.Close()
	if p.Err() == nil {
		t.Error("a broken link has no error")
	}
}
