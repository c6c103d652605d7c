package sys

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReadSmall(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	for _, n := range []int{0, 1, 1023, 1024, 1025, 5000, mostSmall} {
		want := strings.Repeat("x", n)
		if err := os.WriteFile(path, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := ReadSmall(path); err != nil || got != want {
			t.Errorf("of %d bytes: got %d, %v", n, len(got), err)
		}
	}
	if err := os.Truncate(path, 10*mostSmall); err != nil {
		t.Fatal(err)
	}
	if got, err := ReadSmall(path); err != nil || len(got) < mostSmall {
		t.Errorf("of a long one: got %d, %v", len(got), err)
	}
	if _, err := ReadSmall(path + "x"); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), path+"x") {
		t.Errorf("got %v", err)
	}
	if got, err := ReadSmall("/proc/self/stat"); err != nil || !strings.Contains(got, "(") {
		t.Errorf("got %q, %v", got, err)
	}
}
