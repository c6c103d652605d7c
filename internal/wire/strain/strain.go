// Package strain is what a container lacks: what hosts report beside what it uses.
//
// Owns: the type that host.ContainerStatus carries, and when a container counts as pressed.
// In: numbers.
// Out: values; nothing at all of a container that lacks nothing, so that a report of many idle ones stays small.
// Never: reads the kernel's files, or decides what becomes of a container.
//
// History: 2026-11-27 version 1. 2026-11-27 Strain.Connections.
package strain

import "fmt"

// Strain is what one container lacks.
type Strain struct {
	// Percent of the last minute in which some of it waited for a processor, memory or a disk (kernel: Documentation/accounting/psi).
	CPU    int `json:"cpu,omitempty"`
	Memory int `json:"memory,omitempty"`
	IO     int `json:"io,omitempty"`
	// Counters, which go on when it is started again; they begin anew with its host's agent, but for what it counts since its last start.
	ThrottledMs int64 `json:"throttledMs,omitempty"` // milliseconds in which its CPU ceiling held it back
	Kills       int64 `json:"kills,omitempty"`       // processes that the kernel ended because its memory ran out
	// Connections is 1 while new ones are dropped, or were in the last minute, because it has as many as one container may.
	Connections int `json:"connections,omitempty"`
}

// Words say it for people; none of a container that lacks nothing.
func (s Strain) Words() (list []string) {
	for _, w := range []struct {
		n    int64
		text string
	}{{int64(s.CPU), "processor %d %%"}, {int64(s.Memory), "memory %d %%"}, {int64(s.IO), "disk %d %%"},
		{s.ThrottledMs, "held back by its CPU limit for %d ms"}, {s.Kills, "%d killed as memory ran out"}} {
		if w.n > 0 {
			list = append(list, fmt.Sprintf(w.text, w.n))
		}
	}
	if s.Connections > 0 {
		list = append(list, "it has as many connections as one may")
	}
	return list
}

// Pressed is from how many percent on a container counts as pressed.
const Pressed = 10
