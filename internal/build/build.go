// Package build tells which Hardnode this program is.
//
// Owns: the version, stamped at link time.
// In: -ldflags "-X hardnode.dev/internal/build.Version=… -X hardnode.dev/internal/build.Time=…".
// Out: Version, and the time of the build for clocks that are behind it.
// Never: reads anything at run time.
package build

import (
	"strconv"
	"time"
)

// Version is a semantic version such as "0.1.0" or "0.1.0-dev"; set at link time.
var Version = "0.1.0-dev"

// Time is the build's commit time in Unix seconds as text; set at link time.
var Time = "0"

// When is the time of the build's commit; the zero Unix time when it was not stamped. No clock may be earlier (DESIGN "Join").
func When() time.Time {
	n, err := strconv.ParseInt(Time, 10, 64)
	if err != nil {
		return time.Unix(0, 0).UTC()
	}
	return time.Unix(n, 0).UTC()
}
