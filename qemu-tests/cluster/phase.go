package cluster

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// Progress is one change in what Start is doing. A phase begins (Detail may be empty), gives details, and ends (Done, with Err when it
// failed). Phases overlap.
type Progress struct {
	Phase  string
	Detail string
	Done   bool
	Err    error
	Took   time.Duration // set with Done
}

// Timing is how long one phase took and when it began, from the start of Start.
type Timing struct {
	Phase       string
	Begin, Took time.Duration
}

// phases measures overlapping phases and tells of them.
type phases struct {
	begin time.Time
	tell  func(Progress)

	done struct {
		sync.Mutex
		list []Timing
	}
}

// run carries out one phase. f calls its argument with details while it works.
func (p *phases) run(name string, f func(detail func(format string, args ...any)) error) error {
	begin := time.Now()
	p.send(Progress{Phase: name})
	err := f(func(format string, args ...any) { p.send(Progress{Phase: name, Detail: fmt.Sprintf(format, args...)}) })
	took := time.Since(begin)
	p.done.Lock()
	p.done.list = append(p.done.list, Timing{Phase: name, Begin: begin.Sub(p.begin), Took: took})
	p.done.Unlock()
	p.send(Progress{Phase: name, Done: true, Err: err, Took: took})
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func (p *phases) send(x Progress) {
	if p.tell != nil {
		p.tell(x)
	}
}

// timings are the finished phases in the order they began.
func (p *phases) timings() []Timing {
	p.done.Lock()
	defer p.done.Unlock()
	out := slices.Clone(p.done.list)
	slices.SortFunc(out, func(a, b Timing) int { return int(a.Begin - b.Begin) })
	return out
}
