// Package jerror collects the errors of our own programs, so that who makes the product hears of them: JErrors.
//
// Owns: which errors are alike, what is left out of them, and the spool in which they wait until somebody took them.
// In: errors with their stacks; why a machine was booted.
// Out: groups of errors (wire/jls.JError), each with its count.
// Never: sends anything, or keeps a value that a message held: addresses, names of files, numbers, secrets.
package jerror

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	"hardnode.dev/internal/build"
	"hardnode.dev/internal/wire/form"
	"hardnode.dev/internal/wire/jls"
	"hardnode.dev/internal/wire/upkeep"
)

// masks are what is left out of a message, in this order.
var masks = []struct {
	is form.Form
	as string
}{
	{form.New(`(?s)-----BEGIN [A-Z ]+-----.*?(?:-----END [A-Z ]+-----|$)`), "<pem>"},
	{form.New(`"(?:[^"\\]|\\.)*"`), "<text>"},
	{form.New(`(?i)\b(bearer|token|password|passwd|secret|key|authorization)(\s*[:=]\s*|\s+)\S+`), "$1 <secret>"},
	{form.New(`\b(?:hnt|hn[a-z]?1|v4)\.[A-Za-z0-9._-]+`), "<token>"},
	{form.New(`[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+`), "<mail>"},
	{form.New(`[a-z][a-z0-9+.-]*://\S+`), "<url>"},
	{form.New(`(?:^|\B|\s)/[^\s:,;)]+`), " <path>"},
	{form.New(`\b[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?:/[0-9]+)?(?::[0-9]+)?\b`), "<address>"},
	{form.New(`[0-9A-Fa-f]*:[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*(?:%\w+)?`), "<address>"},
	{form.New(`\b(?:[a-z0-9-]+\.)+[a-z]{2,}\b(?::[0-9]+)?`), "<name>"},
	{form.New(`\b(?:0x)?[0-9a-fA-F]*[0-9][0-9a-fA-F]*[A-Za-z]{0,3}\b`), "<n>"},
	{form.New(`\b[A-Za-z0-9_+/-]{24,}={0,2}`), "<token>"},
}

// Scrub is a message without what varies from one error to the next, or is nobody's business.
func Scrub(message string) string {
	for _, m := range masks {
		message = m.is.ReplaceAllString(message, m.as)
	}
	message = strings.Join(strings.Fields(upkeep.Words(message)), " ")
	if len(message) > jls.MaxMessage {
		message = strings.ToValidUTF8(message[:jls.MaxMessage], "")
	}
	return message
}

// frame is a function of ours in a stack as runtime/debug writes it.
var frame = form.New(`(?m)^(?:created by )?((?:hardnode\.dev|main)[^\s(]*(?:\(\*?\w+\))?[^\s(]*)\(`)

// folded is what differs between compilers: closures and type parameters.
var folded = form.New(`(?:\.func\d+|\.gowrap\d+|\[\.\.\.\])+(?:\.\d+)*`)

// frames are the functions of ours in a stack, from where it broke; one that calls itself is one.
func frames(stack string) (out []string) {
	for _, m := range frame.FindAllStringSubmatch(stack, -1) {
		f := folded.ReplaceAllString(m[1], "")
		if len(f) > 150 || strings.HasPrefix(f, "hardnode.dev/internal/run.") || len(out) > 0 && out[len(out)-1] == f {
			continue
		}
		if out = append(out, f); len(out) == jls.MaxFrames {
			break
		}
	}
	return out
}

// Of is one error of a component of ours; text may hold a stack behind its first line.
func Of(component, kind, text string, now time.Time) jls.JError {
	message, stack, _ := strings.Cut(text, "\n")
	e := jls.JError{Component: component, Kind: kind, Version: build.Version, Message: Scrub(message), Frames: frames(stack), Count: 1,
		First: now.UTC().Truncate(time.Second), Last: now.UTC().Truncate(time.Second)}
	by := e.Message
	if len(e.Frames) > 0 {
		by = strings.Join(e.Frames, "\n")
	}
	sum := sha256.Sum256([]byte(strings.Join([]string{component, kind, by}, "\x00")))
	e.Fingerprint = "g1-" + hex.EncodeToString(sum[:16])
	return e
}

// OfBoot is the error that a boot came of; false when it came of none.
func OfBoot(b upkeep.Boot) (jls.JError, bool) {
	switch b.Cause {
	case upkeep.CausePanic:
		return Of("kernel", string(b.Cause), b.Reason, b.At), true
	case upkeep.CauseWatchdog:
		return Of("init", string(b.Cause), b.Reason, b.At), true
	}
	return jls.JError{}, false
}
