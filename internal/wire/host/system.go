package host

import (
	"cmp"
	"fmt"
	"reflect"
	"strings"
	"time"
	"unicode"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/slots"
)

// SystemVersion is the version of the document System that this package reads and writes.
const SystemVersion = 1

// System is the release that a host's system shall be of. It is a wish: the host runs only what both repositories of signed metadata name.
type System struct {
	Version  int           `json:"version"` // SystemVersion
	Revision wire.Revision `json:"revision"`
	Release  string        `json:"release,omitempty"` // "": nothing is wanted; an order that was given is taken back
	Step     SystemStep    `json:"step,omitempty"`
	// WithinSec is how long the new system has to be well, in seconds from the kernel's start: 30 to 7200; 0 is 600.
	WithinSec int64  `json:"withinSec,omitempty"`
	Order     string `json:"order,omitempty"` // names the order: one that failed is not tried again
	By        string `json:"by,omitempty"`    // who gave it, for people
	Reason    string `json:"reason,omitempty"`
	// Boot is the boot in which the order was given to a host that boots from the network: it boots anew for it in that one alone.
	Boot string `json:"boot,omitempty"`
}

// SystemStep is how far an order goes.
type SystemStep string

// The steps. A host takes one that it doesn't know for Stage.
const (
	Stage  SystemStep = "stage"  // the release is written into the slot that is not booted
	Switch SystemStep = "switch" // likewise; then it is booted, and committed when it is well
	// Hot: likewise, but the programs that run are replaced by its programs, without a reboot, if nothing else of the release is another
	// one; the next boot, whenever it comes, is from the slot.
	Hot SystemStep = "hot"
	// Kexec: as Switch, but the kernel that runs starts the system itself, without the firmware and the loader, where that can be.
	Kexec SystemStep = "kexec"
)

// Bounds of what an order says.
const (
	LeastWithinSec = 30
	MostWithinSec  = 7200
	MostHotSec     = 3600 // of programs that are replaced
	maxOrderText   = 200  // bytes
)

// NotHot is in the reason of a hot order that failed because more than programs differs: nothing was replaced, and an order to switch may
// follow.
const NotHot = "can't be hot"

// NotKexec is in the reason of an order by kexec that failed because this host can't do that: nothing was touched, and an order to switch
// may follow.
const NotKexec = "can't be started by kexec"

// Wanted tells whether there is an order; s may be nil.
func (s *System) Wanted() bool { return s != nil && s.Release != "" }

// Validate says which field is wrong, or nil.
func (s *System) Validate() error {
	fail := func(format string, args ...any) error { return fmt.Errorf("system: "+format, args...) }
	switch {
	case s.Version != SystemVersion:
		return fail("version %d is not known, want %d", s.Version, SystemVersion)
	case s.Revision < 0:
		return fail("revision %d is negative", s.Revision)
	case s.Release == "":
		return nil
	case s.WithinSec != 0 && (s.WithinSec < LeastWithinSec || s.WithinSec > MostWithinSec):
		return fail("withinSec: %d, want %d to %d, or 0", s.WithinSec, LeastWithinSec, MostWithinSec)
	case s.Order == "":
		return fail("order: is empty")
	}
	for _, f := range []struct{ name, text string }{{"release", s.Release}, {"order", s.Order}, {"by", s.By}, {"reason", s.Reason},
		{"boot", s.Boot}} {
		if len(f.text) > maxOrderText || strings.ToValidUTF8(f.text, "") != f.text || strings.ContainsFunc(f.text, unicode.IsControl) {
			return fail("%s: want one line of at most %d bytes", f.name, maxOrderText)
		}
	}
	return nil
}

// SystemState is where a host is with its system.
type SystemState string

// The states of a host's system. The ones from Looking to Trying pass; Reason says why one of them takes long.
const (
	SystemIdle      SystemState = "idle"      // nothing is to be done: what is wanted runs, or nothing is wanted
	SystemLooking   SystemState = "looking"   // at the metadata of both repositories
	SystemFetching  SystemState = "fetching"  // the blocks that it lacks, and writing them into the slot
	SystemStaged    SystemState = "staged"    // the release is in the slot that is not booted, and was read back from it
	SystemSwitching SystemState = "switching" // the reboot into it is ordered
	SystemTrying    SystemState = "trying"    // it is booted, and not yet well in all it must be (Waits)
	SystemDone      SystemState = "done"      // it is committed
	SystemFailed    SystemState = "failed"    // it went back by itself, or could not be staged; it is not tried again
	SystemRefused   SystemState = "refused"   // the repositories do not allow it now; it is looked at again from time to time
)

// SystemStatus is what a host says of its system.
type SystemStatus struct {
	Release string `json:"release"` // that was booted
	// Hot is the release of the programs that run in place of those of Release; "": Release's own.
	Hot string `json:"hot,omitempty"`
	// Digest is that of the file of the slot that was booted; "" on a host that is not installed, which can't tell.
	Digest wire.Digest `json:"digest,omitempty"`
	Slot   slots.Name  `json:"slot,omitempty"` // that was booted; "": the host is not installed, or it can't be told
	// Root is, of a host that is not installed, the digest of the root's filesystem image that it runs; "": not measured yet.
	Root wire.Digest `json:"root,omitempty"`
	// Net: the host is not installed and was booted from the network, from which it takes another release.
	Net    bool        `json:"net,omitempty"`
	State  SystemState `json:"state"`
	Order  string      `json:"order,omitempty"`  // the last one taken up
	Target string      `json:"target,omitempty"` // its release, or the stop-over to it that comes first
	Bytes  int64       `json:"bytes,omitempty"`  // of Target that are here
	Total  int64       `json:"total,omitempty"`
	// Fetched are the bytes of Target that came over the network, its block index among them.
	Fetched  int64    `json:"fetched,omitempty"`
	Reason   string   `json:"reason,omitempty"`   // why it is not further, in words for people, with the next step
	Waits    []string `json:"waits,omitempty"`    // what the system that is tried is not yet well in
	Deadline int64    `json:"deadline,omitempty"` // when the host goes back, Unix seconds by its clock
	Since    int64    `json:"since,omitempty"`    // of State, likewise
	// AwaySec is above 0 while programs are replaced, the agent among them: for so many seconds after this the host may say nothing, while
	// all that runs on it goes on.
	AwaySec int64 `json:"awaySec,omitempty"`
}

// MostAwaySec is the most that AwaySec counts for, whatever is said.
const MostAwaySec = MostHotSec + 300

// Away is how long the host may say nothing while its programs are replaced; 0: they are not. s may be nil.
func (s *SystemStatus) Away() time.Duration {
	if s == nil {
		return 0
	}
	return time.Duration(min(max(0, s.AwaySec), MostAwaySec)) * time.Second
}

// Runs is the release of the programs that run.
func (s *SystemStatus) Runs() string { return cmp.Or(s.Hot, s.Release) }

// Same tells whether two say the same; either may be nil.
func (s *SystemStatus) Same(o *SystemStatus) bool {
	return s == o || s != nil && o != nil && reflect.DeepEqual(*s, *o)
}
