package client

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
)

// maxEvent is the longest event read, in bytes.
const maxEvent = 4 << 20

// readEvents gives the data of each event to f. A stream that ends inside an event loses that event, as the specification says.
func readEvents(r io.Reader, f func(data []byte) bool) error {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 0, 64<<10), maxEvent)
	var data []byte
	have := false
	for s.Scan() {
		line := bytes.TrimSuffix(s.Bytes(), []byte("\r"))
		switch {
		case len(line) == 0:
			if have && !f(data) {
				return nil
			}
			data, have = nil, false
		case bytes.HasPrefix(line, []byte("data:")):
			if have {
				data = append(data, '\n')
			}
			data = append(data, bytes.TrimPrefix(line[5:], []byte(" "))...)
			have = true
			if len(data) > maxEvent {
				return fmt.Errorf("read events: one is longer than %d bytes", maxEvent)
			}
		}
	}
	if err := s.Err(); err != nil {
		return fmt.Errorf("read events: %w", err)
	}
	return nil
}
