// Package kmsg reads the kernel's log.
//
// Owns: a place of its own in the kernel's ring, and the form of a record (Documentation/ABI/testing/dev-kmsg).
// In: the path of /dev/kmsg.
// Out: records, oldest first.
// Never: writes, waits for a record, or says what one means.
package kmsg

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Record is one record of the kernel's ring.
type Record struct {
	Facility int           // 0 is the kernel's; what comes in through /dev/kmsg has another
	Since    time.Duration // from the start of the kernel
	Text     string        // without the lines of its dictionary
	Gap      bool          // records before this one were overwritten before they were read
}

// Log is a place in the ring. It is not for concurrent use.
type Log struct {
	file *os.File
	gap  bool
}

// Open begins at the oldest record that the kernel still has.
func Open(path string) (*Log, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open the kernel's log: %w", err)
	}
	return New(f), nil
}

// New reads on in a file that gives one record a read and never blocks. It is the log's from then on.
func New(f *os.File) *Log { return &Log{file: f} }

// Close gives the place up.
func (l *Log) Close() error { return l.file.Close() }

// maxRecord is the most bytes of one record (PRINTK_MESSAGE_MAX), with room for its dictionary and escapes.
const maxRecord = 8 << 10

// Each calls f with what came since the last call. An error is that of the read.
func (l *Log) Each(f func(Record)) error {
	b := make([]byte, maxRecord)
	for {
		n, err := read(l.file, b)
		switch {
		case errors.Is(err, unix.EPIPE): // the next read goes on with the oldest record that is left
			l.gap = true
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.EINVAL): // EINVAL: a record longer than b, which is passed over
		case errors.Is(err, unix.EAGAIN), err == nil && n == 0:
			return nil
		case err != nil:
			return fmt.Errorf("read %s: %w", l.file.Name(), err)
		default:
			if r, ok := Parse(string(b[:n])); ok {
				r.Gap, l.gap = l.gap, false
				f(r)
			}
		}
	}
}

// read takes one record, if there is one.
func read(f *os.File, b []byte) (n int, err error) {
	c, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	if cerr := c.Read(func(fd uintptr) bool { n, err = unix.Read(int(fd), b); return true }); cerr != nil {
		return 0, cerr
	}
	return n, err
}

// Parse takes one record apart: "priority,sequence,microseconds,flags[,…];text\n", then lines of a dictionary, each behind a space.
func Parse(b string) (r Record, ok bool) {
	head, body, found := strings.Cut(b, ";")
	fields := strings.SplitN(head, ",", 4)
	if !found || len(fields) < 4 {
		return Record{}, false
	}
	prio, err := strconv.ParseUint(fields[0], 10, 31)
	if err != nil {
		return Record{}, false
	}
	micros, err := strconv.ParseUint(fields[2], 10, 53)
	if err != nil {
		return Record{}, false
	}
	text, _, _ := strings.Cut(body, "\n")
	return Record{Facility: int(prio >> 3), Since: time.Duration(micros) * time.Microsecond, Text: text}, true
}
