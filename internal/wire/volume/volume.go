// Package volume is what a host says of a container's volumes.
//
// Owns: the usage of a volume, as it stands in a host's report and in the API's nodes.
// In: JSON between agent, orchestrator and hnctl.
// Out: values.
// Never: looks at a disk (agent/volume does), or says which volumes a container shall have (internal/wire/host does).
//
// History: 2026-11-27 version 1.
package volume

import "fmt"

// Use is one volume as it is.
type Use struct {
	Name string `json:"name"`
	// Bytes is what its quota counts: all that was written in it and that it, or a snapshot of it, still holds.
	Bytes int64  `json:"bytes"`
	Limit int64  `json:"limit,omitempty"` // its quota in bytes; 0 is none
	NoCOW bool   `json:"noCow,omitempty"` // its files are written in place, without checksums
	Note  string `json:"note,omitempty"`  // what of it is not as it was wished, and why
}

// Percent is how full it is; 0 without a quota.
func (u Use) Percent() int {
	if u.Limit <= 0 {
		return 0
	}
	return int(100 * float64(u.Bytes) / float64(u.Limit))
}

// Size is its quota for people.
func (u Use) Size() string {
	if u.Limit <= 0 {
		return "no limit"
	}
	return fmt.Sprintf("%d MiB", u.Limit>>20)
}
