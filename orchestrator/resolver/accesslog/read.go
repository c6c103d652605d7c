package accesslog

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
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
	var text []byte
	for _, f := range []*os.File{old, at} {
		if f == nil || f == old && same(old, at) {
			continue
		}
		raw, err := io.ReadAll(f)
		if err != nil {
			return err
		}
		text = append(text, raw...)
	}
	if _, err := w.Write(last(text, tail)); err != nil || !follow {
		return err
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

// last is the last n lines of text; all of it for 0.
func last(text []byte, n int) []byte {
	if n == 0 {
		return text
	}
	to := len(bytes.TrimSuffix(text, []byte("\n")))
	for range n {
		i := bytes.LastIndexByte(text[:to], '\n')
		if i < 0 {
			return text
		}
		to = i
	}
	return text[to+1:]
}
