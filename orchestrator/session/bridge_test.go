package session

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/coder/websocket"

	"hardnode.dev/internal/wire/host"
	frames "hardnode.dev/internal/wire/session"
)

// TestBridgeBreaks: a person whose session's host goes away is told that the link broke, and of a command that ended that it did.
func TestBridgeBreaks(t *testing.T) {
	for _, c := range []struct {
		name   string
		host   func(*websocket.Conn, *frames.Link)
		broken bool
		code   int
	}{
		{"the agent is killed", func(c *websocket.Conn, _ *frames.Link) { c.CloseNow() }, true, 255},
		{"the command ends", func(_ *websocket.Conn, l *frames.Link) { l.Exit(host.Exit{Code: 7}) }, false, 7},
		{"it is refused", func(_ *websocket.Conn, l *frames.Link) { l.Exit(host.Exit{Code: 125, Error: "full"}) }, false, 125},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			ends := make(chan *websocket.Conn)
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				conn, err := websocket.Accept(w, r, nil)
				if err != nil {
					t.Error(err)
					return
				}
				ends <- conn
				<-ctx.Done()
			}))
			defer srv.Close()
			defer cancel()
			pair := func() (here, there *websocket.Conn) {
				t.Helper()
				there, _, err := websocket.Dial(ctx, srv.URL, nil)
				if err != nil {
					t.Fatal(err)
				}
				return <-ends, there
			}
			person, atPerson := pair()
			node, atNode := pair()
			bridged := make(chan struct{})
			go func() { defer close(bridged); Bridge(ctx, person, node) }()
			far := frames.Open(ctx, atNode, frames.HostEnd, frames.Options{})
			defer far.Close()
			me := frames.Open(ctx, atPerson, frames.PersonEnd, frames.Options{})
			defer me.Close()
			go io.Copy(io.Discard, me.Reader(host.ChanStderr))
			go c.host(atNode, far)
			io.Copy(io.Discard, me.Reader(host.ChanStdout))
			exit, err := me.Exited()
			if err != nil || exit.Broken != c.broken || exit.Code != c.code || c.broken && exit.Error == "" {
				t.Errorf("got %+v, %v; want broken %t and code %d", exit, err, c.broken, c.code)
			}
			me.Close()
			<-bridged
		})
	}
}
