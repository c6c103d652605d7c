//go:build qemu

package story

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"hardnode.dev/qemu-tests/harness/ask"
)

var (
	acceptedLine = regexp.MustCompile(`msg="work accepted".* took=(\S+)`)
	startedLine  = regexp.MustCompile(`level=INFO msg=step .*step=start .*took=(\S+)`)
)

// shares reports what starting a container takes on a host, and beside it what comes before: the way of its work to the host, and the
// fsync that puts it on the host's disk.
func shares(s story) {
	var saved, started []time.Duration
	for _, h := range s.Hosts {
		a, err := h.Ask(s.Context(), ask.Request{What: "read", Path: "/run/hardnode/log/agent"})
		if err != nil {
			s.Fatal(err)
		}
		saved, started = append(saved, took(s, a.Text, acceptedLine)...), append(started, took(s, a.Text, startedLine)...)
	}
	text, err := s.Metrics(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	var sum, count float64
	for l := range strings.Lines(text) {
		fmt.Sscanf(l, "hardnode_work_accepted_seconds_sum %g", &sum)
		fmt.Sscanf(l, "hardnode_work_accepted_seconds_count %g", &count)
	}
	if len(saved) == 0 || len(started) == 0 || count == 0 {
		s.Fatalf("%d works on disk, %d starts, %g confirmed: want some of each", len(saved), len(started), count)
	}
	s.figure("start of a container, image present, from its plan until it runs: p50 %s of %d", middle(started), len(started))
	s.figure("before it: work on the host's disk (fsync) p50 %s of %d; from sent until confirmed (link there and back, fsync) mean %.0f "+
		"ms of %.0f",
		middle(saved), len(saved), 1000*sum/count, count)
}

func took(s story, log string, line *regexp.Regexp) (list []time.Duration) {
	for _, m := range line.FindAllStringSubmatch(log, -1) {
		d, err := time.ParseDuration(m[1])
		if err != nil {
			s.Fatalf("log line %q: %v", m[0], err)
		}
		list = append(list, d)
	}
	return list
}

func middle(list []time.Duration) time.Duration {
	slices.Sort(list)
	return list[len(list)/2].Round(100 * time.Microsecond)
}
