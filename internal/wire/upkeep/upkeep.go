// Package upkeep is the dialect of looking after a host's system: the order to leave the machine, and why it was booted.
//
// Owns: Leave, as it travels from the orchestrator to the host's agent and on to init.
// In: what an operator asks of a host.
// Out: the same, within its bounds.
// Never: does I/O, or says how a machine is left.
//
// History: 2026-11-26 the first form. 2026-11-27 Leave.Kexec.
package upkeep

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
)

// MaxReason and MaxBy bound the texts of an order, in bytes: they are shown on consoles and kept on disks.
const (
	MaxReason = 200
	MaxBy     = 200
)

// Leave is the order to leave the machine: its containers are stopped, each within its time, then it is booted anew or switched off.
type Leave struct {
	PowerOff bool `json:"powerOff,omitempty"`
	// Kexec: the kernel starts the next system itself, without the firmware. A host of before this was known boots anew by its firmware.
	Kexec  bool   `json:"kexec,omitempty"`
	By     string `json:"by"`               // who ordered it
	Reason string `json:"reason,omitempty"` // in the words of who ordered it; "" when none were given
}

// Show is a document that a host gives of itself.
type Show string

// The documents.
const (
	ShowSupport Show = "support" // a tar.gz of its state, without secrets
	ShowConfig  Show = "config"  // the configuration in force without its secrets, and where it was found: JSON of a Config
)

// Config is the configuration of a host as people may see it.
type Config struct {
	Source string          `json:"source,omitempty"` // where it was found
	Config json.RawMessage `json:"config"`           // wire/boot's HostConfig, without its secrets
}

// What is the order in a word: "reboot", "poweroff" or "kexec".
func (l Leave) What() string {
	switch {
	case l.PowerOff:
		return "poweroff"
	case l.Kexec:
		return "kexec"
	}
	return "reboot"
}

// Validate checks the texts: a line each, within their bounds.
func (l Leave) Validate() error {
	if l.By == "" {
		return fmt.Errorf("order to leave: nobody is named who ordered it")
	}
	if l.PowerOff && l.Kexec {
		return fmt.Errorf("order to leave: powerOff and kexec: want one of them at most")
	}
	if err := Line("by", l.By, MaxBy); err != nil {
		return err
	}
	return Line("reason", l.Reason, MaxReason)
}

// Bounded is l as it may be shown and kept, whoever wrote it; self is who ordered it when it does not say.
func (l Leave) Bounded(self string) Leave {
	cut := func(text string, most int) string {
		text = Words(text)
		return strings.ToValidUTF8(text[:min(len(text), most)], "")
	}
	l.By, l.Reason = cut(l.By, MaxBy), cut(l.Reason, MaxReason)
	if l.By == "" {
		l.By = self
	}
	return l
}

// Line checks that a text is one line of at most so many bytes; name is what the error calls it.
func Line(name, text string, most int) error {
	if len(text) > most {
		return fmt.Errorf("%s: has %d bytes, at most %d are kept", name, len(text), most)
	}
	if strings.ToValidUTF8(text, "") != text || strings.ContainsFunc(text, unicode.IsControl) {
		return fmt.Errorf("%s: has control characters or is no UTF-8; want one line of text", name)
	}
	return nil
}
