package asked

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"hardnode.dev/agent/container/record"
	"hardnode.dev/agent/spawner/call"
)

func TestLeft(t *testing.T) {
	began := time.Unix(1000, 0)
	of := func(pid int, started time.Time) record.Record {
		return record.Record{Record: call.Record{PID: pid, Started: started}}
	}
	a := Note{PID: 70, Started: began, At: 5000}
	for _, c := range []struct {
		name     string
		a        Note
		rec      record.Record
		all, now time.Duration
		want     time.Duration
	}{
		{"a moment ago", a, of(70, began), 10 * time.Second, 5 * time.Second, 10 * time.Second},
		{"a while ago", a, of(70, began), 10 * time.Second, 8 * time.Second, 7 * time.Second},
		{"its time is over: another stop", a, of(70, began), 10 * time.Second, 15 * time.Second, 0},
		{"its template gives it more now", a, of(70, began), 60 * time.Second, 15 * time.Second, 50 * time.Second},
		{"another process", a, of(71, began), 10 * time.Second, 6 * time.Second, 0},
		{"the same number later", a, of(70, began.Add(time.Second)), 10 * time.Second, 6 * time.Second, 0},
		{"not of this boot", a, of(70, began), 10 * time.Second, time.Second, 0},
		{"no note", Note{}, of(70, began), 10 * time.Second, time.Second, 0},
	} {
		if got := c.a.Left(c.rec, c.all, c.now); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestNoteOnDisk(t *testing.T) {
	at := filepath.Join(t.TempDir(), "stops", "101")
	if n := Read(at); n != (Note{}) {
		t.Errorf("no file: %+v", n)
	}
	rec := record.Record{Record: call.Record{PID: 70, Started: time.Unix(1000, 0).UTC()}}
	if err := Write(at, rec, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	if left := Read(at).Left(rec, 10*time.Second, 6*time.Second); left != 9*time.Second {
		t.Errorf("%s are left, want 9s", left)
	}
	if err := os.WriteFile(at, []byte(`{"pid": 7`), 0o600); err != nil {
		t.Fatal(err)
	}
	if n := Read(at); n != (Note{}) {
		t.Errorf("a torn file: %+v", n)
	}
}
