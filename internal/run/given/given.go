// Package given reads the files that a person names on a command line.
//
// Owns: that such a reading ends: with the file, with its limit, or with the command.
// In: a file's name, or stdin; the most bytes that it may have.
// Out: its content, or an error that names it.
// Never: reads more than that at once: what is named may be a device without an end, or a pipe that nobody writes to.
package given

import (
	"context"
	"fmt"
	"io"
	"os"
)

// Read is the content of a file, of at most limit bytes. A pipe is a file too: `FILE` may be `<(command)`.
func Read(ctx context.Context, name string, limit int64) ([]byte, error) {
	return until(ctx, "read "+name, func() ([]byte, error) {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return all(name, f, limit)
	})
}

// From is Read for what is open already, such as stdin; name is for the error.
func From(ctx context.Context, name string, r io.Reader, limit int64) ([]byte, error) {
	return until(ctx, "read "+name, func() ([]byte, error) { return all(name, r, limit) })
}

// Open opens a file that is read in pieces.
func Open(ctx context.Context, name string) (*os.File, error) {
	return until(ctx, "open "+name, func() (*os.File, error) { return os.Open(name) })
}

func all(name string, r io.Reader, limit int64) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(r, limit+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", name, err)
	case int64(len(raw)) > limit:
		return nil, fmt.Errorf("read %s: it has more than %d bytes, which are the most for what is asked here; name the right file", name,
			limit)
	}
	return raw, nil
}

// until waits for the reading, or for the end of the command: opening a pipe and reading from a terminal know no context.
func until[T any](ctx context.Context, what string, f func() (T, error)) (got T, err error) {
	type result struct {
		got T
		err error
	}
	done := make(chan result, 1)
	go func() {
		got, err := f()
		done <- result{got, err}
	}()
	select {
	case r := <-done:
		return r.got, r.err
	case <-ctx.Done():
		return got, fmt.Errorf("%s: %w", what, context.Cause(ctx))
	}
}
