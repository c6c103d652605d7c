package mount

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// asked are moves that say who asked for what.
type asked struct{}

func (asked) Gives(*host.Work) bool { return true }

func (asked) Serve(_ context.Context, conn net.Conn, of wire.CTID, move string, to wire.HostID) error {
	_, err := fmt.Fprintf(conn, "%s goes to %s by %s", of, to, move)
	conn.Close()
	return err
}

// TestMoveDoor: who asks for a container is who its certificate says, and comes in by the same door.
func TestMoveDoor(t *testing.T) {
	f := newFleet(t)
	server, client := f.host(h1), f.host(h2)
	server.o.Moves = func() Moves { return asked{} }
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { server.Run(ctx); close(done) }()
	defer func() { stop(); <-done }()
	var conn net.Conn
	eventually(t, "the door is closed", func() (ok bool) {
		var err error
		if conn, err = client.DialMove(t.Context(), h1, 101, "m1"); err != nil && strings.Contains(err.Error(), "another form") {
			t.Skip(err)
		}
		return err == nil
	})
	defer conn.Close()
	if got, err := io.ReadAll(conn); string(got) != "101 goes to h-000000000002 by m1" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := client.DialMove(t.Context(), h3, 101, "m1"); err == nil {
		t.Error("a host whose address is not known was reached")
	}
	if _, err := f.host(h3).DialMove(t.Context(), h2, 101, "m1"); err == nil {
		t.Error("another host than the one that was asked for was taken")
	}
}
