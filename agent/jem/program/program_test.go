package program

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestVersions: of several versions of a program in a place the last is found.
func TestVersions(t *testing.T) {
	root := t.TempDir()
	for _, v := range []string{"14", "15", "16"} {
		dir := filepath.Join(root, "usr/lib/pg", v, "bin")
		mode := os.FileMode(0o755)
		if v == "16" {
			mode = 0o644 // no program
		}
		if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "psql"), nil, mode)); err != nil {
			t.Fatal(err)
		}
	}
	if got := Find(root, "psql", "/usr/lib/pg/*/bin/psql"); got != filepath.Join(root, "usr/lib/pg/15/bin/psql") {
		t.Errorf("found %q", got)
	}
}

func TestRun(t *testing.T) {
	for _, c := range []struct{ script, said, err string }{
		{"echo out; echo err >&2", "out\nerr\n", ""},
		{"echo why >&2; exit 3", "why\n", "sh ended with exit status 3: why"},
		{"echo $HARDNODE_JEM$HOME", "/root\n", ""},
		{"cat", "in", ""},
		{"kill -9 $$", "", "sh ended with signal: killed"},
	} {
		t.Setenv("HARDNODE_JEM", "secret")
		said, err := Run(t.Context(), Command{Path: "/bin/sh", Args: []string{"-c", c.script}, In: strings.NewReader("in")})
		if said != c.said || (err == nil) != (c.err == "") || err != nil && err.Error() != c.err {
			t.Errorf("%q: %q %v", c.script, said, err)
		}
	}
	if _, err := Run(t.Context(), Command{Path: "/no/such"}); err == nil || !strings.Contains(err.Error(), "run such: ") {
		t.Errorf("no program: %v", err)
	}
}

func TestRunIsBounded(t *testing.T) {
	said, err := Run(t.Context(), Command{Path: "/bin/sh", Args: []string{"-c",
		"i=0; while [ $i -lt 30000 ]; do echo line $i; i=$((i+1)); done"}})
	if err != nil || len(said) > Kept+8 || !strings.HasPrefix(said, "[…]") || !strings.HasSuffix(said, "line 29999\n") {
		t.Errorf("%d bytes, %v: %.30q", len(said), err, said)
	}
}

// TestRunEndsWhole: with the deadline, the command and its children end.
func TestRunEndsWhole(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "mark")
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for ctx.Err() == nil {
			if _, err := os.Stat(mark); err == nil {
				cancel()
			}
			time.Sleep(time.Millisecond)
		}
	}()
	_, err := Run(ctx, Command{Path: "/bin/sh", Args: []string{"-c", "(touch " + mark + "; exec sleep 600) & exec sleep 600"}})
	if err == nil || !strings.Contains(err.Error(), "did not end in time") {
		t.Error(err)
	}
}

func TestFind(t *testing.T) {
	root := t.TempDir()
	for p, mode := range map[string]os.FileMode{"usr/sbin/nginx": 0o755, "usr/bin/plain": 0o644, "opt/x/run": 0o755} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, p)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, p), nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		names []string
		want  string
	}{{[]string{"nginx"}, "usr/sbin/nginx"}, {[]string{"plain"}, ""}, {[]string{"no", "/opt/x/run"}, "opt/x/run"}} {
		want := c.want
		if want != "" {
			want = filepath.Join(root, want)
		}
		if got := Find(root, c.names...); got != want {
			t.Errorf("%v: %q, want %q", c.names, got, want)
		}
	}
}
