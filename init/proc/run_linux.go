package proc

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Output runs a program to its end and returns what it wrote (at most 64 KiB). When ctx ends first it is killed.
func (t *Table) Output(ctx context.Context, argv ...string) (string, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return "", fmt.Errorf("run %q: %w", argv[0], err)
	}
	defer r.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		w.Close()
		return "", fmt.Errorf("run %q: %w", argv[0], err)
	}
	defer null.Close()
	child, err := t.Start(Spec{Argv: argv, Env: os.Environ(), Files: []*os.File{null, w, w}})
	w.Close()
	if err != nil {
		return "", err
	}
	text := make(chan string, 1)
	go func() {
		var buf bytes.Buffer
		io.Copy(&buf, io.LimitReader(r, 64<<10))
		io.Copy(io.Discard, r)
		text <- strings.TrimSpace(buf.String())
	}()
	select {
	case e := <-child.Done():
		out := <-text
		if e.Code != 0 {
			return out, fmt.Errorf("run %q: %s: %s", strings.Join(argv, " "), e, out)
		}
		return out, nil
	case <-ctx.Done():
		child.Signal(unix.SIGKILL)
		<-child.Done()
		return <-text, fmt.Errorf("run %q: %w", strings.Join(argv, " "), ctx.Err())
	}
}
