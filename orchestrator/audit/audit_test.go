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
	if err := l.Do(operator.Audit{}, func() error { t.Error("carried out without a record"); return nil }); operator.AsProblem(err).Code != operator.Unavailable {
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
