package contract

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/jem"
)

// StateDir is where JEM keeps what it must know again, below the root.
const StateDir = "var/lib/hardnode/jem"

// The limits of the queue of one container's calls.
const (
	places    = 16               // calls that wait or work at once
	waitLimit = 10 * time.Minute // for the calls before
)

// queue takes a place and waits for the turn. The locks are ranges of one file (fcntl(2), open file description locks): byte 0 is the turn,
// the others are the places. They end with this process, whatever ends it.
func (c *Call) queue(ctx context.Context) (*os.File, error) {
	dir := filepath.Join(c.Root, StateDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, noState(err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "queue"), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, noState(err)
	}
	for p := int64(1); ; p++ {
		if p > places {
			f.Close()
			return nil, &jem.Error{Code: "exhausted", Reason: fmt.Sprintf("%d calls of JEM wait in this container already", places),
				Next: "wait for them to end"}
		}
		if held(f, p) {
			break
		}
	}
	wait, cancel := context.WithTimeout(ctx, waitLimit)
	defer cancel()
	for !held(f, 0) {
		if !run.Wait(wait, 50*time.Millisecond) {
			f.Close()
			return nil, &jem.Error{Code: "unavailable", Reason: "another call of JEM is at work in this container and does not end",
				Next: "see it with jem service status, then try again"}
		}
	}
	return f, nil
}

func held(f *os.File, at int64) bool {
	return unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK, Start: at, Len: 1}) == nil
}

func noState(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	return &jem.Error{Code: "unavailable", Reason: fmt.Sprintf("JEM cannot keep its state in /%s: %v", StateDir, err),
		Next: "make that place writable for the container's root"}
}
