package file

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	p := filepath.Join(dir, "f")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(Write(p, []byte("one"), Owned{Mode: 0o640}))
	must(os.Chmod(p, 0o604))
	must(Write(p, []byte("two"), Owned{Mode: 0o600}))
	st, err := os.Stat(p)
	must(err)
	if b, _ := os.ReadFile(p); string(b) != "two" || st.Mode().Perm() != 0o604 {
		t.Errorf("%q %v", b, st.Mode())
	}
	victim := filepath.Join(dir, "victim")
	must(os.WriteFile(victim, []byte("safe"), 0o600))
	must(os.Remove(p))
	must(os.Symlink(victim, p))
	must(Write(p, []byte("three"), Owned{Mode: 0o600}))
	if b, _ := os.ReadFile(victim); string(b) != "safe" {
		t.Errorf("a link was followed: %q", b)
	}
	if err := Write(dir, nil, Owned{Mode: 0o600}); err == nil {
		t.Error("a directory was written")
	}
	if list, _ := filepath.Glob(filepath.Join(dir, ".jem-*")); list != nil {
		t.Errorf("left behind: %v", list)
	}
}

func TestRead(t *testing.T) {
	p := filepath.Join(t.TempDir(), "f")
	os.WriteFile(p, []byte("12345"), 0o600)
	if b, err := Read(p, 5); string(b) != "12345" || err != nil {
		t.Errorf("%q %v", b, err)
	}
	if _, err := Read(p, 4); !errors.Is(err, ErrLarge) {
		t.Error(err)
	}
	if _, err := Read("/dev/zero", 5); err == nil {
		t.Error("a device was read")
	}
}

func TestBackup(t *testing.T) {
	p := filepath.Join(t.TempDir(), "f")
	if b, err := Backup(p, time.Now(), 10); b != "" || err != nil {
		t.Errorf("nothing there: %q %v", b, err)
	}
	os.WriteFile(p, []byte("x"), 0o640)
	now := time.Date(2026, 11, 27, 1, 2, 3, 0, time.UTC)
	last := ""
	for i := range Backups + 3 {
		var err error
		if last, err = Backup(p, now.Add(time.Duration(i)*time.Second), 10); err != nil {
			t.Fatal(err)
		}
	}
	Prune(p)
	list := ListBackups(p)
	if len(list) != Backups || list[Backups-1] != last || filepath.Base(last) != "f.jem-backup-20261127T010210.000" {
		t.Errorf("%v %s", list, last)
	}
}
