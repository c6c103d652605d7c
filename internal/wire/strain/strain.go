// Package strain is what a container lacks: what hosts report beside what it uses.
//
// Owns: the type that host.ContainerStatus carries, and when a container counts as pressed.
// In: numbers.
// Out: values; nothing at all of a container that lacks nothing, so that a report of many idle ones stays small.
// Never: reads the kernel's files, or decides what becomes of a container.
//
// History: 2026-11-27 version 1. 2026-11-27 Strain.Connections.
package strain

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

// Pressed is from how many percent on a container counts as pressed.
const Pressed = 10
