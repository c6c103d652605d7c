package supervise

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
)

// ringBytes bounds a service's log file; the one before is kept as <name>.1, so at most twice this lies in RAM.
const ringBytes = 256 << 10

// ring is a service's log file below /run/hardnode/log, in RAM, rotated once.
type ring struct {
	path string
	file *os.File
	size int64
}

func openRing(path string) (*ring, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o640)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("open log: %w", err)
	}
	return &ring{path, f, st.Size()}, nil
}

func (r *ring) line(text string) error {
	if r.size > ringBytes {
		if err := os.Rename(r.path, r.path+".1"); err != nil {
			return fmt.Errorf("rotate log: %w", err)
		}
		f, err := os.OpenFile(r.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o640)
		if err != nil {
			return fmt.Errorf("rotate log: %w", err)
		}
		r.file.Close()
		r.file, r.size = f, 0
	}
	n, err := r.file.WriteString(text + "\n")
	r.size += int64(n)
	return err
}

// maxLine is the longest piece of a service's output handled as one line.
const maxLine = 2048

// pump reads a service's output line by line until every writer has closed it.
func pump(in io.Reader, each func(line string)) {
	r := bufio.NewReaderSize(in, maxLine)
	for {
		line, err := r.ReadSlice('\n')
		if text := strings.TrimRight(string(line), "\r\n"); text != "" {
			each(printable(text))
		}
		if err != nil && err != bufio.ErrBufferFull {
			return
		}
	}
}
