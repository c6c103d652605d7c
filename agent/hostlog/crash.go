package hostlog

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"hardnode.dev/internal/wire/upkeep"
)

// words is what a kernel said last: a file that does not grow.
type words struct {
	path string
	read bool
}

func (w *words) close() {}

func (w *words) more() (out []Line, err error) {
	if w.read {
		return nil, nil
	}
	w.read = true
	info, err := os.Stat(w.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("none is kept: no kernel of this host panicked since its disk was made")
	}
	if err != nil {
		return nil, err
	}
	raw, err := os.ReadFile(w.path)
	if err != nil {
		return nil, err
	}
	at := info.ModTime()
	out = append(out, Line{at, fmt.Appendf(nil, "what the kernel said last, found %s:", at.UTC().Format(time.RFC3339))})
	for l := range bytes.Lines([]byte(upkeep.Printable(string(raw)))) {
		out = append(out, Line{at, bytes.TrimRight(l, "\n")})
	}
	return out, nil
}
