package audit

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hardnode.dev/internal/wire/operator"
)

func open(t *testing.T, path string) *Log {
	t.Helper()
	l, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func TestDo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit")
	l := open(t, path)
	err := l.Do(operator.Audit{Who: "admin", What: "env.create", Object: "environments/hello"}, func() error {
		raw, _ := os.ReadFile(path)
		if !strings.Contains(string(raw), `"result":"begun"`) {
			t.Errorf("the record is not on disk before the effect: %q", raw)
		}
		return operator.NewProblem(operator.Conflict, "x", "the name is taken", "")
	})
	if p := operator.AsProblem(err); p.Code != operator.Conflict {
		t.Errorf("the effect's error is lost: %v", err)
	}
	if n := l.Newest(10); len(n) != 2 || n[0].Result != "conflict: the name is taken" || n[1].Result != "begun" || n[0].Seq != 2 {
		t.Errorf("records: %+v", n)
	}
	l.Close()
	if err := l.Do(operator.Audit{},
		func() error { t.Error("carried out without a record"); return nil }); operator.AsProblem(err).Code != operator.Unavailable {
		t.Errorf("a record that can't be written: %v", err)
	}
}

func TestReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit")
	l := open(t, path)
	for range 3 {
		if err := l.Write(operator.Audit{Who: "admin"}); err != nil {
			t.Fatal(err)
		}
	}
	l.Close()
	raw, _ := os.ReadFile(path)
	// A power cut in the middle of a line.
	os.WriteFile(path, append(raw, `{"seq":4,"who":"ad`...), 0o600)
	l = open(t, path)
	if err := l.Write(operator.Audit{Who: "after"}); err != nil {
		t.Fatal(err)
	}
	l.Close()
	l = open(t, path)
	if n := l.Newest(1); n[0].Seq != 4 || n[0].Who != "after" {
		t.Errorf("after a cut line: %+v", n)
	}
	l.Close()
	// Somebody edits history.
	raw, _ = os.ReadFile(path)
	os.WriteFile(path, []byte(strings.Replace(string(raw), "admin", "nobody", 1)), 0o600)
	if _, err := Open(path); !errors.Is(err, ErrChain) {
		t.Errorf("a changed record: %v", err)
	}
}

// TestAccounts: what was recorded before there were accounts is the admins', whichever way it is read, and the chain holds.
func TestAccounts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit")
	const earlier = `{"seq":1,"at":"2026-11-22T10:20:30Z","who":"ci","from":"127.0.0.1","what":"env.stop","object":"environments/hello","result":"ok","before":""}` + "\n"
	if err := os.WriteFile(path, []byte(earlier), 0o600); err != nil {
		t.Fatal(err)
	}
	l := open(t, path)
	if err := l.Write(operator.Audit{Who: "dev", Account: "shop"}); err != nil {
		t.Fatal(err)
	}
	back, _, err := l.Back(-1, 10, func(a operator.Audit) (bool, bool) { return a.Account != "", true })
	if err != nil {
		t.Fatal(err)
	}
	for how, got := range map[string][]operator.Audit{"Newest": l.Newest(10), "Back": back} {
		if len(got) != 2 || got[0].Account != "shop" || got[1].Account != "admin" || got[1].Who != "ci" {
			t.Errorf("%s: %+v, want shop's and before it admin's", how, got)
		}
	}
	l.Close()
	if _, err := Open(path); err != nil {
		t.Errorf("open it again: %v", err)
	}
}

// TestBack: all records, newest first, in parts, also beyond those in memory; new ones shift nothing.
func TestBack(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "audit"))
	all := func(operator.Audit) (bool, bool) { return true, true }
	if out, next, err := l.Back(-1, 10, all); len(out) != 0 || next != 0 || err != nil {
		t.Errorf("an empty record: %v, %d, %v", out, next, err)
	}
	for i := range 25 {
		who := "admin"
		if i%5 == 0 {
			who = strings.Repeat("x", 3000) // longer than what is read at first
		}
		if err := l.Write(operator.Audit{Who: who}); err != nil {
			t.Fatal(err)
		}
	}
	l.mu.ring = nil
	var seen []int64
	for place, parts := int64(-1), 0; place != 0; parts++ {
		out, next, err := l.Back(place, 10, all)
		if err != nil || parts == 3 {
			t.Fatalf("part %d: %v, %v", parts, out, err)
		}
		for _, a := range out {
			seen = append(seen, a.Seq)
		}
		if place = next; parts == 0 {
			l.Write(operator.Audit{Who: "late"})
		}
	}
	for i, seq := range seen {
		if seq != int64(25-i) {
			t.Fatalf("got %v, want 25 to 1", seen)
		}
	}
	if len(seen) != 25 {
		t.Fatalf("got %d records, want 25", len(seen))
	}
	out, next, err := l.Back(-1, 2, func(a operator.Audit) (bool, bool) { return a.Who == "admin", a.Seq > 22 })
	if err != nil || next == 0 && len(out) == 2 || len(out) != 2 || out[0].Seq != 25 || out[1].Seq != 24 {
		t.Errorf("some: %+v, %d, %v", out, next, err)
	}
	if out, next, err = l.Back(next, 2, func(a operator.Audit) (bool, bool) { return a.Who == "admin", a.Seq > 22 }); len(out) != 1 ||
		next != 0 || err != nil {
		t.Errorf("the rest of some: %+v, %d, %v", out, next, err)
	}
	for _, place := range []int64{1, 17, 1 << 40} {
		if _, _, err := l.Back(place, 1, all); !errors.Is(err, ErrPlace) {
			t.Errorf("place %d: %v", place, err)
		}
	}
}
