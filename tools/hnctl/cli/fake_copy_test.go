package cli

import (
	"context"
	"io"
	"path/filepath"
	"strings"

	"github.com/coder/websocket"

	"hardnode.dev/internal/filecopy"
	"hardnode.dev/internal/wire/host"
)

// channel writes to one channel of a session.
type channel struct {
	ctx context.Context
	c   *websocket.Conn
	to  host.Channel
}

func (w channel) Write(b []byte) (int, error) {
	for done := 0; done < len(b); done += host.MaxFrame {
		part := b[done:min(len(b), done+host.MaxFrame)]
		if err := w.c.Write(w.ctx, websocket.MessageBinary, host.Frame(w.to, part)); err != nil {
			return done, err
		}
	}
	return len(b), nil
}

// stdin gives what comes for the process.
func stdin(ctx context.Context, c *websocket.Conn) io.Reader {
	r, w := io.Pipe()
	go func() {
		for {
			_, msg, err := c.Read(ctx)
			if err != nil {
				w.CloseWithError(err)
				return
			}
			switch ch, p, _ := host.ParseFrame(msg); {
			case ch == host.ChanStdin && len(p) == 0:
				w.Close()
			case ch == host.ChanStdin:
				w.Write(p)
			}
		}
	}()
	return r
}

// copySession is `jem copy` in the node's root, which is the folder "node" of the story. /hostile sends what it must not, /old is a node
// that knows no such command, and what is copied into /full finds no room.
func (f *fake) copySession(ctx context.Context, c *websocket.Conn, args []string) (exit host.Exit) {
	out, errs := channel{ctx, c, host.ChanStdout}, channel{ctx, c, host.ChanStderr}
	fail := func(err error) host.Exit {
		io.WriteString(errs, err.Error()+"\n")
		return host.Exit{Code: 1}
	}
	at := filepath.Join(f.node, args[1])
	if strings.HasSuffix(args[1], "/") {
		at += "/"
	}
	if len(args) > 3 {
		io.WriteString(errs, "with "+args[3]+"\n")
	}
	var done filecopy.Copied
	var err error
	switch o := (filecopy.Options{Complain: func(s string) { io.WriteString(errs, s+"\n") }}); {
	case args[1] == "/old":
		io.WriteString(out, `{"version":1,"error":{"code":"invalid"}}`+"\n")
		return host.Exit{Code: 2}
	case args[1] == "/hostile":
		done, err = filecopy.Pack(out, at, "../../"+args[2], o)
	case args[1] == "/full":
		io.CopyN(io.Discard, stdin(ctx, c), 512)
		return fail(io.ErrShortWrite)
	case args[0] == "send":
		done, err = filecopy.Pack(out, at, args[2], o)
	default:
		in := stdin(ctx, c)
		if done, err = filecopy.Unpack(in, at, args[2], o); err == nil {
			_, err = io.Copy(io.Discard, in)
		}
	}
	switch {
	case err != nil:
		return fail(err)
	case done.LeftOut > 0:
		return host.Exit{Code: 7}
	}
	return host.Exit{}
}
