package ring

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Bytes is how long the log in dir is; one that does not exist is empty.
func Bytes(dir string) (sum int64, err error) {
	for _, name := range []string{older, current} {
		switch st, err := os.Stat(filepath.Join(dir, name)); {
		case err == nil:
			sum += st.Size()
		case !errors.Is(err, fs.ErrNotExist):
			return 0, fmt.Errorf("look at log: %w", err)
		}
	}
	return sum, nil
}

// Send writes the log in dir, which nobody writes to any more, for Take to take.
func Send(dir string, w io.Writer) error {
	for _, name := range []string{older, current} {
		f, err := os.Open(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			_, err = io.Copy(w, f)
			f.Close()
		}
		if err != nil {
			return fmt.Errorf("send log: %w", err)
		}
	}
	return nil
}

// Take has the log in dir, which nobody writes to yet, be what Send wrote: as much of its end as a log holds. Open goes on with it.
func Take(dir string, r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	now := ending(b)
	old := ending(b[:len(b)-len(now)])
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make log directory: %w", err)
	}
	for name, b := range map[string][]byte{older: old, current: now} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			return fmt.Errorf("keep log: %w", err)
		}
	}
	return nil
}

// ending is the last lines of b that fit into a file.
func ending(b []byte) []byte {
	if len(b) <= FileBytes {
		return b
	}
	from := len(b) - FileBytes
	if i := bytes.IndexByte(b[from-1:], '\n'); i >= 0 { // whole lines, unless there is none
		from += i
	}
	return b[from:]
}
