package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"hardnode.dev/agent/container/asked"
	"hardnode.dev/agent/container/cgroup"
	"hardnode.dev/agent/container/profile"
	"hardnode.dev/agent/container/record"
	hostfacts "hardnode.dev/agent/facts"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
)

// askedAt is where the note of a container is, in RAM.
func (r *Runtime) askedAt(id wire.CTID) string {
	return filepath.Join(r.opts.RunDir, "stops", id.String())
}

// askToEnd sends the stop signal and waits for the end, as long as the template and limit allow.
func (r *Runtime) askToEnd(ctx context.Context, id wire.CTID, rec record.Record, limit time.Duration) error {
	program, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", rec.PID)) // an init that is another program now chooses the signal it gets
	sig, err := profile.StopSignal(profile.Halts(rec.Container.Process, rec.Container.Profile, program), rec.Container.Profile)
	if err != nil {
		return err
	}
	at, all := r.askedAt(id), profile.StopAfter(rec.Container.Process)
	left := asked.Read(at).Left(rec, all, hostfacts.SinceBoot())
	if left == 0 {
		left = all
		if err := r.signal(ctx, id, sig); err != nil {
			if errors.Is(err, ErrNotRunning) {
				return nil
			}
			return err
		}
		if err := asked.Write(at, rec, hostfacts.SinceBoot()); err != nil {
			r.log.Warn("that a container was asked to end is not noted", logging.Container, id, logging.Err, err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, min(left, limit))
	defer cancel()
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		if n, err := cgroup.Populated(r.cgroup(id)); err != nil || !n {
			return err
		}
		if !run.Wait(ctx, wait) {
			return nil // the kill comes next
		}
	}
}
