package move

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"hardnode.dev/agent/move/talk"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/move"
)

// leaving is a connection that breaks at the moment when its host's agent ends.
type leaving struct {
	net.Conn
	end context.CancelFunc
}

func (l leaving) Write(b []byte) (int, error)      { return len(b), nil }
func (l leaving) Read([]byte) (int, error)         { return 0, io.EOF }
func (l leaving) Close() error                     { l.end(); return nil }
func (l leaving) SetDeadline(time.Time) error      { return nil }
func (l leaving) SetReadDeadline(time.Time) error  { return nil }
func (l leaving) SetWriteDeadline(time.Time) error { return nil }

// TestHangUp: a connection that breaks while the agent ends, or the move is given up, is an error, and not the end of the agent.
func TestHangUp(t *testing.T) {
	for range 500 {
		ctx, cancel := context.WithCancel(t.Context())
		p := &pull{id: 101, move: "m1", m: &Mover{o: Options{
			Dial: func(context.Context, wire.HostID, wire.CTID, string) (net.Conn, error) {
				return leaving{end: cancel}, nil
			}}}}
		if _, err := p.ask(ctx, ct(move.To, one, move.Copy, 0), talk.Ask{}); err == nil {
			t.Fatal("it was answered")
		}
	}
}
