// Package shelf keeps the Patcher's rollouts.
//
// Owns: a folder for each rollout: the rollout itself, and for each host what its visit cost.
// In: rollouts and watches, whole.
// Out: the same, after a power cut too.
// Never: decides anything, or keeps more than the last hundred rollouts.
package shelf

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"hardnode.dev/internal/keep"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/patcher/rollout"
)

// Most is how many rollouts are kept.
const Most = 100

// rolloutFile is a rollout's file in its folder; the others are named by their hosts.
const rolloutFile = "rollout.json"

// Shelf is the rollouts. Make it with Open. Its methods may be called at once by many.
type Shelf struct {
	dir string

	mu struct {
		sync.Mutex
		all []operator.Rollout // the newest first
	}
}

// Open reads what is in dir, which it makes when it is absent. A rollout that can't be read is set aside: its hosts come to an end by
// themselves, and the others are worth more.
func Open(dir string, log *slog.Logger) (*Shelf, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of rollouts: %v", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read the folder of rollouts: %v", err)
	}
	s := &Shelf{dir: dir}
	for _, e := range entries {
		r, found, err := s.doc(e.Name()).Renew()
		switch {
		case err != nil:
			logging.Or(log).Error("a rollout can't be read: set aside", "rollout", e.Name(), logging.Err, err)
		case found && r.ID == e.Name():
			s.mu.all = append(s.mu.all, r)
		}
	}
	slices.SortFunc(s.mu.all, func(a, b operator.Rollout) int { return b.Created.Compare(a.Created) })
	return s, nil
}

func (s *Shelf) doc(id string) keep.Doc[operator.Rollout] {
	return keep.Doc[operator.Rollout]{Path: filepath.Join(s.dir, id, rolloutFile), Version: 1}
}

func (s *Shelf) watch(id string, host wire.HostID) keep.Doc[rollout.Watch] {
	return keep.Doc[rollout.Watch]{Path: filepath.Join(s.dir, id, "host-"+string(host)+".json"), Version: 1}
}

// List is all rollouts, the newest first.
func (s *Shelf) List() []operator.Rollout {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.mu.all)
}

// Get is one rollout.
func (s *Shelf) Get(id string) (operator.Rollout, *operator.Problem) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.mu.all {
		if r.ID == id {
			return r, nil
		}
	}
	return operator.Rollout{}, operator.NewProblem(operator.NotFound, "rollouts/"+id, "there is no such rollout", "see hnctl patch history")
}

// Active is the rollout that has not ended, if there is one.
func (s *Shelf) Active() (operator.Rollout, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.mu.all {
		if !r.State.Final() {
			return r, true
		}
	}
	return operator.Rollout{}, false
}

// Put keeps a rollout, and forgets the oldest when there are too many.
func (s *Shelf) Put(r operator.Rollout) error {
	if err := wire.Label("rollout", r.ID, 40); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := os.MkdirAll(filepath.Join(s.dir, r.ID), 0o700); err != nil {
		return fmt.Errorf("keep rollout %s: %v", r.ID, err)
	}
	if err := s.doc(r.ID).Save(r); err != nil {
		os.Remove(filepath.Join(s.dir, r.ID)) // if it is empty: a rollout that is not begun
		return err
	}
	s.note(r)
	for len(s.mu.all) > Most {
		last := s.mu.all[len(s.mu.all)-1]
		if err := os.RemoveAll(filepath.Join(s.dir, last.ID)); err != nil {
			return fmt.Errorf("forget rollout %s: %v", last.ID, err)
		}
		s.mu.all = s.mu.all[:len(s.mu.all)-1]
	}
	return nil
}

// Hold is Put without the disk, for what a restart may lose.
func (s *Shelf) Hold(r operator.Rollout) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.note(r)
}

func (s *Shelf) note(r operator.Rollout) {
	all := slices.Clone(s.mu.all)
	if i := slices.IndexFunc(all, func(o operator.Rollout) bool { return o.ID == r.ID }); i >= 0 {
		all[i] = r
	} else {
		all = append([]operator.Rollout{r}, all...)
	}
	s.mu.all = all
}

// PutWatch keeps what a visit has cost so far.
func (s *Shelf) PutWatch(id string, w rollout.Watch) error { return s.watch(id, w.Host).Save(w) }

// Watch is what the visit of a host has cost.
func (s *Shelf) Watch(id string, host wire.HostID) (w rollout.Watch, found bool, err error) {
	return s.watch(id, host).Renew()
}

// Watches are what all visits of a rollout cost. One that can't be read is left out: the error says so.
func (s *Shelf) Watches(id string) (out []rollout.Watch, err error) {
	entries, err := os.ReadDir(filepath.Join(s.dir, id))
	if err != nil {
		return nil, fmt.Errorf("read rollout %s: %v", id, err)
	}
	for _, e := range entries {
		host, ok := strings.CutPrefix(strings.TrimSuffix(e.Name(), ".json"), "host-")
		if !ok || !strings.HasSuffix(e.Name(), ".json") {
			continue
		}
		w, found, bad := s.Watch(id, wire.HostID(host))
		if err = errors.Join(err, bad); found {
			out = append(out, w)
		}
	}
	return out, err
}
