// Package tune is what became of the servers in a container after its size changed.
//
// Owns: the type that host.ContainerStatus carries.
// In: nothing.
// Out: values.
// Never: tunes anything, or trusts the words: they come from inside the container.
//
// History: 2026-11-27 version 1.
package tune

import "time"

// Tuned is what JEM's setmem answered after the last resize. The zero value: it was not asked since the host's agent started.
type Tuned struct {
	At      int64  `json:"at,omitempty"` // Unix seconds
	Message string `json:"message,omitempty"`
	Failed  bool   `json:"failed,omitempty"` // Message says why: the size holds all the same
}

// Time is when it was.
func (d Tuned) Time() time.Time { return time.Unix(d.At, 0).UTC() }
