package hostlog

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/internal/wire/host"
)

// maxRecord is the most bytes of one record (PRINTK_MESSAGE_MAX), with room for its dictionary and escapes.
const maxRecord = 8 << 10

// kmsg is the kernel's ring. Each reader has a place of its own in it (Documentation/ABI/testing/dev-kmsg).
type kmsg struct {
	file   *os.File
	kernel bool // the kernel's own records; else those of init
	began  func() time.Time
	lost   bool
}

func openKmsg(path string, kernel bool, began func() time.Time) (source, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	return &kmsg{file: f, kernel: kernel, began: began}, nil
}

func (k *kmsg) close() { k.file.Close() }

func (k *kmsg) more() (out []line, err error) {
	began := k.began()
	b := make([]byte, maxRecord)
	for {
		n, err := read(k.file, b)
		switch {
		case errors.Is(err, unix.EPIPE): // records were overwritten before they were read; the next read goes on with the oldest
			k.lost = true
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.EINVAL): // EINVAL: a record longer than b, which is passed over
		case errors.Is(err, unix.EAGAIN), err == nil && n == 0:
			return out, nil
		case err != nil:
			return out, fmt.Errorf("read %s: %w", k.file.Name(), err)
		default:
			rec, ok := parseRecord(string(b[:n]))
			if !ok || !k.wants(&rec) {
				continue
			}
			at := began.Add(rec.since)
			if k.lost {
				k.lost = false
				out = append(out, line{at, []byte("records before this were overwritten")})
			}
			out = append(out, line{at, at.UTC().AppendFormat(nil, stamp)})
			last := &out[len(out)-1].text
			*last = append(*last, rec.text...)
		}
	}
}

// stamp is how a line of this log begins.
const stamp = "2006-01-02T15:04:05.000000Z "

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

// record is one record of the kernel's ring.
type record struct {
	facility int // 0 is the kernel's; what comes in through /dev/kmsg has another
	since    time.Duration
	text     string
}

// parseRecord takes one apart: "priority,sequence,microseconds,flags[,…];text\n", then lines of a dictionary, each behind a space.
func parseRecord(b string) (r record, ok bool) {
	head, body, found := strings.Cut(b, ";")
	fields := strings.SplitN(head, ",", 4)
	if !found || len(fields) < 4 {
		return record{}, false
	}
	prio, err := strconv.ParseUint(fields[0], 10, 31)
	if err != nil {
		return record{}, false
	}
	micros, err := strconv.ParseUint(fields[2], 10, 53)
	if err != nil {
		return record{}, false
	}
	text, _, _ := strings.Cut(body, "\n")
	return record{int(prio >> 3), time.Duration(micros) * time.Microsecond, text}, true
}

// initHead is how init begins its records; the lines of the programs it keeps have the program's name and a colon behind it.
const initHead = "hardnode: "

// wants tells whether a record is of this log, and takes off init's head.
func (k *kmsg) wants(r *record) bool {
	if k.kernel {
		return r.facility == 0
	}
	text, ok := strings.CutPrefix(r.text, initHead)
	if r.facility == 0 || !ok {
		return false
	}
	name, _, _ := strings.Cut(text, ": ")
	for _, u := range host.Units {
		if string(u) == name && u != host.UnitInit && u != host.UnitKernel {
			return false // a program's line: it is in the program's own log
		}
	}
	r.text = text
	return true
}

// kernelBegan is when the kernel's clock was zero. Its log's clock stands still while the machine sleeps, as CLOCK_MONOTONIC does.
func kernelBegan() time.Time {
	var up unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &up) != nil {
		return time.Time{}
	}
	return time.Now().Add(-time.Duration(up.Nano()))
}
