package release

import (
	"errors"
	"fmt"

	"golang.org/x/mod/semver"
)

// Version is that of a release: Semantic Versioning 2.0.0 without a "v" and without build metadata, such as 1.4.0 or 1.5.0-rc.1. It orders
// releases, names folders and is part of TUF targets.
type Version string

// Validate says why v is no version, or nil.
func (v Version) Validate() error {
	if s := "v" + string(v); len(v) > 60 || semver.Canonical(s) != s {
		return fmt.Errorf("version %q: want three numbers such as 1.4.0, or 1.5.0-rc.1", string(v))
	}
	return nil
}

// Compare is negative if v is older than w, 0 if they are the same, positive if it is newer. What is no version is older than any.
func (v Version) Compare(w Version) int { return semver.Compare("v"+string(v), "v"+string(w)) }

// CheckFloors says why floors can't be those of a release, or nil: each is older than it, and the oldest is first.
func CheckFloors(of Version, floors []Version) (err error) {
	for i, f := range floors {
		if e := f.Validate(); e != nil {
			err = errors.Join(err, fmt.Errorf("floors[%d]: %v", i, e))
		} else if f.Compare(of) >= 0 {
			err = errors.Join(err, fmt.Errorf("floors[%d]: %s is not older than the release, %s", i, f, of))
		} else if i > 0 && f.Compare(floors[i-1]) <= 0 {
			err = errors.Join(err, fmt.Errorf("floors[%d]: %s is not newer than %s before it: write the oldest first", i, f, floors[i-1]))
		}
	}
	return err
}

// Next is where a host that runs a release goes first on its way to m: the oldest floor that is newer than what it runs, or m itself. ok is
// false if it runs m already, or a newer one: then there is no way.
func (m Manifest) Next(runs Version) (next Version, ok bool) {
	if runs.Compare(m.Release) >= 0 {
		return "", false
	}
	for _, f := range m.Floors {
		if runs.Compare(f) < 0 {
			return f, true
		}
	}
	return m.Release, true
}
