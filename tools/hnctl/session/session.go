// Package session runs one exec or log session over a WebSocket.
//
// Owns: the terminal while the session runs (raw mode, size), and the copying both ways.
// In: an open connection that speaks wire/host frames; the local streams.
// Out: the remote exit code.
// Never: leaves the terminal raw, or a goroutine that still writes to the streams.
package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/term"

	"hardnode.dev/internal/wire/host"
)

// Broken is the exit code when a session ended without one.
const Broken = 125

// IO is the local side. In may be nil.
type IO struct {
	In       io.Reader
	Out, Err io.Writer
	TTY      bool
}

// Run copies until the remote side ends the session or ctx ends, and closes the connection.
func Run(ctx context.Context, conn *websocket.Conn, local IO) (host.Exit, error) {
	defer conn.CloseNow()
	conn.SetReadLimit(host.MaxFrame + 1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if local.TTY {
		restore, err := raw(local.In)
		if err != nil {
			return host.Exit{}, err
		}
		defer restore()
		sized := make(chan os.Signal, 1)
		signal.Notify(sized, syscall.SIGWINCH)
		done := make(chan struct{})
		go func() { defer close(done); resize(ctx, conn, local.Out, sized) }()
		defer func() { cancel(); signal.Stop(sized); <-done }()
	}
	if local.In != nil {
		// A read of a terminal can't be interrupted: this goroutine may outlive Run until the next key, and then only fails to send.
		go send(ctx, conn, local.In)
	}
	return receive(ctx, conn, local)
}

func receive(ctx context.Context, conn *websocket.Conn, local IO) (exit host.Exit, err error) {
	for {
		_, msg, err := conn.Read(ctx)
		if err != nil {
			return exit, fmt.Errorf("the session broke: %v", err)
		}
		channel, payload, err := host.ParseFrame(msg)
		if err != nil {
			return exit, err
		}
		switch channel {
		case host.ChanStdout:
			_, err = local.Out.Write(payload)
		case host.ChanStderr:
			_, err = local.Err.Write(payload)
		case host.ChanExit:
			if err := json.Unmarshal(payload, &exit); err != nil {
				return exit, fmt.Errorf("read the exit code: %v", err)
			}
			conn.Close(websocket.StatusNormalClosure, "")
			return exit, nil
		}
		if err != nil {
			return exit, fmt.Errorf("write output: %v", err)
		}
	}
}

// send copies in to the remote stdin; its end closes that.
func send(ctx context.Context, conn *websocket.Conn, in io.Reader) {
	buf := make([]byte, 16<<10)
	for {
		n, err := in.Read(buf)
		if n > 0 {
			if write(ctx, conn, host.Frame(host.ChanStdin, buf[:n])) != nil {
				return
			}
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				write(ctx, conn, host.Frame(host.ChanStdin, nil))
			}
			return
		}
	}
}

// resize tells the remote side the terminal's size, now and whenever it changes.
func resize(ctx context.Context, conn *websocket.Conn, out io.Writer, sized <-chan os.Signal) {
	f, ok := out.(*os.File)
	if !ok {
		return
	}
	for {
		if cols, rows, err := term.GetSize(int(f.Fd())); err == nil {
			if write(ctx, conn, host.Frame(host.ChanResize, host.ResizePayload(uint16(rows), uint16(cols)))) != nil {
				return
			}
		}
		select {
		case <-sized:
		case <-ctx.Done():
			return
		}
	}
}

func write(ctx context.Context, conn *websocket.Conn, frame []byte) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return conn.Write(ctx, websocket.MessageBinary, frame)
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
