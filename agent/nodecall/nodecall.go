// Package nodecall answers what is asked of one container beside commands, logs and JEM's actions.
//
// Owns: the carrying of bytes to a container's port, the pace of samples.
// In: a question of internal/wire/nodecall, the session's streams.
// Out: what the container runtime did or knows.
// Never: decides that a container shall run, or waits for a peer that is gone.
package nodecall

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"sync"

	"hardnode.dev/agent/container/command"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/backup"
	"hardnode.dev/internal/wire/nodecall"
)

// Calls is what questions are answered by.
type Calls struct {
	Restart func(context.Context, wire.CTID) error // stops a container that is to run; the applier starts it again
	Runtime Runtime
	Backups Backups
}

// Backups is what is needed of agent/backup.
type Backups interface {
	Send(ctx context.Context, id wire.CTID, want backup.Create, out io.Writer) error
	Take(ctx context.Context, id wire.CTID, want backup.Take, in io.Reader, out io.Writer) error
}

// Runtime is what is needed of agent/container.
type Runtime interface {
	Dial(ctx context.Context, id wire.CTID, port uint16) (net.Conn, error)
	Sample(ctx context.Context, id wire.CTID) (nodecall.Sample, error)
	Console(ctx context.Context, id wire.CTID, want nodecall.Console, stdio command.Stdio) error
}

// Answer answers one question; stdio is the session's.
func (c Calls) Answer(ctx context.Context, id wire.CTID, a nodecall.Ask, stdio command.Stdio) error {
	if err := a.Validate(); err != nil {
		return fmt.Errorf("container %s: %v", id, err)
	}
	switch {
	case a.Restart != nil:
		return c.Restart(ctx, id)
	case a.Forward != nil:
		conn, err := c.Runtime.Dial(ctx, id, a.Forward.Port)
		if err != nil {
			return err
		}
		return carry(ctx, conn, stdio.In, stdio.Out)
	case a.Console != nil:
		return c.Runtime.Console(ctx, id, *a.Console, stdio)
	case a.Backup != nil:
		return c.Backups.Send(ctx, id, *a.Backup, stdio.Out)
	case a.TakeBack != nil:
		return c.Backups.Take(ctx, id, *a.TakeBack, stdio.In, stdio.Out)
	default:
		return c.top(ctx, id, *a.Top, stdio.Out)
	}
}

// carry copies both ways until the container's side has sent all of its bytes, or ctx ends. The end of in is told to the container.
func carry(ctx context.Context, conn net.Conn, in io.ReadCloser, out io.Writer) error {
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	var sending sync.WaitGroup
	sending.Go(func() {
		if _, err := io.Copy(conn, in); err == nil {
			if half, ok := conn.(interface{ CloseWrite() error }); ok {
				half.CloseWrite()
			}
		}
	})
	_, err := io.Copy(out, conn)
	conn.Close()
	in.Close()
	sending.Wait()
	if err != nil {
		return fmt.Errorf("carry bytes to the container's port: %v", err)
	}
	return nil
}

// top writes samples.
func (c Calls) top(ctx context.Context, id wire.CTID, t nodecall.Top, out io.Writer) error {
	for n := 1; ; n++ {
		s, err := c.Runtime.Sample(ctx, id)
		if err == nil {
			err = json.NewEncoder(out).Encode(s)
		}
		if err != nil || n == t.Count {
			return err
		}
		if !run.Wait(ctx, t.Pause()) {
			return nil
		}
	}
}
