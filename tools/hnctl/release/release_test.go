package release_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/testkit/released"
	"hardnode.dev/tools/hnctl/app"
	"hardnode.dev/tools/hnctl/release"
)

func TestVerify(t *testing.T) {
	p := released.Both(t, "cl-00000000000000aa", time.Now().Add(time.Hour))
	p.Release(t, "1.0.0", "host.efi", "a machine's image")
	file := filepath.Join(t.TempDir(), "bundle")
	run := func(raw []byte, args ...string) (string, error) {
		if err := os.WriteFile(file, raw, 0o644); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		a := &app.App{Out: &out, Talk: &out, Output: "table"}
		c := release.Group(a)
		c.SilenceUsage, c.SilenceErrors = true, true
		c.SetArgs(append([]string{"verify", file}, args...))
		err := c.ExecuteContext(t.Context())
		return out.String(), err
	}
	good := p.Bundle(t, p.Targets()...)
	pins := []string{"--image-pin", string(p.Image.Anchor().Pin), "--director-pin", string(p.Director.Anchor().Pin)}
	here := append(pins, "--cluster", "cl-00000000000000aa")
	if out, err := run(good, here...); err != nil || !strings.Contains(out, "1.0.0") || !strings.Contains(out, "as both repositories say") {
		t.Errorf("got %q %v", out, err)
	}
	for _, c := range []struct {
		what string
		raw  []byte
		args []string
		want string
	}{
		{"altered", bytes.Replace(good, []byte("a machine's"), []byte("a thief's x"), 1), here, "both repositories name 17 bytes"},
		{"for another cluster", good, append(pins, "--cluster", "cl-00000000000000bb"), "was made for installation"},
		{"another director", good, []string{"--image-pin", pins[1], "--director-pin", pins[1], "--cluster", "cl-00000000000000aa"},
			"director repository: its first root has the digest"},
		{"no pin", good, []string{"--image-pin", "sha256:1", "--director-pin", pins[3], "--cluster", "cl-00000000000000aa"}, "sha256:1"},
		{"cut", good[:len(good)/2], here, "cut off"},
	} {
		if _, err := run(c.raw, c.args...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.what, err, c.want)
		}
	}
}
