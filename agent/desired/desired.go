// Package desired keeps on disk what this host shall be.
//
// Owns: the Work, Peers and System documents, the trail of changes behind a long one of Peers, the last confirmed version of each
// component and the one that was gone back from, the UID range of each container, and room held back for all of them.
// In: Assignments from agent/link; the Day-0 bundle's first Work.
// Out: the documents as they are on disk, and a hint when they change.
// Never: acknowledges what is not durable, or destroys a document it can't read: that one is set aside and kept.
package desired

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"hardnode.dev/agent/plan"
	"hardnode.dev/internal/build"
	"hardnode.dev/internal/keep"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// workDoc is the file work.json.
type workDoc struct {
	Work      *host.Work                   `json:"work"`
	Confirmed map[wire.CTID]host.Container `json:"confirmed,omitempty"`
	Back      map[wire.CTID]host.WentBack  `json:"back,omitempty"` // versions that were tried and gone back from
	// Program is the version that accepted the documents: another one asks for them anew, since this one may not have known all of them.
	Program string `json:"program,omitempty"`
}

// systemDoc is the file system.json.
type systemDoc struct {
	System  *host.System `json:"system"`
	Program string       `json:"program,omitempty"` // that accepted it, as in workDoc
}

// program is the version of this program.
var program = build.Version + " " + build.Time

// Store holds the documents. All methods may be called at once.
type Store struct {
	work    keep.Doc[workDoc]
	peers   keep.Doc[*host.Kept]
	system  keep.Doc[systemDoc]
	ranges  keep.Doc[map[wire.CTID]uint32]
	images  string // what the boot medium carries
	reserve reserve
	log     *slog.Logger

	changed  chan struct{}
	ordered  chan struct{} // the System changed
	problems []host.Problem

	// writing is held by whoever changes a document, until that is on disk. Readers, the host's reports above all, never wait for a disk:
	// they take mu alone, which guards the values for a moment.
	writing struct {
		sync.Mutex
		trail   trail // of the Peers' names
		ranges  map[wire.CTID]uint32
		foreign []uint32 // ranges that something runs in and nobody is given: an earlier version's
	}
	mu struct {
		sync.Mutex
		work   workDoc
		peers  *host.Kept
		system systemDoc
		// Which of the documents another version of this program accepted.
		otherWork, otherPeers bool // or, of the Peers, that a change did not fit them
	}
}

// Open reads the documents in dir, making it if needed; imageDir is the boot medium's (boot.ImageDir). A damaged document is set aside as
// NAME.damaged and reported as a problem: the host then touches nothing until its orchestrator has sent it again. One written by a later
// version is an error.
func Open(dir, imageDir string, log *slog.Logger) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open desired state: %v", err)
	}
	s := &Store{
		work:    keep.Doc[workDoc]{Path: filepath.Join(dir, "work.json"), Version: host.WorkVersion},
		peers:   keep.Doc[*host.Kept]{Path: filepath.Join(dir, "peers.json"), Version: host.PeersVersion, Sent: true},
		system:  keep.Doc[systemDoc]{Path: filepath.Join(dir, "system.json"), Version: host.SystemVersion, Sent: true},
		ranges:  keep.Doc[map[wire.CTID]uint32]{Path: filepath.Join(dir, "ranges.json"), Version: 1},
		images:  imageDir,
		reserve: reserve{filepath.Join(dir, "reserve")},
		log:     logging.Or(log),
		changed: make(chan struct{}, 1),
		ordered: make(chan struct{}, 1),
	}
	if err := errors.Join(load(s, s.work, &s.mu.work, sent), load(s, s.peers, &s.mu.peers, sent),
		load(s, s.system, &s.mu.system, sent),
		load(s, s.ranges, &s.writing.ranges,
			"nothing is needed: what runs keeps its range, and the others get one with their next start")); err != nil {
		return nil, err
	}
	s.writing.ranges = usable(s.writing.ranges)
	other := s.mu.work.Program != program
	s.mu.otherWork, s.mu.otherPeers = other, other
	s.writing.trail = trail{path: filepath.Join(dir, "peers.trail"), doc: s.peers.Path}
	switch p := s.mu.peers; {
	case p == nil:
	case p.Fits() != nil: // no change leads on from it; what it says holds until all of it is there again
		s.mu.peers, s.mu.otherPeers, s.writing.trail.lines = &host.Kept{Peers: p.Peers}, true, longTrail
	default:
		var err error
		if s.mu.peers, err = s.writing.trail.follow(p); err != nil {
			s.log.Warn("names are as they were before the last changes: the orchestrator tells them again", logging.Reason, err)
		}
	}
	return s, nil
}

const sent = "nothing is needed if the orchestrator is reachable: it sends the document again"

func load[T any](s *Store, d keep.Doc[T], into *T, next string) error {
	v, _, err := d.Load()
	if errors.Is(err, keep.ErrDamaged) {
		aside := d.Path + ".damaged"
		if rerr := os.Rename(d.Path, aside); rerr != nil {
			return errors.Join(err, rerr)
		}
		s.log.Error("document set aside", "path", aside, logging.Err, err)
		s.problems = append(s.problems, host.Problem{Code: "internal", Object: d.Path, Reason: err.Error(),
			Next: next + "; the damaged one is kept as " + aside})
		return nil
	}
	if err != nil {
		return err
	}
	*into = v
	return nil
}

// Changed delivers a hint after a document changed; one reader.
func (s *Store) Changed() <-chan struct{} { return s.changed }

// Problems are what was wrong with the documents when they were opened.
func (s *Store) Problems() []host.Problem { return s.problems }

// Note adds a problem, before anything else uses the store.
func (s *Store) Note(p host.Problem) { s.problems = append(s.problems, p) }

// Work is the work on disk, or nil; it must not be changed. The second value is the last confirmed version of each component.
func (s *Store) Work() (*host.Work, map[wire.CTID]host.Container) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.work.Work, s.mu.work.Confirmed
}

// Peers is the peers document on disk, or nil; it must not be changed. Names and Groups are those that this host may see. It is another
// pointer whenever anything of it changed, the names too, which its Revision does not count.
func (s *Store) Peers() *host.Peers {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.peers == nil {
		return nil
	}
	return &s.mu.peers.Peers
}

// System is the system that is wanted, or nil; it must not be changed.
func (s *Store) System() *host.System {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.system.System
}

// Ordered delivers a hint after the System changed; one reader.
func (s *Store) Ordered() <-chan struct{} { return s.ordered }

// Revisions are those of the documents on disk, 0 where there is none.
func (s *Store) Revisions() (work, peers wire.Revision) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.work.Work != nil {
		work = s.mu.work.Work.Revision
	}
	if s.mu.peers != nil {
		peers = s.mu.peers.Revision
	}
	return work, peers
}

// Known is what need not be sent again: not what another version of this program accepted, before or after a rollback. It may have left out
// what it did not know.
func (s *Store) Known() host.Known {
	s.mu.Lock()
	defer s.mu.Unlock()
	var known host.Known
	if !s.mu.otherPeers {
		known = s.mu.peers.Known()
	}
	if s.mu.work.Work != nil && !s.mu.otherWork {
		known.Work = s.mu.work.Work.Revision
	}
	if sys := s.mu.system; sys.System != nil && sys.Program == program {
		known.System = sys.System.Revision
	}
	return known
}

// Accept makes the parts of a durable, the work last: with it goes the name of the program that accepted both. Containers of jelastic that
// the new work does not mention are carried over. A change that does not fit what is here is an error, after which all of it is asked for,
// and so is one that there is no room for. The work is taken in all the same: it may be what makes room.
func (s *Store) Accept(a host.Assignment) error {
	var errs []error
	take := func(err error, hint chan<- struct{}) {
		if errs = append(errs, err); err != nil {
			return
		}
		select {
		case hint <- struct{}{}:
		default:
		}
	}
	if a.Peers != nil || a.PeersChange != nil || a.Names != nil {
		err := s.setPeers(a)
		if errors.Is(err, host.ErrOther) {
			err = fmt.Errorf("%w; it asks for all of it", err)
		}
		take(err, s.changed)
	}
	if a.Work != nil {
		take(s.setWork(a.Work), s.changed)
	}
	if a.System != nil {
		take(s.setSystem(a.System), s.ordered)
	}
	return errors.Join(errs...)
}

func (s *Store) setWork(w *host.Work) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	had, confirmed := s.Work()
	if had != nil && w.Revision < had.Revision {
		s.log.Warn("work goes back", logging.Rev, w.Revision, "had", had.Revision, logging.Reason, "the orchestrator's store was restored")
	}
	merged := plan.Carry(had, w)
	if err := s.fillImages(had, confirmed, merged); err != nil {
		return err
	}
	next := workDoc{Work: merged, Confirmed: plan.Confirmed(confirmed, merged), Back: plan.Back(s.Back(), merged), Program: s.accepted()}
	if err := s.reserve.save(func() error { return s.work.Save(next) }); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.work, s.mu.otherWork = next, false
	return nil
}

// Back is the version of each component that was tried and gone back from; it must not be changed.
func (s *Store) Back() map[wire.CTID]host.WentBack {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.work.Back
}

// GoBack notes the versions that are gone back from: they are not tried again, whatever the clock says then. What can't be written holds
// until this program ends all the same.
func (s *Store) GoBack(back map[wire.CTID]host.WentBack) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	next := s.mu.work
	next.Back = plan.Back(back, next.Work) // there may be another work meanwhile
	s.mu.work = next
	s.mu.Unlock()
	return s.reserve.save(func() error { return s.work.Save(next) })
}

func (s *Store) setSystem(sys *host.System) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	next := systemDoc{System: sys, Program: program}
	if err := s.reserve.save(func() error { return s.system.Save(next) }); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.system = next
	return nil
}

// accepted is the program that accepted both the work that is about to be written and the peers that are there. "": no one did, and both
// are asked for anew after the next start.
func (s *Store) accepted() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.peers != nil && s.mu.otherPeers && s.mu.work.Program != program {
		return ""
	}
	return program
}

// setPeers writes what an assignment brings of the cluster, all in one document or as one line of its trail: whatever is cut off, there is
// the old state or the new one.
func (s *Store) setPeers(a host.Assignment) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	had := s.mu.peers
	s.mu.Unlock()
	next, err := had.Take(a)
	if err == nil {
		err = s.reserve.save(func() error { return s.keepPeers(a, next) })
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.mu.otherPeers = s.mu.otherPeers || errors.Is(err, host.ErrOther)
		return err
	}
	s.mu.peers, s.mu.otherPeers = next, false
	return nil
}
