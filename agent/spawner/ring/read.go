package ring

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"hardnode.dev/internal/run"
)

// followEvery is how often a follower looks for more.
const followEvery = 100 * time.Millisecond

// Read calls each with the last tail lines of the log in dir (all when tail is 0), oldest first; with follow it goes on with new ones
// until ctx ends. It ends with each's first error, or nil. A log that does not exist is empty.
func Read(ctx context.Context, dir string, tail int, follow bool, each func(Line) error) error {
	old, err := os.ReadFile(filepath.Join(dir, older))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read log: %w", err)
	}
	var f *os.File
	for {
		if f, err = os.Open(filepath.Join(dir, current)); err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("read log: %w", err)
		}
		if !follow || !run.Wait(ctx, followEvery) {
			_, err := lines(lastLines(old, tail), each)
			return err
		}
	}
	defer func() { f.Close() }()
	now, err := io.ReadAll(f)
	if err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	rest, err := lines(lastLines(append(old, now...), tail), each)
	if err != nil || !follow {
		return err
	}
	for run.Wait(ctx, followEvery) {
		more, err := io.ReadAll(f)
		if err != nil {
			return fmt.Errorf("read log: %w", err)
		}
		if rest, err = lines(append(rest, more...), each); err != nil {
			return err
		}
		if len(more) == 0 {
			if f, err = turned(f, dir); err != nil {
				return err
			}
		}
	}
	return nil
}

// turned is the new current file if f was turned, else f.
func turned(f *os.File, dir string) (*os.File, error) {
	have, err := f.Stat()
	if err != nil {
		return f, fmt.Errorf("read log: %w", err)
	}
	now, err := os.Stat(filepath.Join(dir, current))
	if errors.Is(err, fs.ErrNotExist) || err == nil && os.SameFile(have, now) {
		return f, nil
	}
	if err != nil {
		return f, fmt.Errorf("read log: %w", err)
	}
	next, err := os.Open(filepath.Join(dir, current))
	if err != nil {
		return f, nil // turned again meanwhile: the next look finds it
	}
	f.Close()
	return next, nil
}

// lines hands over complete lines and returns what is left.
func lines(b []byte, each func(Line) error) ([]byte, error) {
	for {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			return bytes.Clone(b), nil
		}
		if l, ok := Parse(b[:i]); ok {
			if err := each(l); err != nil {
				return nil, err
			}
		}
		b = b[i+1:]
	}
}

// lastLines is the end of b that holds n lines; all of b when n is 0.
func lastLines(b []byte, n int) []byte {
	if n <= 0 {
		return b
	}
	for i := len(b) - 2; i >= 0; i-- {
		if b[i] == '\n' {
			if n--; n == 0 {
				return b[i+1:]
			}
		}
	}
	return b
}
