//go:build guest

package container

import (
	"bytes"
	"crypto/rand"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hardnode.dev/agent/container/command"
	"hardnode.dev/internal/filecopy"
	"hardnode.dev/internal/wire/host"
)

// TestCopy: files go into a container and come out of it by `jem copy`, as `hnctl node cp` has it do; what finds no room leaves what was
// there.
func TestCopy(t *testing.T) {
	spawnerUp(t)
	r := newRuntime(t)
	s := box(t, 140, "mkdir /c; echo before > /c/big; "+forever)
	s.Limits.DiskBytes = 16 << 20
	mustStart(t, r, s)
	jem := func(in io.Reader, out io.Writer, args ...string) (string, int) {
		t.Helper()
		var said bytes.Buffer
		io0 := command.Stdio{Out: out, Err: &said}
		if in != nil {
			io0.In = io.NopCloser(in)
		}
		e, err := r.Exec(deadline(t), 140, host.ExecSpec{Argv: append([]string{"/run/hardnode/jem", "copy"}, args...)}, io0)
		if err != nil {
			t.Fatal(err)
		}
		return said.String(), e.Code
	}
	dir := t.TempDir()
	data := make([]byte, 3<<20)
	rand.Read(data)
	for name, b := range map[string][]byte{"site/a": []byte("A"), "site/sub/big": data} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o640); err != nil {
			t.Fatal(err)
		}
	}
	pack := func(name string) *bytes.Buffer {
		t.Helper()
		var b bytes.Buffer
		if _, err := filecopy.Pack(&b, filepath.Join(dir, name), filepath.Base(name), filecopy.Options{}); err != nil {
			t.Fatal(err)
		}
		return &b
	}
	if said, code := jem(pack("site"), io.Discard, "receive", "/c/", "site"); code != 0 || said != "" {
		t.Fatalf("copied in: %d %s", code, said)
	}
	if got, _ := sh(t, r, 140, "cd /c/site; stat -c '%a %u' a; cat a"); got != "640 0\nA" {
		t.Errorf("inside: %q", got)
	}
	var out bytes.Buffer
	if said, code := jem(nil, &out, "send", "/c/site", "site"); code != 0 || said != "" {
		t.Fatalf("copied out: %d %s", code, said)
	}
	if _, err := filecopy.Unpack(&out, dir+"/back", "site", filecopy.Options{}); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(dir + "/back/sub/big"); !bytes.Equal(b, data) {
		t.Errorf("%d bytes came back, %v", len(b), err)
	}
	if err := os.WriteFile(dir+"/big", bytes.Repeat(data, 8), 0o600); err != nil {
		t.Fatal(err)
	}
	if said, code := jem(pack("big"), io.Discard, "receive", "/c", "big"); code != 1 || !strings.Contains(said, `write "/c/big": `) {
		t.Errorf("more than fits: %d %q", code, said)
	}
	if got, _ := sh(t, r, 140, "cat /c/big; ls -A /c"); got != "before\nbig\nsite" {
		t.Errorf("left: %q", got)
	}
	if said, code := jem(nil, io.Discard, "send", "/dev", "dev"); code != 7 || !strings.Contains(said, `"/dev/null" is left out: it is a device`) {
		t.Errorf("devices: %d %s", code, said)
	}
}
