package boot

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"hardnode.dev/internal/wire"
)

// RootsDir holds the roots that programs of other releases run from than the one that was booted: a folder each.
const RootsDir = RunDir + "/roots"

// RootFor is where the programs of a release run from whose system has the digest.
func RootFor(release string, system wire.Digest) string {
	return path.Join(RootsDir, release+"-"+system.Hex()[:8])
}

// ProgramsDir is where programs lie in a root.
const ProgramsDir = "/usr/lib/hardnode"

// PathHot is where init takes a HotOrder; POST PathKeep keeps the programs that are tried.
const (
	PathHot  = "/v1/hot"
	PathKeep = "/v1/hot/keep"
)

// HotOrder has init replace programs while the host runs, one after the other. It goes back to those that ran before unless all are ready
// and the new agent keeps them in time.
type HotOrder struct {
	Release   string   `json:"release"`   // of the programs, for people
	Root      string   `json:"root"`      // a folder of RootsDir; each program lies in its ProgramsDir
	Programs  []string `json:"programs"`  // services, in the order in which they are replaced
	WithinSec int64    `json:"withinSec"` // 30 to 3600
}

// Validate says which field is wrong, or nil.
func (o HotOrder) Validate() error {
	name, ok := strings.CutPrefix(o.Root, RootsDir+"/")
	switch {
	case o.Release == "" || len(o.Release) > 100:
		return fmt.Errorf("release %q: want 1 to 100 bytes", o.Release)
	case !ok || name == "" || strings.Contains(name, "/") || path.Clean(o.Root) != o.Root:
		return fmt.Errorf("root %q: want a folder of %s", o.Root, RootsDir)
	case len(o.Programs) == 0:
		return errors.New("programs: there are none")
	case o.WithinSec < 30 || o.WithinSec > 3600:
		return fmt.Errorf("withinSec: %d, want 30 to 3600", o.WithinSec)
	}
	return nil
}

// Program is the file of a program in the order's root.
func (o HotOrder) Program(name string) string { return path.Join(o.Root, ProgramsDir, name) }

// HotState is how far init is with an order.
type HotState string

// The states.
const (
	HotReplacing HotState = "replacing" // one program after the other
	HotTrying    HotState = "trying"    // all are ready; the agent has not kept them yet
	HotKept      HotState = "kept"
	HotBack      HotState = "back" // those from before run again; Reason says why
)

// Programs is the release of the programs that run now; "": those that were booted. h may be nil.
func (h *Hot) Programs() string {
	switch {
	case h == nil:
		return ""
	case h.State == HotTrying:
		return h.Release
	}
	return h.Runs
}

// Hot is what init says of programs that were replaced.
type Hot struct {
	Runs    string   `json:"runs,omitempty"` // the release of the programs that were kept last; "": those that were booted
	Release string   `json:"release"`        // of the last order
	Root    string   `json:"root"`           // likewise
	State   HotState `json:"state"`          // likewise
	Reason  string   `json:"reason,omitempty"`
}
