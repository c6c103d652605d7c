package blobs

import (
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
)

// grace is how long a part that no tag reaches is kept: its push may still be under way.
const grace = 24 * time.Hour

// flight knows which parts belong to pushes under way: what a client uploaded, or asked for and found, it will name in a manifest later.
type flight struct {
	began time.Time // nothing is known of before

	mu      sync.Mutex
	touched map[digest.Digest]map[string]time.Time // by repository
	orphans map[digest.Digest]bool                 // of manifests that were deleted, and of no push
}

func newFlight(now time.Time) *flight {
	return &flight{began: now, touched: map[digest.Digest]map[string]time.Time{}, orphans: map[digest.Digest]bool{}}
}

// touch notes that a push to the repository relies on d.
func (f *flight) touch(repo string, d digest.Digest, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.touched[d] == nil {
		f.touched[d] = map[string]time.Time{}
	}
	f.touched[d][repo] = now
	delete(f.orphans, d)
}

// landed notes that a tag of the repository reaches these: their push is over.
func (f *flight) landed(repo string, parts map[digest.Digest]bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for d := range parts {
		if delete(f.touched[d], repo); len(f.touched[d]) == 0 {
			delete(f.touched, d)
		}
		delete(f.orphans, d)
	}
}

// orphan notes that a person deleted what reached these: whatever nothing else needs may go at once.
func (f *flight) orphan(parts map[digest.Digest]bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for d := range parts {
		if len(f.touched[d]) == 0 {
			f.orphans[d] = true
		}
	}
}

// over tells whether no push under way can need d, which was written at the given time.
func (f *flight) over(d digest.Digest, written, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.isOver(d, written, now)
}

func (f *flight) isOver(d digest.Digest, written, now time.Time) bool {
	if by := f.touched[d]; len(by) > 0 {
		for _, at := range by {
			if now.Sub(at) <= grace {
				return false
			}
		}
		return true
	}
	return f.orphans[d] || now.Sub(written) > grace && now.Sub(f.began) > grace
}

// remove does so if d is over still; a push that begins to rely on it meanwhile waits, and finds it gone.
func (f *flight) remove(d digest.Digest, written, now time.Time, do func() error) (done bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.isOver(d, written, now) {
		return false, nil
	}
	return true, do()
}

// prune drops what is known of pushes that are over.
func (f *flight) prune(now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for d, by := range f.touched {
		for repo, at := range by {
			if now.Sub(at) > grace {
				delete(by, repo)
			}
		}
		if len(by) == 0 {
			delete(f.touched, d)
		}
	}
}

// forget drops what was removed.
func (f *flight) forget(d digest.Digest) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.touched, d)
	delete(f.orphans, d)
}
