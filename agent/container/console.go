package container

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/container/command"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/nodecall"
)

// Console carries a session to the console of a full OS until ctx ends, or the container does. Several may be there at once; what they type
// goes to one terminal, whose size is that of the last who said one. An app container has no console: with want.Follow its session gets
// what it writes.
func (r *Runtime) Console(ctx context.Context, id wire.CTID, want nodecall.Console, stdio command.Stdio) error {
	if stdio.In != nil {
		defer stdio.In.Close()
	}
	rec, err := r.known.Running(ctx, id)
	switch {
	case err != nil:
		return err
	case rec.Container.Profile != host.ProfileSystem && want.Follow:
		return r.Logs(ctx, id, host.LogsSpec{Follow: true, Since: time.Now()}, func(stderr bool, text []byte) error {
			to := stdio.Out
			if stderr {
				to = stdio.Err
			}
			_, err := fmt.Fprintf(to, "%s\n", text)
			return err
		})
	case rec.Container.Profile != host.ProfileSystem:
		return fmt.Errorf("container %s has no console: it is one program, not a full OS; run a shell in it: hnctl node exec %s -- sh", id,
			id)
	}
	typed := make(chan []byte)
	ctx, cancel := context.WithCancel(ctx)
	var typing sync.WaitGroup
	defer typing.Wait()
	defer cancel()
	if stdio.In != nil {
		stop := context.AfterFunc(ctx, func() { stdio.In.Close() })
		defer stop()
		typing.Go(func() { read(ctx, stdio.In, typed) })
	}
	size := [2]uint16{want.Rows, want.Cols}
	for {
		if err := r.console(ctx, id, &size, typed, stdio); err != nil || ctx.Err() != nil {
			return err
		}
		// the console ended with the container, or with a spawner whose successor has it
		if r.known.Same(ctx, id, rec) != nil || !run.Wait(ctx, 200*time.Millisecond) {
			return nil
		}
	}
}

// read gives what is typed, until its end or ctx's.
func read(ctx context.Context, from io.Reader, to chan<- []byte) {
	for {
		buf := make([]byte, 1024)
		n, err := from.Read(buf)
		if n > 0 {
			select {
			case to <- buf[:n]:
			case <-ctx.Done():
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// The size of a console that nobody looks at, which no line of systemd's is cut to.
const consoleRows, consoleCols = 50, 250

// console carries one connection to a console to its end.
func (r *Runtime) console(ctx context.Context, id wire.CTID, size *[2]uint16, typed <-chan []byte, stdio command.Stdio) error {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return fmt.Errorf("console of container %s: make pipe: %w", id, err)
	}
	says, sink := os.NewFile(uintptr(p[0]), "console"), os.NewFile(uintptr(p[1]), "console")
	defer says.Close()
	end, err := r.spawn.Console(ctx, id.String(), sink)
	sink.Close()
	if err != nil {
		return err
	}
	defer end.Close()
	resize := func(s [2]uint16) {
		if s[0] > 0 && s[1] > 0 {
			unix.IoctlSetWinsize(int(end.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: s[0], Col: s[1]})
		}
	}
	resize(*size)
	defer resize([2]uint16{consoleRows, consoleCols})
	over := make(chan struct{})
	var writing sync.WaitGroup
	defer writing.Wait()
	defer close(over)
	stop := context.AfterFunc(ctx, func() { says.Close() })
	defer stop()
	writing.Go(func() {
		resizes := stdio.Resize
		for {
			select {
			case b := <-typed:
				write(end, b, over)
			case s, more := <-resizes:
				if !more {
					resizes = nil
					continue
				}
				*size = s
				resize(s)
			case <-over:
				return
			}
		}
	})
	if _, err := io.Copy(stdio.Out, says); err != nil && ctx.Err() == nil {
		return fmt.Errorf("console of container %s: %w", id, err)
	}
	return nil
}

// write types b. While nobody inside reads, the terminal takes no more: that is waited for a while, and the rest is lost then, as it is
// with a keyboard.
func write(end *os.File, b []byte, over <-chan struct{}) {
	for tries := 0; len(b) > 0 && tries < 50; {
		n, err := unix.Write(int(end.Fd()), b)
		if n > 0 {
			b = b[n:]
			continue
		}
		if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
			return
		}
		tries++
		t := time.NewTimer(20 * time.Millisecond)
		select {
		case <-t.C:
		case <-over:
			t.Stop()
			return
		}
	}
}
