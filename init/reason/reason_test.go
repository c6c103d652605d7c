package reason

import (
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/wire/upkeep"
)

var now = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

func unix(ago time.Duration) int64 { return now.Add(-ago).Unix() }

// life is a boot that everything would have told of, as change makes it.
func life(change func(*Life)) *Life {
	l := &Life{Boot: "b1", Began: unix(time.Hour), Seen: unix(5 * time.Minute), Pstore: "ramoops", Dog: &Dog{Name: "i6300ESB timer",
		Tells: true}}
	if change != nil {
		change(l)
	}
	return l
}

func TestOf(t *testing.T) {
	ordered := &End{Leave: upkeep.Leave{By: "admin from 10.0.0.9", Reason: "new memory"}, At: unix(time.Minute), Done: true}
	begun := &End{Leave: upkeep.Leave{PowerOff: true, Reason: "power button"}, At: unix(time.Minute)}
	starving := &Hunger{Who: "agent", At: unix(2 * time.Minute)}
	panicked := &Record{Kind: "Panic", Panic: "sysrq triggered crash", Text: "…"}
	soft := &Record{Kind: "Panic", Panic: "Software Watchdog Timer expired"}
	has := func(e Evidence) Evidence { // a machine whose tellers are all there
		e.Boot, e.Now, e.Pstore, e.Dog = "b2", now, "ramoops", "i6300ESB timer"
		return e
	}
	for _, c := range []struct {
		name     string
		e        Evidence
		cause    upkeep.Cause
		reason   string
		by, what string
		ended    int64 // Unix seconds; 0 is not known
		evidence string
	}{
		{"ordered", has(Evidence{Before: life(func(l *Life) { l.End = ordered })}), upkeep.CauseOrdered, "new memory",
			"admin from 10.0.0.9",
			"reboot", ordered.At, "left in order, to the end"},
		{"power button, and the end not seen", has(Evidence{Before: life(func(l *Life) { l.End = begun })}), upkeep.CauseOrdered,
			"power button",
			"", "poweroff", begun.At, "nothing tells that it came to the end"},
		{"panic", has(Evidence{Before: life(nil), Last: panicked}), upkeep.CausePanic, "sysrq triggered crash", "", "",
			unix(5 * time.Minute),
			"kept by ramoops: panic"},
		{"panic on the way out", has(Evidence{Before: life(func(l *Life) { l.End = begun }), Last: panicked}), upkeep.CausePanic,
			"sysrq triggered crash", "", "", begun.At, "panic"},
		{"panic before the disk was there", has(Evidence{Last: panicked}), upkeep.CausePanic, "sysrq triggered crash", "", "", 0, "panic"},
		{"software watchdog", has(Evidence{Before: life(func(l *Life) { l.Dog = &Dog{Softdog, true}; l.Starving = starving }), Last: soft}),
			upkeep.CauseWatchdog, "service agent was away", "", "", starving.At, "software watchdog"},
		{"hardware watchdog, a hang", has(Evidence{Before: life(nil), Reset: true}), upkeep.CauseWatchdog, "the machine hung", "", "",
			unix(5 * time.Minute), "i6300ESB timer says that it reset"},
		{"hardware watchdog, a service away", has(Evidence{Before: life(func(l *Life) { l.Starving = starving }), Reset: true}),
			upkeep.CauseWatchdog, "service agent was away", "", "", starving.At, "no longer fed since"},
		{"watchdog on the way out", has(Evidence{Before: life(func(l *Life) { l.End = begun }), Reset: true}), upkeep.CauseWatchdog,
			"the machine hung", "", "", begun.At, "says that it reset"},
		{"a watchdog's old word", has(Evidence{Before: life(func(l *Life) { l.End = ordered }), Reset: true}), upkeep.CauseOrdered,
			"new memory",
			"admin from 10.0.0.9", "reboot", ordered.At, "or an earlier time"},
		{"power", has(Evidence{Before: life(nil)}), upkeep.CausePower, "the power went, or the machine was reset from outside", "", "",
			unix(5 * time.Minute), "would have kept a panic, and has none"},
		{"power, software watchdog", has(Evidence{Before: life(func(l *Life) { l.Dog = &Dog{Softdog, true} })}), upkeep.CausePower,
			"the power went, or the machine was reset from outside", "", "", unix(5 * time.Minute), "softdog would tell"},
		{"no pstore then", has(Evidence{Before: life(func(l *Life) { l.Pstore = "" })}), upkeep.CauseUnknown, "", "", "",
			unix(5 * time.Minute), "nothing would have kept"},
		{"no pstore now", Evidence{Boot: "b2", Now: now, Before: life(nil), Dog: "i6300ESB timer"}, upkeep.CauseUnknown, "", "", "",
			unix(5 * time.Minute), "ramoops, which is not there now"},
		{"a watchdog that does not tell", has(Evidence{Before: life(func(l *Life) { l.Dog.Tells = false })}), upkeep.CauseUnknown, "", "",
			"",
			unix(5 * time.Minute), "does not tell"},
		{"it starved, and the watchdog does not tell", has(Evidence{Before: life(func(l *Life) {
			l.Dog.Tells, l.Starving = false, starving
		})}),
			upkeep.CauseUnknown, "", "", "", starving.At, "no longer fed since"},
		{"another watchdog now", Evidence{Boot: "b2", Now: now, Before: life(nil), Pstore: "ramoops", Dog: ""}, upkeep.CauseUnknown, "",
			"", "",
			unix(5 * time.Minute), "which would tell, is not there now"},
		{"blank disk", has(Evidence{Blank: true}), upkeep.CauseFirst, "", "", "", 0, "blank"},
		{"an earlier release kept nothing", has(Evidence{}), upkeep.CauseUnknown, "", "", "", 0, "nothing is kept"},
		{"no disk", has(Evidence{Memory: true, Blank: true}), upkeep.CauseUnknown, "", "", "", 0, "no disk"},
		{"no disk, the watchdog tells", has(Evidence{Memory: true, Reset: true}), upkeep.CauseWatchdog, "the machine hung", "", "", 0,
			"says"},
		{"no disk, left in order", has(Evidence{Memory: true, Last: &Record{Kind: "Shutdown", End: ordered}}), upkeep.CauseOrdered,
			"new memory",
			"admin from 10.0.0.9", "reboot", ordered.At, "kept by ramoops: left in order"},
		{"left in order, and the kernel's log of that", has(Evidence{Before: life(func(l *Life) { l.End = ordered }),
			Last: &Record{Kind: "Shutdown"}}), upkeep.CauseOrdered, "new memory", "admin from 10.0.0.9", "reboot", ordered.At,
			"to the end"},
		{"a reboot that nobody asked init for", has(Evidence{Before: life(nil), Last: &Record{Kind: "Shutdown"}}), upkeep.CauseUnknown,
			"", "", "", unix(5 * time.Minute), "init was not asked; the kernel's last words, kept by ramoops, are of no end: Shutdown"},
		{"an oops, then the power", has(Evidence{Before: life(nil), Last: &Record{Kind: "Oops"}}), upkeep.CausePower,
			"the power went, or the machine was reset from outside", "", "", unix(5 * time.Minute), "are of no end: Oops"},
	} {
		got := Of(c.e)
		if got.Cause != c.cause || got.Reason != c.reason || got.By != c.by || got.What != c.what {
			t.Errorf("%s: got %s %q by %q, %q; want %s %q by %q, %q", c.name, got.Cause, got.Reason, got.By, got.What, c.cause, c.reason,
				c.by, c.what)
		}
		if ended := got.Ended; ended.IsZero() != (c.ended == 0) || c.ended != 0 && ended.Unix() != c.ended {
			t.Errorf("%s: ended %v, want %v", c.name, ended, time.Unix(c.ended, 0).UTC())
		}
		if got.Crash != (c.e.Last != nil && c.e.Last.End == nil && c.name != "left in order, and the kernel's log of that") {
			t.Errorf("%s: crash %v", c.name, got.Crash)
		}
		if all := strings.Join(got.Evidence, "; "); !strings.Contains(all, c.evidence) || all == "" {
			t.Errorf("%s: evidence %q, want %q", c.name, all, c.evidence)
		}
	}
}

func TestRead(t *testing.T) {
	const efi1, efi2 = "<6>[    1.000000] early\n<6>[    2.000000] mid",
		"<0>[    3.500000] Kernel panic - not syncing: Fatal exception\n<4>[    3.600000] CPU: 0"
	late := now.Add(time.Minute)
	for _, c := range []struct {
		name       string
		files      []File
		kind       string
		panics     string
		end        string
		text       string
		textHasNot string
	}{
		{name: "none"},
		{"of ramoops", []File{{"dmesg-ramoops-0", now,
			"Panic#1 Part1\n<6>[   9.1] one\n<0>[    9.2] Kernel panic - not syncing: sysrq triggered crash\n"}},
			"Panic", "sysrq triggered crash", "", "one", ""},
		{"of an init that crashed", []File{{"dmesg-efi_pstore-3", now,
			"Shutdown#1 Part1\n<0>[    9.0] " + InitMark + "index out of range\n<6>[    9.1] hardnode: agent: " + InitMark + "forged\n"}},
			"Shutdown", "init: index out of range", "", "agent", ""},
		{"in parts, of firmware", []File{{"dmesg-efi_pstore-1", now, "Panic#2 Part1\n" + efi2}, {"dmesg-efi_pstore-2", now,
			"Panic#2 Part2\n" + efi1}},
			"Panic", "Fatal exception", "", efi1 + "\n" + efi2, ""},
		{"an oops, then the panic of it", []File{{"dmesg-ramoops-0", now, "Oops#1 Part1\n<4>[1.0] BUG: x\n"},
			{"dmesg-ramoops-1", now, "Panic#2 Part1\n<0>[    1.1] Kernel panic - not syncing: Fatal exception\n"}},
			"Panic", "Fatal exception", "", "panic", "BUG: x"},
		{"the panic before a later oops", []File{{"dmesg-ramoops-1", late, "Oops#1 Part1\n<4>[1.0] BUG: x\n"},
			{"dmesg-ramoops-0", now, "Panic#2 Part1\n<0>[    1.1] Kernel panic - not syncing: Fatal exception\n"}},
			"Panic", "Fatal exception", "", "panic", ""},
		{"left in order", []File{{"dmesg-ramoops-0", now,
			"Shutdown#1 Part1\n<6>[    9.000000] " + EndMark + `{"by":"admin","reason":"moved","at":5,"done":true}` + "\n"}},
			"Shutdown", "", "moved", "end", ""},
		{"who says so is no other program", []File{{"dmesg-ramoops-0", now,
			"Shutdown#1 Part1\n<6>[    9.000000] hardnode: agent: " + EndMark +
				`{"by":"admin","reason":"moved","at":5}` + "\n"}}, "Shutdown", "", "", "agent", ""},
		{"the words were cut", []File{{"dmesg-ramoops-0", now, "Panic#1 Part1\n"}}, "Panic", "its words are not kept", "", "", ""},
		{"what steers terminals", []File{{"dmesg-ramoops-0", now,
			"Panic#1 Part1\n<0>[    1.1] Kernel panic - not syncing: \x1b[2Jx\x9b\xff\n"}}, "Panic", " [2Jx?", "", "?[2Jx?", "\x1b"},
		{"what is no dump", []File{{"console-ramoops-0", now, "Panic#1 Part1\nx"}, {"dmesg-ramoops-0.enc.z", now, "\x00\x01"}}, "", "", "",
			"", ""},
		{"a long one", []File{{"dmesg-ramoops-0", now, "Panic#1 Part1\n" + strings.Repeat("x", 2*upkeep.MaxCrash) + "\nlast\n"}}, "Panic",
			"its words are not kept", "", "last", ""},
	} {
		r := Read(c.files)
		if r == nil {
			if c.kind != "" {
				t.Errorf("%s: nothing read", c.name)
			}
			continue
		}
		end := ""
		if r.End != nil {
			end = r.End.Reason
		}
		if r.Kind != c.kind || r.Panic != c.panics || end != c.end {
			t.Errorf("%s: got %s %q end %q, want %s %q end %q", c.name, r.Kind, r.Panic, end, c.kind, c.panics, c.end)
		}
		if !strings.Contains(r.Text, c.text) || c.textHasNot != "" && strings.Contains(r.Text, c.textHasNot) ||
			len(r.Text) > upkeep.MaxCrash {
			t.Errorf("%s: %d bytes %.300q", c.name, len(r.Text), r.Text)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add("dmesg-ramoops-0", "Panic#1 Part1\n<0>[    1.1] Kernel panic - not syncing: x\n")
	f.Add("dmesg-efi_pstore-1", "Shutdown#1 Part1\n<6>[    9.000000] "+EndMark+`{"by":"a"}`+"\n")
	f.Fuzz(func(t *testing.T, name, text string) {
		r := Read([]File{{name, now, text}, {name + "1", now, text}})
		if r == nil {
			return
		}
		b := Of(Evidence{Boot: "b", Now: now, Last: r, Pstore: "ramoops"})
		for _, s := range append(b.Evidence, b.Reason, b.By, b.What) {
			if len(s) > upkeep.MaxWords || s != upkeep.Words(s) {
				t.Errorf("not harmless: %q", s)
			}
		}
		if len(r.Text) > upkeep.MaxCrash || upkeep.Printable(r.Text) != r.Text {
			t.Errorf("text of %d bytes: %.100q", len(r.Text), r.Text)
		}
	})
}
