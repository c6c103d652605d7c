// Package reason says why this machine was booted.
//
// Owns: the rules by which the cause of a boot is concluded, and the form of what the kernel keeps over a reboot (pstore).
// In: evidence: what the boot before left on the disk, the kernel's last words, what the watchdog says.
// Out: a cause with its evidence; unknown where the evidence does not tell causes apart.
// Never: reads or writes anything, or guesses.
package reason

import (
	"fmt"
	"time"

	"hardnode.dev/internal/wire/upkeep"
)

// Life is one boot as it keeps itself on the disk, for the next one to read.
type Life struct {
	Boot  string `json:"boot"`
	Began int64  `json:"began"` // Unix seconds
	Seen  int64  `json:"seen"`  // Unix seconds: when it was last known to run
	// Pstore is the backend that would have kept the kernel's last words; "" is none.
	Pstore   string  `json:"pstore,omitempty"`
	Dog      *Dog    `json:"dog,omitempty"`      // the watchdog it fed; nil: none yet
	Starving *Hunger `json:"starving,omitempty"` // the watchdog is no longer fed
	End      *End    `json:"end,omitempty"`      // it was left in order
}

// Dog is a watchdog.
type Dog struct {
	Name string `json:"name"`
	// Tells says that a reset by it is told afterwards: by itself (WDIOC_GETBOOTSTATUS), or because it makes the kernel panic.
	Tells bool `json:"tells,omitempty"`
}

// Hunger is why a watchdog is not fed any more.
type Hunger struct {
	Who string `json:"who"` // the service that is away
	At  int64  `json:"at"`  // Unix seconds
}

// End is an orderly end.
type End struct {
	upkeep.Leave
	At   int64 `json:"at"`             // Unix seconds, when it began
	Done bool  `json:"done,omitempty"` // all was stopped and written: the kernel's reboot was all that was left
}

// Evidence is all that is known when a machine is up again.
type Evidence struct {
	Boot   string
	Now    time.Time // when it began
	Blank  bool      // the disk was formatted in this boot, and will be kept
	Memory bool      // this host keeps nothing but in memory
	Before *Life     // what the boot before left on the disk; nil is nothing
	Last   *Record   // the kernel's last words; nil is none
	// Pstore is the backend that keeps them, Reset that the watchdog says that it reset the machine (WDIOF_CARDRESET), Dog which one that
	// is.
	Pstore string
	Reset  bool
	Dog    string
}

// shutdown is the kind of what a kernel keeps that was made to reboot or to power off.
const shutdown = "Shutdown"

// Of concludes why the machine was booted.
func Of(e Evidence) upkeep.Boot {
	c := &conclusion{Boot: upkeep.Boot{ID: e.Boot, At: e.Now.UTC().Truncate(time.Second)}, e: e}
	c.tell()
	return c.Boot.Bounded()
}

type conclusion struct {
	upkeep.Boot
	e Evidence
}

func (c *conclusion) because(format string, args ...any) {
	c.Evidence = append(c.Evidence, fmt.Sprintf(format, args...))
}

// tell tries what is sure first: the kernel's own words, then the watchdog's, then the mark of an orderly end. What is left when all who
// would have spoken are silent is the power.
func (c *conclusion) tell() {
	e := c.e
	end := c.before()
	switch {
	case e.Last != nil && e.Last.Panic != "":
		c.Cause, c.Reason, c.Crash = upkeep.CausePanic, e.Last.Panic, true
		c.because("the kernel's last words, kept by %s: panic", e.Pstore)
		if e.Last.Softdog() {
			c.Cause, c.Reason = upkeep.CauseWatchdog, hunger(e.Before)
			c.because("it was the software watchdog's: %s", e.Last.Panic)
		}
	case e.Last != nil && e.Last.End != nil:
		c.ordered(*e.Last.End)
		c.because("the kernel's last words, kept by %s: left in order", e.Pstore)
	case end != nil && end.Done:
		c.ordered(*end)
		c.because("it was left in order, to the end")
		if e.Reset {
			c.because("watchdog %s says that it reset the machine: after that end, or an earlier time", e.Dog)
		}
	case e.Reset:
		c.Cause, c.Reason = upkeep.CauseWatchdog, hunger(e.Before)
		c.because("watchdog %s says that it reset the machine", e.Dog)
	case end != nil:
		c.ordered(*end)
		c.because("it was being left in order; nothing tells that it came to the end of that")
	case e.Memory:
		c.unknown("this host has no disk: it keeps nothing of a boot that was not left in order")
	case e.Last != nil && e.Last.Kind == shutdown:
		c.unknown("the kernel was made to reboot, and init was not asked")
	case e.Before == nil && e.Blank:
		c.Cause = upkeep.CauseFirst
		c.because("the disk was blank")
	case e.Before == nil:
		c.unknown("nothing is kept of the boot before")
	default:
		c.silence()
	}
	// At an orderly end the kernel keeps its log too: that is no crash.
	orderly := e.Last != nil && e.Last.Kind == shutdown && end != nil && end.Done
	if e.Last != nil && e.Last.Panic == "" && e.Last.End == nil && !orderly {
		c.Crash = true
		c.because("the kernel's last words, kept by %s, are of no end: %s", e.Pstore, e.Last.Kind)
	}
}

// before takes in what the boot before says of itself, and returns its orderly end.
func (c *conclusion) before() *End {
	b := c.e.Before
	if b == nil {
		return nil
	}
	c.Ended = time.Unix(max(b.Seen, b.Began), 0).UTC()
	if b.Starving != nil {
		c.Ended = time.Unix(b.Starving.At, 0).UTC()
		c.because("the watchdog was no longer fed since %s: service %s was away", c.Ended.Format(time.RFC3339), b.Starving.Who)
	}
	if b.End == nil {
		return nil
	}
	c.Ended = time.Unix(b.End.At, 0).UTC()
	return b.End
}

func (c *conclusion) ordered(end End) {
	c.Cause, c.Reason, c.By, c.What = upkeep.CauseOrdered, end.Reason, end.By, end.What()
	if end.At != 0 {
		c.Ended = time.Unix(end.At, 0).UTC()
	}
}

func (c *conclusion) unknown(why string) {
	c.Cause = upkeep.CauseUnknown
	c.because("%s", why)
}

// silence concludes from who says nothing: a boot whose panic, and whose watchdog's reset, would have been told and was not, was cut off.
func (c *conclusion) silence() {
	b, e := c.e.Before, c.e
	c.because("it was not left in order")
	switch {
	case b.Pstore == "":
		c.unknown("nothing would have kept its kernel's last words")
	case e.Pstore != b.Pstore:
		c.unknown(fmt.Sprintf("its kernel's last words would be with %s, which is not there now", b.Pstore))
	case b.Dog != nil && !b.Dog.Tells:
		c.unknown(fmt.Sprintf("watchdog %s does not tell whether it reset the machine", b.Dog.Name))
	case b.Dog != nil && b.Dog.Name != Softdog && e.Dog != b.Dog.Name:
		c.unknown(fmt.Sprintf("watchdog %s, which would tell, is not there now", b.Dog.Name))
	default:
		c.Cause, c.Reason = upkeep.CausePower, "the power went, or the machine was reset from outside"
		c.because("%s would have kept a panic, and has none", b.Pstore)
		if b.Dog != nil {
			c.because("watchdog %s would tell if it had reset the machine", b.Dog.Name)
		}
	}
}

// Softdog is the name of the kernel's own watchdog; it makes the kernel panic.
const Softdog = "softdog"

func hunger(before *Life) string {
	if before != nil && before.Starving != nil {
		return "service " + before.Starving.Who + " was away"
	}
	return "the machine hung"
}
