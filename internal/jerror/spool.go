package jerror

import (
	"fmt"
	"reflect"
	"slices"
	"sync"
	"time"

	"hardnode.dev/internal/keep"
	"hardnode.dev/internal/wire/jls"
)

// Spool is where errors wait, on disk, until somebody took them. It is bounded: of too many groups the one that was last seen longest ago
// goes, and its errors are counted as lost. Its methods may be called at once.
type Spool struct {
	Path string

	mu struct {
		sync.Mutex
		loaded bool
		kept   Kept
	}
}

// Kept is a Spool as it lies on disk.
type Kept struct {
	jls.ErrorReport
	Once []string `json:"once,omitempty"` // the last names of what was added once
}

const (
	maxOnce = 64
	keepFor = 30 * 24 * time.Hour // of a group since its last error
)

func (s *Spool) doc() keep.Doc[Kept] { return keep.Doc[Kept]{Path: s.Path, Version: 1} }

// change changes what is kept; the disk has it when it returns without an error.
func (s *Spool) change(f func(*Kept)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.mu.loaded {
		kept, _, err := s.doc().Renew() // a damaged one is set aside: what is told is worth more than what was
		s.mu.kept, s.mu.loaded = kept, true
		if err != nil {
			s.mu.kept.Lost++
		}
	}
	k := s.mu.kept
	k.Errors, k.Once = slices.Clone(k.Errors), slices.Clone(k.Once)
	if f(&k); reflect.DeepEqual(k, s.mu.kept) {
		return nil
	}
	if err := s.doc().Save(k); err != nil {
		return fmt.Errorf("keep errors: %w", err)
	}
	s.mu.kept = k
	return nil
}

// Add counts errors, and what others lost of theirs.
func (s *Spool) Add(r jls.ErrorReport) error {
	return s.change(func(k *Kept) {
		k.Lost += r.Lost
		for _, e := range r.Errors {
			k.add(e)
		}
	})
}

// Once is Add of one error that has a name, such as the boot that it was the cause of; it is counted once.
func (s *Spool) Once(name string, e jls.JError) error {
	return s.change(func(k *Kept) {
		if slices.Contains(k.Once, name) {
			return
		}
		k.Once = append(k.Once, name)
		k.Once = k.Once[max(0, len(k.Once)-maxOnce):]
		k.add(e)
	})
}

func (k *Kept) add(e jls.JError) {
	k.Errors = slices.DeleteFunc(k.Errors, func(o jls.JError) bool { return e.Last.Sub(o.Last) > keepFor })
	for i, o := range k.Errors {
		if o.Fingerprint == e.Fingerprint && o.Host == e.Host && o.Version == e.Version {
			o.Count += e.Count
			if o.First.After(e.First) {
				o.First = e.First
			}
			if o.Last.Before(e.Last) {
				o.Last = e.Last
			}
			k.Errors[i] = o
			return
		}
	}
	if k.Errors = append(k.Errors, e); len(k.Errors) > jls.MaxErrors {
		oldest := 0
		for i, o := range k.Errors {
			if o.Last.Before(k.Errors[oldest].Last) {
				oldest = i
			}
		}
		k.Lost += k.Errors[oldest].Count
		k.Errors = slices.Delete(k.Errors, oldest, oldest+1)
	}
}

// Waiting is what waits.
func (s *Spool) Waiting() (r jls.ErrorReport, err error) {
	err = s.change(func(k *Kept) { r = jls.ErrorReport{Errors: slices.Clone(k.Errors), Lost: k.Lost} })
	return r, err
}

// Taken says that somebody has taken what waited; what came since goes on waiting.
func (s *Spool) Taken(r jls.ErrorReport) error {
	return s.change(func(k *Kept) {
		k.Lost = max(0, k.Lost-r.Lost)
		for _, e := range r.Errors {
			for i := range k.Errors {
				if o := &k.Errors[i]; o.Fingerprint == e.Fingerprint && o.Host == e.Host && o.Version == e.Version {
					o.Count -= e.Count
				}
			}
		}
		k.Errors = slices.DeleteFunc(k.Errors, func(e jls.JError) bool { return e.Count <= 0 })
	})
}
