package accesslog

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"hardnode.dev/internal/run"
)

// polled is how often a file that is followed is looked at.
const polled = 300 * time.Millisecond

// Read writes the last lines of an environment's log to w, all that are kept when tail is 0; with follow it goes on with those that come,
// until ctx ends or w takes no more. That there is no log is no error: there may be one later.
func Read(ctx context.Context, w io.Writer, dir, name string, tail int, follow bool) error {
	if name == "" || strings.ContainsAny(name, "/\x00") {
		return errors.New("no environment has such a log")
	}
	path := filepath.Join(dir, name+".log")
	at, err := there(path)
	if err != nil {
		return err
	}
	defer func() { end(at) }()
	old, err := there(before(path)) // second: what became the one before meanwhile is at itself
	if err != nil {
		return err
	}
	defer end(old)
	var files []*os.File
	for _, f := range []*os.File{old, at} {
		if f != nil && !(f == old && same(old, at)) {
			files = append(files, f)
		}
	}
	if err := seekLast(files, tail); err != nil {
		return err
	}
	for _, f := range files {
		if _, err := io.Copy(w, f); err != nil {
			return err
		}
	}
	if !follow {
		return nil
	}
	for run.Wait(ctx, polled) {
		if at != nil {
			if _, err := io.Copy(w, at); err != nil {
				return err
			}
		}
		now, err := there(path)
		if err != nil {
			return err
		}
		if same(at, now) {
			end(now)
			continue
		}
		if at != nil { // it became the one before: what was written until then
			if _, err := io.Copy(w, at); err != nil {
				end(now)
				return err
			}
		}
		end(at)
		at = now
	}
	return nil
}

func end(f *os.File) {
	if f != nil {
		f.Close()
	}
}

func same(a, b *os.File) bool {
	if a == nil || b == nil {
		return a == b
	}
	x, err := a.Stat()
	y, other := b.Stat()
	return err == nil && other == nil && os.SameFile(x, y)
}

// seekLast goes to where the last n lines of the files together begin, all of them for 0. Many may read beside one resolver: none holds a
// file in memory.
func seekLast(files []*os.File, n int) error {
	if n == 0 {
		return nil
	}
	for _, f := range slices.Backward(files) {
		at, left, err := lastLines(f, n)
		if err != nil {
			return err
		}
		if _, err := f.Seek(at, io.SeekStart); err != nil {
			return err
		}
		n = left
	}
	return nil
}

// lastLines is where the last n lines of f begin, and how many of them it does not have. For none it is the end of f.
func lastLines(f *os.File, n int) (at int64, left int, err error) {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil || size == 0 || n == 0 {
		return size, n, err
	}
	block := make([]byte, 64<<10)
	for to := size - 1; to > 0; { // the last byte ends the last line
		part := block[:min(to, int64(len(block)))]
		to -= int64(len(part))
		if _, err := f.ReadAt(part, to); err != nil {
			return 0, 0, err
		}
		for {
			i := bytes.LastIndexByte(part, '\n')
			if i < 0 {
				break
			}
			if n--; n == 0 {
				return to + int64(i) + 1, 0, nil
			}
			part = part[:i]
		}
	}
	return 0, n - 1, nil
}
