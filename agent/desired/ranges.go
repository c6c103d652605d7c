package desired

import (
	"fmt"
	"maps"
	"slices"

	"hardnode.dev/agent/spawner/call"
	"hardnode.dev/internal/wire"
)

// UID ranges: 65536 ids for each container, from firstRange on; for one whose image needs more of them (host.Image.IDBlocks), a large range
// from call.LargeRanges on. They are this host's own business: ids on disk are unshifted. A large range holds all of its container's ids
// whatever blocks of them its next image needs. The last ranges are left out: the kernel's number for "none" is in them.
const (
	rangeSize  = 1 << 16
	firstRange = 1 << 20
	lastRange  = call.LargeRanges - rangeSize
	lastLarge  = 1<<32 - 2*call.LargeRange
)

// sizeOf is how many ids the range at base has.
func sizeOf(base uint32) int64 {
	if base >= call.LargeRanges {
		return call.LargeRange
	}
	return rangeSize
}

// UIDBase is the first id of the container's range: the one it has, or a free one, recorded before it is returned. A container that was
// given a small range, and now needs a large one, gets it: it must not run.
func (s *Store) UIDBase(id wire.CTID, large bool) (uint32, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	had, ok := s.writing.ranges[id]
	if ok && (!large || had >= call.LargeRanges) {
		return had, nil
	}
	first, last, size := int64(firstRange), int64(lastRange), int64(rangeSize)
	if large {
		first, last, size = call.LargeRanges, lastLarge, call.LargeRange
	}
	used := make(map[int64]bool, len(s.writing.ranges)+len(s.writing.foreign)) // places of this size that hold any id of a range
	for _, b := range append(slices.Collect(maps.Values(s.writing.ranges)), s.writing.foreign...) {
		for at := int64(b) / size; at <= (int64(b)+sizeOf(b)-1)/size; at++ {
			used[at*size] = true
		}
	}
	for base := first; base <= last; base += size {
		if used[base] {
			continue
		}
		s.writing.ranges[id] = uint32(base)
		if err := s.saveRanges(); err != nil {
			if delete(s.writing.ranges, id); ok {
				s.writing.ranges[id] = had
			}
			return 0, err
		}
		return uint32(base), nil
	}
	return 0, fmt.Errorf("give container %d a UID range: all %d of %d ids are taken", id, (last-first)/size+1, size)
}

func (s *Store) saveRanges() error {
	return s.reserve.save(func() error { return s.ranges.Save(s.writing.ranges) })
}

// usable is the ranges of a document that can be given out: aligned, in bounds, and each one container's. Ids on disk are unshifted, so a
// container that does not run takes any other range as well; what runs tells its own (InUse).
func usable(ranges map[wire.CTID]uint32) map[wire.CTID]uint32 {
	of := map[uint32]int{}
	for _, base := range ranges {
		of[base]++
	}
	out := map[wire.CTID]uint32{}
	for id, base := range ranges {
		if valid(base) && of[base] == 1 {
			out[id] = base
		}
	}
	return out
}

func valid(base uint32) bool {
	if base >= call.LargeRanges {
		return base%call.LargeRange == 0 && base <= lastLarge
	}
	return base%rangeSize == 0 && base >= firstRange && base <= lastRange
}

// InUse records the ranges that processes were found running in. They win over what is recorded: a container that does not run and has one
// of them gets another with its next start. shared are containers that run in another's range; it is called before anything is started.
func (s *Store) InUse(running map[wire.CTID]uint32) (shared []wire.CTID, err error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	owner, changed := map[uint32]wire.CTID{}, false
	s.writing.foreign = nil
	for _, id := range slices.Sorted(maps.Keys(running)) {
		base := running[id]
		if _, taken := owner[base]; taken {
			shared = append(shared, id)
			continue
		}
		owner[base] = id
		if !valid(base) {
			s.writing.foreign = append(s.writing.foreign, base)
		}
		if valid(base) && s.writing.ranges[id] != base {
			s.writing.ranges[id], changed = base, true
		}
	}
	for id, base := range s.writing.ranges {
		if who, used := owner[base]; used && who != id && running[id] != base {
			delete(s.writing.ranges, id)
			changed = true
		}
	}
	if !changed {
		return shared, nil
	}
	return shared, s.saveRanges()
}

// HasRange tells whether a container has a range of user ids here: it was started here, and was not removed since.
func (s *Store) HasRange(id wire.CTID) bool {
	s.writing.Lock()
	defer s.writing.Unlock()
	_, ok := s.writing.ranges[id]
	return ok
}

// FreeUIDBase gives the range of a removed container back.
func (s *Store) FreeUIDBase(id wire.CTID) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	base, ok := s.writing.ranges[id]
	if !ok {
		return nil
	}
	delete(s.writing.ranges, id)
	if err := s.saveRanges(); err != nil {
		s.writing.ranges[id] = base
		return err
	}
	return nil
}
