package cgroup

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestWrite: what is written is there, nothing is made or cut short, and an error names the file and says why.
func TestWrite(t *testing.T) {
	at := filepath.Join(t.TempDir(), "file")
	if err := Write(at, "1"); !errors.Is(err, fs.ErrNotExist) || !Gone(err) || !strings.Contains(err.Error(), at) {
		t.Errorf("a file that is not there: %v", err)
	}
	if err := errors.Join(os.WriteFile(at, []byte("old text"), 0o600), Write(at, "new")); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(at); err != nil || string(got) != "new text" {
		t.Errorf("it says %q, %v", got, err)
	}
	if err := Write("/dev/full", "1"); err == nil || !strings.Contains(err.Error(), "write /dev/full: no space left") {
		t.Errorf("what takes nothing: %v", err)
	}
}
