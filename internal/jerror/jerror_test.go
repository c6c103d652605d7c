package jerror

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/internal/testkit/full"
	"hardnode.dev/internal/wire/jls"
	"hardnode.dev/internal/wire/upkeep"
)

var now = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

// No value that a message held is in what is left of it.
func TestScrub(t *testing.T) {
	for message, want := range map[string]string{
		`open "/state/identity/key.pem": permission denied`:            `open <text>: permission denied`,
		"dial tcp 10.77.0.2:7444: i/o timeout":                         "dial tcp <address>: i/o timeout",
		"dial fd48:4e00:1::7 failed":                                   "dial <address> failed",
		"read /data/volumes/x after 17 tries":                          "read <path> after <n> tries",
		"token: hn1.0123abcd.0123456789abcdef0123456789abcdef bad":     "token <secret> bad",
		"Authorization: s3cr3t":                                        "Authorization <secret>",
		"mail of ann@example.com at db.internal.example.com":           "mail of <mail> at <name>",
		"get https://ann:pw@example.com/x?y=z now":                     "get <url> now",
		"index out of range [5] with length 3":                         "index out of range [<n>] with length <n>",
		"-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----": "<pem>",
		"sum dGhpcyBpcyBhIHNlY3JldCB2YWx1ZQ== of it":                   "sum <token> of it",
		"node 4711 of env \x1b[2J":                                     "node <n> of env [<n>",
	} {
		if got := Scrub(message); got != want {
			t.Errorf("%q: got %q, want %q", message, got, want)
		}
	}
	if got := Scrub(strings.Repeat("wort ", 1000)); len(got) > jls.MaxMessage {
		t.Errorf("%d bytes are left", len(got))
	}
}

const stack = `panic: runtime error: index out of range [%d]
goroutine 7 [running]:
runtime/debug.Stack()
	/usr/lib/go/src/runtime/debug/stack.go:26 +0x5e
hardnode.dev/internal/run.Task.guarded.func1()
	/src/internal/run/run.go:55 +0x9a
hardnode.dev/agent/apply.(*Applier).step.func%d(0xc000)
	/src/agent/apply/apply.go:%d +0x1f
hardnode.dev/agent/apply.(*Applier).Run(...)
	/src/agent/apply/apply.go:100
`

// The same place is the same group, whatever the line, the closure's number and the value; another place is another.
func TestGroups(t *testing.T) {
	a, b := Of("agent", "panic", fmt.Sprintf(stack, 5, 1, 40), now), Of("agent", "panic", fmt.Sprintf(stack, 7, 2, 44), now)
	if a.Fingerprint != b.Fingerprint || len(a.Frames) != 2 || a.Frames[0] != "hardnode.dev/agent/apply.(*Applier).step" {
		t.Errorf("%+v and %+v", a, b)
	}
	other := Of("agent", "panic", strings.Replace(fmt.Sprintf(stack, 5, 1, 40), "step", "plan", 1), now)
	if other.Fingerprint == a.Fingerprint || Of("init", "panic", fmt.Sprintf(stack, 5, 1, 40), now).Fingerprint == a.Fingerprint {
		t.Error("another place, or another component, is the same group")
	}
	if err := (jls.ErrorReport{Errors: []jls.JError{a, b, other}}).Validate(); err != nil {
		t.Error(err)
	}
	if e, ok := OfBoot(upkeep.Boot{ID: "b", At: now, Cause: upkeep.CausePanic, Reason: "Fatal exception in interrupt"}); !ok ||
		e.Component != "kernel" || e.Message != "Fatal exception in interrupt" {
		t.Errorf("a panic: %+v %v", e, ok)
	}
	if _, ok := OfBoot(upkeep.Boot{Cause: upkeep.CauseOrdered}); ok {
		t.Error("an ordered boot is an error")
	}
}

// What waits survives its program; what was taken goes, and what came meanwhile stays.
func TestSpool(t *testing.T) {
	path := filepath.Join(t.TempDir(), "errors.json")
	s := &Spool{Path: path}
	e := Of("agent", "panic", "broken", now)
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	do(s.Once("boot-1", e))
	do(s.Once("boot-1", e))
	do(s.Add(jls.ErrorReport{Errors: []jls.JError{e}, Lost: 2}))
	s = &Spool{Path: path}
	do(s.Once("boot-1", e))
	w, err := s.Waiting()
	do(err)
	if len(w.Errors) != 1 || w.Errors[0].Count != 2 || w.Lost != 2 {
		t.Fatalf("waiting: %+v", w)
	}
	do(s.Add(jls.ErrorReport{Errors: []jls.JError{e}}))
	do(s.Taken(w))
	if w, err = s.Waiting(); err != nil || len(w.Errors) != 1 || w.Errors[0].Count != 1 || w.Lost != 0 {
		t.Errorf("after it was taken: %+v, %v", w, err)
	}
	for i := range jls.MaxErrors + 10 {
		x := Of("agent", "error", "alike", now.Add(time.Duration(i)*time.Second))
		x.Fingerprint = fmt.Sprintf("g1-%032x", i)
		do(s.Add(jls.ErrorReport{Errors: []jls.JError{x}}))
	}
	if w, err = s.Waiting(); err != nil || len(w.Errors) != jls.MaxErrors || w.Lost != 11 || w.Validate() != nil {
		t.Errorf("of too many: %d groups, %d lost, %v", len(w.Errors), w.Lost, err)
	}
}

// On a full disk an error is not counted, which its teller learns; what waited is whole, and goes on once there is room.
func TestSpoolFull(t *testing.T) {
	dir := full.Disk(t, 64)
	s := &Spool{Path: filepath.Join(dir, "errors.json")}
	first := Of("agent", "panic", "broken", now)
	if err := s.Once("boot-1", first); err != nil {
		t.Fatal(err)
	}
	free := full.Fill(t, dir, 0)
	other := Of("netd", "panic", "another", now)
	for range 2 {
		if err := s.Add(jls.ErrorReport{Errors: []jls.JError{other}}); !errors.Is(err, unix.ENOSPC) ||
			!strings.Contains(err.Error(), "keep errors") {
			t.Errorf("on a full disk: %v", err)
		}
	}
	for _, s := range []*Spool{s, {Path: s.Path}} { // and for the next process
		if w, err := s.Waiting(); err != nil || len(w.Errors) != 1 || w.Errors[0].Fingerprint != first.Fingerprint || w.Lost != 0 {
			t.Errorf("waiting: %+v, %v", w, err)
		}
	}
	free()
	if err := s.Add(jls.ErrorReport{Errors: []jls.JError{other}}); err != nil {
		t.Error(err)
	}
	if w, err := s.Waiting(); err != nil || len(w.Errors) != 2 || w.Errors[1].Count != 1 {
		t.Errorf("with room: %+v, %v", w, err)
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) != 1 {
		t.Errorf("left behind: %v, %v", names, err)
	}
}
