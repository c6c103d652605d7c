package told

import (
	"cmp"
	"slices"

	"hardnode.dev/internal/wire/host"
)

// set is what there is of one kind, its sum, and its last changes. The zero value is empty.
type set[K cmp.Ordered, V any] struct {
	all   map[K]V
	sum   host.Sum
	steps []step[K] // oldest first
}

// step is one change.
type step[K any] struct {
	before host.Sum // of the set
	key    K
}

// keptSteps is how many changes a set remembers at least, once there were so many; one that has more members remembers as many as it has:
// for more of them, all of it is sent as well.
const keptSteps = 1024

// put changes a member; by is its new sum and its old one together.
func (s *set[K, V]) put(key K, v V, by host.Sum) {
	if s.all == nil {
		s.all = map[K]V{}
	}
	s.all[key] = v
	s.step(key, by)
}

// drop takes out a member that has this sum.
func (s *set[K, V]) drop(key K, sum host.Sum) {
	delete(s.all, key)
	s.step(key, sum)
}

func (s *set[K, V]) step(key K, by host.Sum) {
	s.steps = append(s.steps, step[K]{s.sum, key})
	s.sum ^= by
	if keep := max(keptSteps, len(s.all)); len(s.steps) > 2*keep {
		s.steps = slices.Clone(s.steps[len(s.steps)-keep:])
	}
}

// since are the members that changed, or went, since the set had that sum; false when that is not known.
func (s *set[K, V]) since(sum host.Sum) (keys []K, ok bool) {
	seen := map[K]bool{}
	for i := len(s.steps) - 1; i >= 0 && sum != 0; i-- {
		if k := s.steps[i].key; !seen[k] {
			seen[k] = true
			keys = append(keys, k)
		}
		if s.steps[i].before == sum {
			return keys, true
		}
	}
	return nil, false
}
