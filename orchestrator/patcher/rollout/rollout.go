// Package rollout decides how a release goes over the hosts of a cluster.
//
// Owns: the plan (cohorts, who is refused, what each node loses), the steps of a visit, the brakes, windows and soak times, and what a
// visit cost each node.
// In: a rollout, the platform as it was seen at one moment, that moment.
// Out: the rollout as it is then, and what is to be done now, each with a reason.
// Never: does I/O, reads the clock, or holds anything between two calls.
//
//	running ⇄ paused        people
//	running → done          the last cohort has been watched
//	running, paused → stopping → stopped     a brake; what was not committed is taken back first
//	running, paused → stopping → aborted     people; likewise
//
// A visit is a walk through the table of its kind (visit.go). What is asked of the platform is asked again until it is seen, so each deed
// must be the same when it is done twice, and whoever carries deeds out may be killed at any moment.
package rollout

import (
	"cmp"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
)

// Seen is the platform at one moment.
type Seen struct {
	At         time.Time
	Hosts      []Host
	Components []operator.Component // of the platform; none where it does not say
}

// Host is one host as it was seen. System and Nodes are known of those that Watched names.
type Host struct {
	operator.Host
	Cordoned bool
	System   *System              // nil: not asked, or it did not say
	Nodes    []operator.Node      // on it
	Asked    bool                 // Nodes are known
	Errors   []JError             // of the platform's programs on it, of all versions
	Drain    *operator.Operation  // of the visit, once there is one
	Fates    map[wire.CTID]string // for a plan: why a node can't be replaced elsewhere; absent: it can be. Nil: nobody knows
}

// JError is errors of a program of the platform that are alike, of one version.
type JError struct {
	Fingerprint, Component, Kind, Version, Message string

	Count int64
	Last  time.Time
}

// System is what is known of a host's system, and what is wanted of it.
type System struct {
	Runs     string // the release that was booted
	Hot      string // the release of the programs that run in place of those of Runs; "": its own
	Slot     string // it was booted from; "": it is not installed
	State    string // as host.SystemStatus has it
	Target   string // the release of the order it took up last
	Reason   string // why it is not further
	Waits    []string
	Bytes    int64
	Total    int64
	Took     bool   // the order in force is the one that it took up last
	Wanted   string // the release of the order in force; "": there is none
	Step     string // of that order: stage, switch or hot
	WantedAt time.Time
}

// runs is the release that a host runs: as it says of its system, or what its agent is.
func (h *Host) runs() string {
	if h.System != nil {
		return cmp.Or(h.System.Hot, h.System.Runs, h.Version)
	}
	return h.Version
}

// Deed is something that is asked of the platform. Asked twice it does the same as once.
type Deed string

// The deeds.
const (
	Cordon   Deed = "cordon"   // nothing new is placed on the host
	Uncordon Deed = "uncordon" //
	Drain    Deed = "drain"    // replace what can be elsewhere
	Stage    Deed = "stage"    // order the release into the slot that is not booted
	Switch   Deed = "switch"   // order to boot it
	Kexec    Deed = "kexec"    // order to have the running kernel start it
	Hot      Deed = "hot"      // order to replace programs by its
	Forget   Deed = "forget"   // take the order back
	Rollback Deed = "rollback" // back to the system before, and boot it
	Reboot   Deed = "reboot"   // boot what was booted before once more: programs that replaced its own go
)

// Action is a deed for a host, or for a component on it.
type Action struct {
	Do        Deed
	Component string
	Host      wire.HostID
	Name      string
	Reason    string
}

// The words of host.SystemStatus.State that decide.
const (
	idle      = "idle"
	staged    = "staged"
	switching = "switching"
	trying    = "trying"
	done      = "done"
	failed    = "failed"
	refused   = "refused"
)

// Rules are what does not belong to one rollout.
type Rules struct {
	Scale int // of all clocks: 1, or 3 under software emulation
}

func (r Rules) scaled(d time.Duration) time.Duration { return d * time.Duration(max(1, r.Scale)) }

// Watched are the hosts whose nodes and system have to be known for the next decision, and whether something happens now: else it need not
// be looked often.
func Watched(r operator.Rollout) (hosts []wire.HostID, soon bool) {
	next := 2 * max(1, r.Policy.Away)
	for _, v := range r.Visits {
		switch {
		case v.State == operator.VisitRunning, v.State == operator.VisitGoing:
			soon = true
		case r.State.Final():
			continue
		case v.State == operator.VisitPending && v.Cohort == r.Cohort && next > 0:
			next--
		case v.State == operator.VisitDone && v.Cohort == r.Cohort:
		default:
			continue
		}
		hosts = append(hosts, v.Host)
	}
	return hosts, soon
}
