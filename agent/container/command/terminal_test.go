package command

import (
	"os"
	"path/filepath"
	"testing"

	"hardnode.dev/agent/sys"
)

// TestTerminalOfAnImpostor: a container that puts something else in the place of its ptmx gets no terminal opened.
func TestTerminalOfAnImpostor(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "dev/pts"), 0o755); err != nil {
		t.Fatal(err)
	}
	d, err := sys.OpenDir(root)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	ptmx := filepath.Join(root, "dev/pts/ptmx")
	for what, put := range map[string]func() error{
		"a file":            func() error { return os.WriteFile(ptmx, nil, 0o666) },
		"a link to a real":  func() error { return os.Symlink("/dev/ptmx", ptmx) },
		"a link to nowhere": func() error { return os.Symlink("/proc/self/fd/0", ptmx) },
	} {
		os.Remove(ptmx)
		if err := put(); err != nil {
			t.Fatal(err)
		}
		if m, s, err := sys.OpenPTY(d, 0); err == nil {
			m.Close()
			s.Close()
			t.Errorf("%s was opened as a terminal", what)
		}
	}
}
