// Package session runs one exec or log session over a WebSocket.
//
// Owns: the terminal while the session runs (raw mode, size), and the copying both ways.
// In: an open connection that speaks wire/host frames; the local streams.
// Out: the remote exit code.
// Never: leaves the terminal raw, or says that all went well when a byte was lost.
package session

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/coder/websocket"
	"golang.org/x/term"

	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/session"
)

// Broken is the exit code when a session ended without one.
const Broken = 125

// IO is the local side. In may be nil.
type IO struct {
	In       io.Reader
	Out, Err io.Writer
	TTY      bool
	Detach   byte // a key that ends the session here, and is not sent; 0 for none
}

// Run copies until the remote side ends the session or ctx ends, and closes the connection. Everything the node's side sent has been
// written when it returns without an error.
func Run(ctx context.Context, conn *websocket.Conn, local IO) (host.Exit, error) {
	if local.TTY {
		restore, err := raw(local.In)
		if err != nil {
			conn.CloseNow()
			return host.Exit{}, err
		}
		defer restore()
	}
	link := session.Open(ctx, conn, session.PersonEnd, session.Options{Window: window})
	defer link.Close()
	if local.TTY {
		sized := make(chan os.Signal, 1)
		watchSize(sized)
		done := make(chan struct{})
		go func() { defer close(done); resize(link, local.Out, sized) }()
		defer func() { link.Break(nil); signal.Stop(sized); <-done }()
	}
	detached := make(chan struct{})
	if local.In != nil {
		// A read of a terminal can't be interrupted: this goroutine may outlive Run until the next key, and then only fails to send.
		go send(link, local.In, local.Detach, detached)
	}
	written := make(chan error, 2)
	for c, to := range map[host.Channel]io.Writer{host.ChanStdout: local.Out, host.ChanStderr: local.Err} {
		go func() { written <- receive(to, link.Reader(c)) }()
	}
	for range 2 {
		select {
		case err := <-written:
			if err != nil {
				link.Break(err)
				return host.Exit{}, err
			}
		case <-detached:
			return host.Exit{}, nil
		case <-ctx.Done(): // a write to a pipe that nobody reads can't be interrupted either
			return host.Exit{}, context.Cause(ctx)
		}
	}
	return link.Exited()
}

// window is how many bytes of output may wait here: a far node sends that much in one round trip.
const window = 512 << 10

// receive writes what comes; an error is that of the local side.
func receive(to io.Writer, from io.Reader) error {
	buf := make([]byte, host.MaxFrame)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return fmt.Errorf("write output: %w", err)
			}
		}
		if err != nil {
			return nil // the end, or the link broke: Exited says which
		}
	}
}

// send copies in to the remote stdin; its end closes that. When in can't be read to its end, the node's side must not take what came for
// all. With the key detach it ends the session.
func send(link *session.Link, in io.Reader, detach byte, detached chan<- struct{}) {
	to := link.Writer(host.ChanStdin)
	buf := make([]byte, 16<<10)
	for {
		n, err := in.Read(buf)
		leaves := -1
		if detach != 0 {
			if leaves = bytes.IndexByte(buf[:n], detach); leaves >= 0 {
				n = leaves
			}
		}
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if leaves >= 0 {
			close(detached)
			return
		}
		switch {
		case errors.Is(err, io.EOF):
			to.Close()
			return
		case err != nil:
			link.Break(fmt.Errorf("read stdin: %w", err))
			return
		}
	}
}

// resize tells the remote side the terminal's size, now and whenever it changes.
func resize(link *session.Link, out io.Writer, sized <-chan os.Signal) {
	f, ok := out.(*os.File)
	if !ok {
		return
	}
	for {
		if cols, rows, err := term.GetSize(int(f.Fd())); err == nil {
			if link.Resize(uint16(rows), uint16(cols)) != nil {
				return
			}
		}
		select {
		case <-sized:
		case <-link.Done():
			return
		}
	}
}

// raw puts a terminal into raw mode; anything else is left alone.
func raw(in io.Reader) (restore func(), err error) {
	f, ok := in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return func() {}, nil
	}
	state, err := term.MakeRaw(int(f.Fd()))
	if err != nil {
		return nil, fmt.Errorf("set terminal raw: %v", err)
	}
	return func() { term.Restore(int(f.Fd()), state) }, nil
}
