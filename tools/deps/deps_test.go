package deps

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// check runs deps.sh with a go of the given version and says what it wrote.
func check(t *testing.T, version string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	fake := filepath.Join(dir, "fakego")
	if err := os.WriteFile(fake, []byte("#!/bin/sh\necho "+version+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if version == "" {
		fake = "no-such-program"
	}
	cmd := exec.Command("sh", "deps.sh")
	cmd.Env = append(os.Environ(), "GO="+fake, "HARDNODE_OUT="+dir)
	cmd.WaitDelay = 30 * time.Second
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestOldGoIsRefused(t *testing.T) {
	for version, want := range map[string]string{"go1.19.8": "go1.19.8, but Go 1.26", "": "go is "} {
		out, err := check(t, version)
		if err == nil || !strings.Contains(out, want) {
			t.Errorf("with Go %q: got %v and %q, want a failure that says %q", version, err, out, want)
		}
		if strings.Contains(out, ": not found") || strings.Contains(out, "yntax error") {
			t.Errorf("the script itself is broken: %s", out)
		}
		if strings.Contains(out, "installing") {
			t.Errorf("with Go %q it installs packages all the same: %s", version, out)
		}
	}
}

func TestNewGoIsTaken(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("as root it would install packages")
	}
	if out, _ := check(t, "go1.27.1"); strings.Contains(out, "Go 1.26") {
		t.Errorf("Go 1.27.1 is refused: %s", out)
	}
}
