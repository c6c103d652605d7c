//go:build guest

package programs

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"hardnode.dev/agent/sys"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/release"
)

// TestUnpack takes the programs out of a system that was built, the file /uki.
func TestUnpack(t *testing.T) {
	f, err := os.Open("/uki")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	digest, err := DigestOf("/uki")
	if err != nil {
		t.Fatal(err)
	}
	parts, err := Made(f)
	if err != nil {
		t.Fatal(err)
	}
	work, root := "/data", boot.RootFor("1.2.3", digest)
	if err := Unpack(f, st.Size(), "sha256:"+digest[7:15]+digest[7:15]+digest[7:], work, root); err == nil ||
		!strings.Contains(err.Error(), "the system has the digest") {
		t.Errorf("another digest: %v", err)
	}
	for range 2 { // the second time, it is there
		if err := Unpack(f, st.Size(), digest, work, root); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range files {
		path := filepath.Join(root, boot.ProgramsDir, string(name))
		if is, err := DigestOf(path); err != nil || is != parts[name] {
			t.Errorf("%s: %s, %v; want %s", name, is, err, parts[name])
		}
	}
	text, err := os.ReadFile(filepath.Join(root, boot.ProgramsDir, "build"))
	if err != nil || !strings.Contains(string(text), "\n") {
		t.Errorf("what says the release: %q, %v", text, err)
	}
	// It runs, and nobody can change it.
	out, err := exec.Command(filepath.Join(root, boot.ProgramsDir, string(release.JEM)), "service").CombinedOutput()
	if _, ran := err.(*exec.ExitError); !ran {
		t.Errorf("jem: %v\n%s", err, out)
	}
	if err := os.WriteFile(filepath.Join(root, boot.ProgramsDir, "agent"), nil, 0o755); err == nil {
		t.Error("a program could be changed")
	}
	left, err := os.ReadDir(work)
	for _, n := range left {
		if strings.HasPrefix(n.Name(), "root-") {
			t.Errorf("%s is left", n.Name())
		}
	}
	if err := Clean([]string{filepath.Join(root, boot.ProgramsDir, "agent")}); err != nil {
		t.Fatal(err)
	}
	if there, err := sys.IsMountpoint(root); !there {
		t.Errorf("a root that is used is gone: %v", err)
	}
	if err := Clean(nil); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(root); !os.IsNotExist(err) {
		t.Errorf("a root that nothing runs from is there: %v", err)
	}
}
