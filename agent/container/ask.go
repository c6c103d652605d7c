package container

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"time"

	"hardnode.dev/agent/container/cgroup"
	"hardnode.dev/agent/container/profile"
	"hardnode.dev/agent/container/record"
	hostfacts "hardnode.dev/agent/facts"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
)

// asked is the note that a process was asked to end. To many programs a second stop signal means "end now, leave the rest undone". So a
// stop that another call goes on with, or the next agent, sends no second signal, and has what is left of the first one's time.
type asked struct {
	PID     int       `json:"pid"`
	Started time.Time `json:"started"`
	At      int64     `json:"atMs"` // since the kernel's start
}

// left is how much of all its time the process of rec still has, if it was asked to end before; 0: it was not asked, or that time is over,
// so it is asked now and has all of it.
func (a asked) left(rec record.Record, all, now time.Duration) time.Duration {
	past := now - time.Duration(a.At)*time.Millisecond
	if a.PID != rec.PID || !a.Started.Equal(rec.Started) || past < 0 || past >= all {
		return 0
	}
	return all - past
}

// askedAt is where the note of a container is, in RAM.
func (r *Runtime) askedAt(id wire.CTID) string {
	return filepath.Join(r.opts.RunDir, "stops", id.String())
}

// askToEnd sends the stop signal and waits for the end, as long as the template and limit allow.
func (r *Runtime) askToEnd(ctx context.Context, id wire.CTID, rec record.Record, limit time.Duration) error {
	sig, err := profile.StopSignal(rec.Container.Process, rec.Container.Profile)
	if err != nil {
		return err
	}
	var before asked
	at, all := r.askedAt(id), profile.StopAfter(rec.Container.Process)
	if raw, err := os.ReadFile(at); err != nil || json.Unmarshal(raw, &before) != nil {
		before = asked{} // none, or a torn one: it is asked again
	}
	left := before.left(rec, all, hostfacts.SinceBoot())
	if left == 0 {
		left = all
		if err := r.signal(ctx, id, sig); err != nil {
			if errors.Is(err, ErrNotRunning) {
				return nil
			}
			return err
		}
		if err := r.noteAsked(at, rec); err != nil {
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

func (r *Runtime) noteAsked(at string, rec record.Record) error {
	raw, err := json.Marshal(asked{PID: rec.PID, Started: rec.Started, At: hostfacts.SinceBoot().Milliseconds()})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
		return err
	}
	return os.WriteFile(at, raw, 0o600)
}
