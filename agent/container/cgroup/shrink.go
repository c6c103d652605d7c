package cgroup

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// How the use of a cgroup is brought down: in pieces, for no longer than shrinkFor, until two in a row find nothing.
const (
	shrinkPiece = 16 << 20
	shrinkFor   = 500 * time.Millisecond
)

// shrink has the kernel reclaim what a cgroup uses beyond aim bytes, 0 for nothing, and gives what it uses then. While it does, memory.high
// keeps the use from growing. more tells that it stopped for its time, not because there was nothing left to reclaim.
func shrink(dir string, aim int64) (use int64, more bool) {
	used := func() int64 { return ReadInt(dir, "memory.current", "") }
	use = used()
	if aim <= 0 || use <= aim {
		return use, false
	}
	if high := limitIn(dir, "memory.high"); high < 0 || high > use {
		Write(filepath.Join(dir, "memory.high"), strconv.FormatInt(use, 10)) // if not, it may grow meanwhile, which is seen below
	}
	end := time.Now().Add(shrinkFor)
	for idle := 0; idle < 2; {
		before := use
		err := reclaim(dir, min(use-aim, shrinkPiece))
		if use = used(); use <= aim {
			return use, false
		}
		if idle++; err == nil || use < before-shrinkPiece/16 {
			idle = 0
		}
		if time.Now().After(end) {
			return use, idle == 0
		}
	}
	return use, false
}

// reclaim has the kernel take bytes back from a cgroup; EAGAIN: it found fewer. (Written as a file, which EAGAIN would have wait until the
// cgroup's file can be written, it would wait for ever.)
func reclaim(dir string, bytes int64) error {
	fd, err := unix.Open(filepath.Join(dir, "memory.reclaim"), unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = unix.Write(fd, strconv.AppendInt(nil, bytes, 10))
	return err
}

// limitIn is a limit of a cgroup, -1 for none.
func limitIn(dir, file string) int64 {
	b, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		return -1
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	if err != nil {
		return -1 // "max"
	}
	return n
}
