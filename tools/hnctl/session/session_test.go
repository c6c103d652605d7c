package session

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/coder/websocket"

	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/session"
)

// far is the node's side of one session: it writes size bytes and ends with code 0.
func far(t *testing.T, size int) *websocket.Conn {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{host.SessionProtocol}})
		if err != nil {
			t.Error(err)
			return
		}
		l := session.Open(r.Context(), c, session.HostEnd, session.Options{})
		l.Writer(host.ChanStdout).Write(make([]byte, size))
		l.Exit(host.Exit{})
		l.Close()
	}))
	t.Cleanup(s.Close)
	c, _, err := websocket.Dial(t.Context(), s.URL, &websocket.DialOptions{Subprotocols: []string{host.SessionProtocol}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// full takes some bytes, then no more, as a full disk does. It says so only when the node's side is done.
type full struct{ room int }

var errFull = errors.New("no space left")

func (f *full) Write(p []byte) (int, error) {
	if f.room -= len(p); f.room < 0 {
		return 0, errFull
	}
	return len(p), nil
}

// The key that leaves ends the session here: what was typed before it is sent, what comes after it is not, and nobody waits for the node.
func TestDetach(t *testing.T) {
	got := make(chan string, 1)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{host.SessionProtocol}})
		if err != nil {
			t.Error(err)
			return
		}
		l := session.Open(r.Context(), c, session.HostEnd, session.Options{})
		b, _ := io.ReadAll(l.Reader(host.ChanStdin)) // it breaks
		got <- string(b)
		l.Close()
	}))
	defer s.Close()
	c, _, err := websocket.Dial(t.Context(), s.URL, &websocket.DialOptions{Subprotocols: []string{host.SessionProtocol}})
	if err != nil {
		t.Fatal(err)
	}
	in := bytes.NewReader([]byte("ls\n\x1dnot this"))
	if exit, err := Run(t.Context(), c, IO{In: in, Out: io.Discard, Err: io.Discard, Detach: 0x1d}); err != nil || exit.Code != 0 {
		t.Errorf("%+v %v", exit, err)
	}
	if b := <-got; b != "ls\n" {
		t.Errorf("the node got %q", b)
	}
}

// Output that could not be written is never a success, though the command's own code was 0 and has come already.
func TestOutputThatIsNotWritten(t *testing.T) {
	for range 50 { // the exit frame races with the failed write
		exit, err := Run(t.Context(), far(t, 2*host.MaxFrame), IO{Out: &full{room: host.MaxFrame}, Err: io.Discard, TTY: true})
		if !errors.Is(err, errFull) {
			t.Fatalf("got exit %+v, %v; want %v", exit, err, errFull)
		}
	}
	var all bytes.Buffer
	if exit, err := Run(t.Context(), far(t, 1<<20), IO{Out: &all, Err: io.Discard}); err != nil || exit.Code != 0 || all.Len() != 1<<20 {
		t.Errorf("got %d bytes, exit %+v, %v", all.Len(), exit, err)
	}
}
