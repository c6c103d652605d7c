package hook

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hardnode.dev/agent/jem/program"
	"hardnode.dev/internal/wire/jem"
)

// TestRefused: a hook that others could have written is not run.
func TestRefused(t *testing.T) {
	for name, make := range map[string]func(path string){
		"can be written by others":  func(p string) { os.WriteFile(p, []byte("#!/bin/sh\n"), 0o600); os.Chmod(p, 0o757) },
		"can be written by others ": func(p string) { os.WriteFile(p, []byte("#!/bin/sh\n"), 0o600); os.Chmod(p, 0o775) },
		"can't be executed":         func(p string) { os.WriteFile(p, []byte("#!/bin/sh\n"), 0o644) },
		"is no regular file":        func(p string) { os.Symlink("/bin/true", p) },
		"is no regular file ":       func(p string) { os.Mkdir(p, 0o755) },
	} {
		root := t.TempDir()
		os.MkdirAll(filepath.Join(root, Dir), 0o755)
		make(filepath.Join(root, Dir, "m.pre"))
		_, err := Run(t.Context(), root, Call{Module: "m", Action: "a"}, Pre)
		var e *jem.Error
		if !errors.As(err, &e) || e.Code != "denied" || !strings.Contains(e.Reason, strings.TrimSpace(name)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRunner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	for _, c := range []struct {
		owner int
		as    *program.User
		want  program.User
	}{{0, nil, program.User{UID: nobody, GID: nobody}}, {0, &program.User{UID: 33, GID: 33}, program.User{UID: 33, GID: 33}},
		{0, &program.User{}, program.User{UID: nobody, GID: nobody}}, {7, &program.User{UID: 33}, program.User{UID: 7, GID: 8}}} {
		p := filepath.Join(t.TempDir(), "h")
		os.WriteFile(p, nil, 0o755)
		if c.owner != 0 {
			os.Chown(p, c.owner, c.owner+1)
		}
		st, _ := os.Lstat(p)
		if got, err := runner(st, c.as); err != nil || *got != c.want {
			t.Errorf("%+v: %+v %v", c, got, err)
		}
	}
}
