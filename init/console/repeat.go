package console

import (
	"fmt"
	"slices"
	"time"
)

// Repeats decides which lines of one source are shown: a line that was shown a short time ago is counted, and the count is told when
// another line comes or that time is over, as syslogd does. Lines that come in turn (A B A B) are counted too, unless only the last one is
// remembered. The zero value has shown nothing.
type Repeats struct {
	last bool       // only the last line is remembered: each is an event of its own, and news once another has come between
	seen []repeated // the one told last at the end
}

type repeated struct {
	text  string
	more  int           // times since it was told
	until time.Duration // when its count is told, or it is forgotten
	span  time.Duration
}

// How long a line is counted before its count is told: twice as long each time the line goes on.
const (
	spanMin = 30 * time.Second
	spanMax = 10 * time.Minute
	keep    = 8 // different lines of a source that are remembered
	headLen = 120
)

// Add takes in a line at a moment (any clock that only goes forward) and returns the lines to show now.
func (r *Repeats) Add(now time.Duration, text string) []string {
	out := r.Due(now)
	if i := slices.IndexFunc(r.seen, func(s repeated) bool { return s.text == text }); i >= 0 {
		r.seen[i].more++
		return out
	}
	for i := range r.seen {
		out = append(out, r.seen[i].told()...)
	}
	if r.last {
		r.seen = nil
	}
	if len(r.seen) == keep {
		r.seen = slices.Delete(r.seen, 0, 1)
	}
	r.seen = append(r.seen, repeated{text: text, until: now + spanMin, span: spanMin})
	return append(out, text)
}

// Due returns the counts to tell now.
func (r *Repeats) Due(now time.Duration) (out []string) {
	r.seen = slices.DeleteFunc(r.seen, func(s repeated) bool { return s.more == 0 && now >= s.until })
	for i := range r.seen {
		if s := &r.seen[i]; now >= s.until {
			out = append(out, s.told()...)
			s.span = min(2*s.span, spanMax)
			s.until = now + s.span
		}
	}
	return out
}

// Rest returns all counts not told yet.
func (r *Repeats) Rest() (out []string) {
	for i := range r.seen {
		out = append(out, r.seen[i].told()...)
	}
	return out
}

func (s *repeated) told() []string {
	n, text := s.more, s.text
	s.more = 0
	if n == 0 {
		return nil
	}
	if head := []rune(text); len(head) > headLen {
		text = string(head[:headLen]) + "..."
	}
	if n == 1 {
		return []string{"repeated once: " + text}
	}
	return []string{fmt.Sprintf("repeated %d times: %s", n, text)}
}
