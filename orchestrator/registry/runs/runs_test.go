package runs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// said is the record in one line, the newest first.
func said(l *List) string {
	var out []string
	for _, r := range l.All() {
		out = append(out, strings.TrimSpace(fmt.Sprintf("%s %s %s", r.Name, r.State, r.Reason)))
	}
	return strings.Join(out, ", ")
}

// clock is a time that moves on by itself, so that the order of what happened shows.
func clock() func() time.Time {
	at := time.Date(2026, 11, 26, 1, 0, 0, 0, time.UTC)
	return func() time.Time { at = at.Add(time.Second); return at }
}

func TestRuns(t *testing.T) {
	path, now := filepath.Join(t.TempDir(), "runs.json"), clock()
	l := Open(path, nil, now)
	l.Begin("a:1", "push token", false)
	l.Begin("a:1", "another", true) // it is under way: the same one
	l.Begin("b:1", "push token", false)
	if got := said(l); got != "b:1 waiting, a:1 waiting" {
		t.Errorf("got %q", got)
	}
	first := l.All()[1]
	if first.ID.Validate() != nil || first.By != "push token" || first.Created.IsZero() || l.All()[0].ID == first.ID {
		t.Errorf("got %+v", first)
	}
	l.End("a:1", End{State: host.ImportDone, Digest: "sha256:d", Detail: "a template"})
	l.End("a:1", Deleted) // none is under way
	if got := l.All()[1]; got.ID != first.ID || got.State != host.ImportDone || got.Detail != "a template" ||
		!got.Updated.After(got.Created) {
		t.Errorf("got %+v", got)
	}
	if !l.Just("a:1", "sha256:d") || l.Just("a:1", "sha256:e") || l.Just("b:1", "") {
		t.Error("it is not known what was imported a moment ago")
	}
	l.Begin("a:1", "push token", false)
	if got := said(l); got != "a:1 waiting, b:1 waiting, a:1 done" || l.All()[0].ID == first.ID {
		t.Errorf("got %q", got)
	}
}

// TestRestart: what was pushed goes on under its id when the program starts again; what can't go on fails with a reason; nothing is lost.
func TestRestart(t *testing.T) {
	path, now := filepath.Join(t.TempDir(), "runs.json"), clock()
	l := Open(path, nil, now)
	for _, n := range []string{"old:1", "goes-on:1", "deleted:1", "again:1"} {
		l.Begin(wire.TemplateName(n), "push token", false)
	}
	l.Begin("asked:1", "push token", true)
	l.End("old:1", End{State: host.ImportDone})
	id := map[wire.TemplateName]wire.OperationID{}
	for _, r := range l.All() {
		id[r.Name] = r.ID
	}

	l = Open(path, nil, now)
	const ended = "asked:1 failed the registry ended before it was done"
	if got := said(l); got != ended+", again:1 waiting, deleted:1 waiting, goes-on:1 waiting, old:1 done" {
		t.Fatalf("after the start: %q", got)
	}
	l.Begin("again:1", "push token", false) // pushed again before the names were listed
	l.Left([]wire.TemplateName{"goes-on:1", "old:1", "other:1"}, nil)
	const gone = "deleted:1 dropped the name was deleted before it was imported"
	if got := said(l); got != ended+", again:1 waiting, "+gone+", goes-on:1 waiting, old:1 done" {
		t.Fatalf("once the names are known: %q", got)
	}
	if !l.Begun("goes-on:1") || l.Begun("deleted:1") {
		t.Error("it is not known what is under way")
	}
	for _, r := range l.All() {
		if r.ID != id[r.Name] {
			t.Errorf("%s has another id: %s, it was %s", r.Name, r.ID, id[r.Name])
		}
	}

	l = Open(path, nil, now)
	l.Left(nil, errors.New("input/output error"))
	for _, r := range l.All() {
		if !r.State.Final() || r.State == host.ImportFailed && (r.Reason == "" || r.Next == "" || r.Code == "") {
			t.Errorf("names that can't be listed: %+v", r)
		}
	}
}

// TestBound: so many that ended are kept and no more, those that have not ended all.
func TestBound(t *testing.T) {
	path, now := filepath.Join(t.TempDir(), "runs.json"), clock()
	l := Open(path, nil, now)
	l.Begin("long:1", "push token", false)
	for i := range keepEnded + 20 {
		n := wire.TemplateName(fmt.Sprintf("n:%d", i))
		if i < keepEnded+10 { // not each of them need be written
			l.open[n] = &entry{ImportRun: host.ImportRun{ID: "op-0123456789abcdef", Name: n, By: "push token", Created: now()}}
			l.end(n, End{State: host.ImportDone})
			continue
		}
		l.Begin(n, "push token", false)
		l.End(n, End{State: host.ImportDone})
	}
	for range 2 {
		all := l.All()
		if last := all[len(all)-1]; len(all) != keepEnded+1 || all[0].Name != wire.TemplateName(fmt.Sprintf("n:%d", keepEnded+19)) ||
			last.Name != "long:1" {
			t.Errorf("%d are kept, from %s to %s", len(all), all[0].Name, last.Name)
		}
		l = Open(path, nil, now)
	}
}

// A damaged record is set aside: what comes after it is written down again.
func TestDamagedRecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "runs.json")
	if err := os.WriteFile(path, []byte(`{"version":1,`), 0o600); err != nil {
		t.Fatal(err)
	}
	Open(path, nil, time.Now).Begin("a:1", "push token", false)
	if got := Open(path, nil, time.Now).All(); len(got) != 1 || got[0].Name != "a:1" {
		t.Errorf("after a restart: %+v", got)
	}
	if raw, err := os.ReadFile(path + ".damaged"); err != nil || string(raw) != `{"version":1,` {
		t.Errorf("the damaged one: %q, %v", raw, err)
	}
}
