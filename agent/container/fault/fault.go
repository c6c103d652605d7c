// Package fault holds the errors of containers that callers test for.
//
// Owns: their values, so that each room of agent/container can wrap them.
// In: nothing.
// Out: the same values under agent/container's names, for those who use containers.
// Never: says which container it was about; whoever wraps one does.
package fault

import "errors"

// What may be tested with errors.Is.
var (
	ErrRunning    = errors.New("container is running")
	ErrNotRunning = errors.New("container is not running")
	ErrNotFound   = errors.New("container does not exist")
	ErrInvalid    = errors.New("container spec is invalid") // the Work must change before a start can work
)
