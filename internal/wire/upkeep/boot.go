package upkeep

import (
	"strings"
	"time"
	"unicode"
)

// Cause is why a machine was booted.
type Cause string

// The causes. What can't be told apart is unknown.
const (
	CauseOrdered  Cause = "ordered"    // somebody, or something, asked init for it
	CausePanic    Cause = "panic"      // the kernel gave up
	CauseWatchdog Cause = "watchdog"   // the watchdog was not fed
	CausePower    Cause = "power-loss" // the power went, or the machine was reset from outside: button, BMC, hypervisor
	CauseFirst    Cause = "first"      // the disk was blank: no boot before this one
	CauseUnknown  Cause = "unknown"
)

// Causes are all of them.
var Causes = []Cause{CauseOrdered, CausePanic, CauseWatchdog, CausePower, CauseFirst, CauseUnknown}

// Boot is one boot of a machine, and why it came.
type Boot struct {
	ID       string    `json:"id"`                 // the kernel's random id of it
	At       time.Time `json:"at"`                 // when it began, by the host's clock
	Cause    Cause     `json:"cause"`              //
	Reason   string    `json:"reason,omitempty"`   // in words: of who ordered it, of the kernel's panic, of what the watchdog missed
	By       string    `json:"by,omitempty"`       // who ordered it from outside the machine
	What     string    `json:"what,omitempty"`     // of an ordered one: "reboot", "poweroff" or "kexec"
	Ended    time.Time `json:"ended,omitzero"`     // when the boot before it ended or, if nothing tells, was last known to run
	Evidence []string  `json:"evidence,omitempty"` // what it was concluded from
	Crash    bool      `json:"crash,omitempty"`    // the host keeps what its kernel said last
}

// The bounds of what is kept and told of boots.
const (
	MaxBoots    = 5        // a host tells of its last ones
	MaxEvidence = 6        // of one boot
	MaxWords    = 240      // bytes of one text
	MaxCrash    = 16 << 10 // bytes of what a kernel said last
)

// Bounded is b as it may be shown and kept, whoever wrote it: short, and without control characters.
func (b Boot) Bounded() Boot {
	known := false
	for _, c := range Causes {
		known = known || c == b.Cause
	}
	if !known {
		b.Cause = CauseUnknown
	}
	b.ID, b.Reason, b.By, b.What = Words(b.ID), Words(b.Reason), Words(b.By), Words(b.What)
	evidence := b.Evidence[:min(len(b.Evidence), MaxEvidence)]
	b.Evidence = nil
	for _, e := range evidence {
		b.Evidence = append(b.Evidence, Words(e))
	}
	return b
}

// Bounded is the newest of some boots, each as it may be shown.
func Bounded(bs []Boot) (out []Boot) {
	for _, b := range bs[:min(len(bs), MaxBoots)] {
		out = append(out, b.Bounded())
	}
	return out
}

// Words makes one short line of a text: control characters become a blank, what is no UTF-8 a question mark.
func Words(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if len(s) > MaxWords {
		s = strings.ToValidUTF8(s[:MaxWords-len("…")], "") + "…"
	}
	return s
}

// Printable makes a text of lines harmless to terminals: of control characters it keeps the ends of lines and tabs.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && unicode.IsControl(r) {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}
