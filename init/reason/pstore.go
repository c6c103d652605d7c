package reason

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"hardnode.dev/internal/wire/form"
	"hardnode.dev/internal/wire/upkeep"
)

// File is one file of the kernel's pstore (Documentation/ABI/testing/pstore): a part of what one kernel said last.
type File struct {
	Name string
	At   time.Time // of its writing, as the kernel has it
	Text string
}

// Record is what a kernel said last, put together.
type Record struct {
	Kind  string // what the kernel wrote it for: Panic, Oops, Shutdown, …
	Panic string // the panic's own words, of the kernel or of init; "" when it is of none
	End   *End   // of init's word that the machine is left in order; nil when it is of none
	Text  string // its last MaxCrash bytes, harmless to terminals
}

// Softdog tells whether it is the panic of the kernel's own watchdog (drivers/watchdog/softdog.c).
func (r Record) Softdog() bool { return strings.Contains(r.Panic, "Software Watchdog Timer expired") }

// part is the first line of a file: "Panic#1 Part3". Parts count from the end of the text.
var part = form.New(`^([A-Za-z]{1,20})#(\d{1,9}) Part(\d{1,9})$`)

// EndMark begins init's word, in the kernel's log, that the machine is left in order: JSON of an End follows.
const EndMark = "hardnode: end: "

// Read puts the files together and returns the newest record that says most: a panic rather than the oops before it. Nil is none.
func Read(files []File) *Record {
	type piece struct {
		n    int
		text string
	}
	type whole struct {
		kind  string
		count int
		at    time.Time
		parts []piece
	}
	found := map[string]*whole{}
	for _, f := range files {
		head, text, _ := strings.Cut(f.Text, "\n")
		m := part.FindStringSubmatch(head)
		if m == nil || !strings.HasPrefix(f.Name, "dmesg-") {
			continue
		}
		w := found[m[1]+m[2]]
		if w == nil {
			w = &whole{kind: m[1]}
			w.count, _ = strconv.Atoi(m[2])
			found[m[1]+m[2]] = w
		}
		n, _ := strconv.Atoi(m[3])
		w.parts = append(w.parts, piece{n, text})
		if f.At.After(w.at) {
			w.at = f.At
		}
	}
	var all []*whole
	for _, w := range found {
		all = append(all, w)
	}
	slices.SortFunc(all, func(a, b *whole) int {
		return cmp.Or(b.at.Compare(a.at), cmp.Compare(b.count, a.count), cmp.Compare(a.kind, b.kind))
	})
	var best *Record
	for _, w := range all {
		slices.SortFunc(w.parts, func(a, b piece) int { return cmp.Compare(b.n, a.n) })
		var text strings.Builder
		for _, p := range w.parts {
			text.WriteString(p.text)
			if !strings.HasSuffix(p.text, "\n") {
				text.WriteByte('\n')
			}
		}
		r := record(w.kind, text.String())
		if best == nil || best.Panic == "" && best.End == nil && (r.Panic != "" || r.End != nil) {
			best = r
		}
	}
	return best
}

// said matches a line of the kernel's log as pstore has it: "<6>[   12.345678] text", the level and the time where they are kept.
var said = form.New(`^(?:<\d+>)?(?:\[ *\d+\.\d+\](?:\[[^]]*\])? )?(.*)$`)

const panicMark = "Kernel panic - not syncing: "

// InitMark begins what init said, in the kernel's log, of its own crash, after which it rebooted.
const InitMark = "hardnode: init: panic: "

func record(kind, text string) *Record {
	r := &Record{Kind: kind}
	for line := range strings.Lines(text) {
		m := said.FindStringSubmatch(strings.TrimRight(line, "\r\n"))
		if m == nil {
			continue
		}
		if words, ok := strings.CutPrefix(m[1], panicMark); ok && kind == "Panic" {
			r.Panic = upkeep.Words(words)
		}
		if words, ok := strings.CutPrefix(m[1], InitMark); ok && kind == "Shutdown" {
			r.Panic = upkeep.Words("init: " + words)
		}
		if words, ok := strings.CutPrefix(m[1], EndMark); ok && kind != "Panic" {
			var end End
			if json.Unmarshal([]byte(words), &end) == nil && (end.Reason != "" || end.By != "") {
				r.End = &end
			}
		}
	}
	if kind == "Panic" && r.Panic == "" {
		r.Panic = "its words are not kept"
	}
	text = upkeep.Printable(text)
	if over := len(text) - upkeep.MaxCrash; over > 0 {
		text = strings.ToValidUTF8(text[over:], "")
	}
	r.Text = text
	return r
}
