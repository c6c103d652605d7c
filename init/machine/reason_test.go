package machine

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hardnode.dev/init/reason"
	"hardnode.dev/internal/wire/upkeep"
)

// TestLivesFollowEachOther: each boot reads what the one before kept of itself, and keeps why the last ones came.
func TestLivesFollowEachOther(t *testing.T) {
	was := livesDoc.Path
	livesDoc.Path = filepath.Join(t.TempDir(), "boots.json")
	defer func() { livesDoc.Path = was }()
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	boot := func(id string, then func(*keptLife)) upkeep.Boot {
		t.Helper()
		k := &keptLife{}
		if err := k.note(func(l *reason.Life) { l.Pstore = "ramoops" }); err != nil { // before STATE is there
			t.Fatal(err)
		}
		b, past, err := k.turn(now, id, func(before *reason.Life) upkeep.Boot {
			return reason.Of(reason.Evidence{Boot: id, Now: now, Blank: before == nil, Before: before, Pstore: "ramoops"})
		})
		if err != nil || past[0].ID != id || len(past) > upkeep.MaxBoots {
			t.Fatalf("boot %s: %+v, %v", id, past, err)
		}
		then(k)
		return b
	}
	for i, c := range []struct {
		then  func(*keptLife)
		cause upkeep.Cause // of this boot
	}{
		{func(k *keptLife) {
			k.note(func(l *reason.Life) {
				l.End = &reason.End{Leave: upkeep.Leave{By: "admin"}, At: now.Unix(), Done: true}
			})
		}, upkeep.CauseFirst},
		{func(*keptLife) {}, upkeep.CauseOrdered},
		{func(k *keptLife) { os.WriteFile(livesDoc.Path, []byte("half"), 0o600) }, upkeep.CausePower},
	} {
		if b := boot(string(rune('a'+i)), c.then); b.Cause != c.cause {
			t.Errorf("boot %d: %+v, want %s", i, b, c.cause)
		}
	}
	k := &keptLife{} // the document is damaged: it is set aside, and said to be
	_, past, err := k.turn(now, "d", func(before *reason.Life) upkeep.Boot {
		return reason.Of(reason.Evidence{Boot: "d", Now: now, Before: before})
	})
	if err == nil || len(past) != 1 || past[0].Cause != upkeep.CauseUnknown {
		t.Errorf("after a damaged document: %+v, %v", past, err)
	}
}

func TestReadPstore(t *testing.T) {
	dir := t.TempDir()
	if files, err := readPstore(filepath.Join(dir, "none")); files != nil || err != nil {
		t.Errorf("no pstore: %v, %v", files, err)
	}
	os.WriteFile(filepath.Join(dir, "dmesg-ramoops-0"), []byte("Panic#1 Part1\nx"), 0o600)
	os.WriteFile(filepath.Join(dir, "dmesg-ramoops-1"), []byte(strings.Repeat("y", 2*maxDumpBytes)), 0o600)
	os.Mkdir(filepath.Join(dir, "z"), 0o700)
	files, err := readPstore(dir)
	if len(files) != 2 || files[0].Text != "Panic#1 Part1\nx" || len(files[1].Text) != maxDumpBytes || files[0].At.IsZero() || err == nil {
		t.Errorf("got %d files, %v", len(files), err)
	}
}

func TestWatchdogState(t *testing.T) {
	for _, c := range []struct {
		identity, bootstatus, options string
		name                          string
		reset, tells                  bool
	}{
		{"i6300ESB timer\n", "32\n", "0x8180\n", "i6300ESB timer", true, true},
		{"i6300ESB timer\n", "0\n", "0x8180\n", "i6300ESB timer", false, true},
		{"iTCO_wdt\n", "0\n", "0x8180\n", "iTCO_wdt", false, false},
		{"IPMI\n", "0x20\n", "0x83a0\n", "IPMI", true, true},
		{"odd\n", "?\n", "", "odd", false, false},
	} {
		dir := t.TempDir()
		for name, text := range map[string]string{"identity": c.identity, "bootstatus": c.bootstatus, "options": c.options} {
			os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600)
		}
		name, reset := watchdogState(dir)
		if name != c.name || reset != c.reset || telling(name, dir) != c.tells {
			t.Errorf("%q: got %q, reset %v, tells %v", c.identity, name, reset, telling(name, dir))
		}
	}
	if name, reset := watchdogState(filepath.Join(t.TempDir(), "none")); name != "" || reset {
		t.Errorf("no watchdog: %q, %v", name, reset)
	}
}

func TestWords(t *testing.T) {
	for _, c := range []struct {
		b    upkeep.Boot
		want string
	}{
		{upkeep.Boot{Cause: upkeep.CauseFirst, Evidence: []string{"the disk was blank"}}, "first - the disk was blank"},
		{upkeep.Boot{Cause: upkeep.CauseOrdered, What: "reboot", Reason: "new memory", By: "admin", Evidence: []string{"a", "b"}},
			"ordered reboot: new memory (ordered by admin) - a; b"},
	} {
		if got := words(c.b); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}
