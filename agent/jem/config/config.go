// Package config is JEM's module of the container's configuration files.
//
// Owns: what is listed, the backup before each change, the check after it and the way back.
// In: paths; the content that the caller sends along.
// Out: files that their server takes, or the ones that were there before.
// Never: leaves a file that the server refused.
package config

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"hardnode.dev/agent/jem/contract"
	"hardnode.dev/agent/jem/file"
	"hardnode.dev/agent/jem/server"
	"hardnode.dev/agent/jem/service"
	"hardnode.dev/internal/wire/jem"
)

// Module is the module's table.
var Module = contract.Module{Name: "config", Help: "configuration files", Actions: []contract.Action{
	{Name: "list", Args: "[SERVER]", Help: "files of the servers that are here", Reads: true, Begin: list},
	{Name: "read", Args: "PATH", Help: "a text file", Reads: true, Begin: read},
	{Name: "write", Args: "PATH [--reload]", Help: "replace a file by what is sent along, and have its server check it", Begin: write},
	{Name: "restore", Args: "PATH [--reload]", Help: "bring back what was there before the last write", Begin: restore},
}}

// The limits of files and lists.
const (
	maxFile  = 1 << 20
	maxFiles = 2000
)

func list(c *contract.Call) (contract.Steps, error) {
	a, err := c.Parse(0, 1)
	if err != nil {
		return contract.Steps{}, err
	}
	if len(a.Rest) == 1 {
		if _, ok := server.ByName(a.Rest[0]); !ok {
			var names []string
			for _, s := range server.Servers {
				names = append(names, s.Name)
			}
			return contract.Steps{}, &jem.Error{Code: "invalid", Reason: fmt.Sprintf("server %q: is not known", a.Rest[0]),
				Next: "use one of " + strings.Join(names, ", ")}
		}
	}
	return contract.Steps{Do: func(ctx context.Context) error {
		c.Reply.Columns = []string{"server", "path", "bytes", "modified", "backups"}
		for _, s := range server.Servers {
			if s.Program(c.Root) == "" || len(a.Rest) == 1 && a.Rest[0] != s.Name {
				continue
			}
			for _, d := range s.Dirs {
				files(ctx, c, s.Name, d)
			}
		}
		c.Done("%d files", len(c.Reply.Items))
		return nil
	}}, nil
}

// files lists the regular files below a directory. What can't be read is left out.
func files(ctx context.Context, c *contract.Call, of, dir string) {
	backups := map[string]int{}
	type found struct {
		path string
		st   fs.FileInfo
	}
	var all []found
	filepath.WalkDir(filepath.Join(c.Root, dir), func(p string, d fs.DirEntry, err error) error {
		if err != nil || ctx.Err() != nil || len(all)+len(c.Reply.Items) >= maxFiles {
			return fs.SkipAll
		}
		if orig, _, is := strings.Cut(p, file.BackupMark); is {
			backups[orig]++
			return nil
		}
		if st, err := os.Stat(p); err == nil && st.Mode().IsRegular() && utf8.ValidString(p) {
			all = append(all, found{p, st})
		}
		return nil
	})
	for _, f := range all {
		n := ""
		if backups[f.path] > 0 {
			n = strconv.Itoa(backups[f.path])
		}
		c.Row(of, "/"+strings.TrimPrefix(strings.TrimPrefix(f.path, c.Root), "/"), strconv.FormatInt(f.st.Size(), 10),
			f.st.ModTime().UTC().Format(time.RFC3339), n)
	}
}

func read(c *contract.Call) (contract.Steps, error) {
	path, _, err := target(c)
	return contract.Steps{Do: func(context.Context) error {
		b, err := file.Read(filepath.Join(c.Root, path), jem.MaxText)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return &jem.Error{Code: "not_found", Reason: "there is no file " + path, Next: "jem config list"}
		case errors.Is(err, file.ErrLarge):
			return &jem.Error{Code: "conflict", Reason: fmt.Sprintf("%s has more than %d bytes", path, jem.MaxText),
				Next: "copy it instead"}
		case err != nil:
			return &jem.Error{Code: "conflict", Reason: err.Error()}
		case !utf8.Valid(b) || slices.Contains(b, 0):
			return &jem.Error{Code: "conflict", Reason: path + " is no text", Next: "copy it instead"}
		}
		c.Reply.Text = string(b)
		c.Done("%s: %d bytes", path, len(b))
		return nil
	}}, err
}

// target is the one path of a call.
func target(c *contract.Call, options ...string) (string, contract.Args, error) {
	a, err := c.Parse(1, 1, options...)
	if err != nil {
		return "", a, err
	}
	path, err := contract.Path(a.Rest[0])
	return path, a, err
}

func write(c *contract.Call) (contract.Steps, error) {
	path, a, err := target(c, "reload")
	if err != nil {
		return contract.Steps{}, err
	}
	var text []byte
	steps := replace(c, path, a.Has("reload"), &text)
	steps.Pre = func(context.Context) (err error) {
		if text, err = c.Given(maxFile); err != nil {
			return err
		}
		if st, err := os.Stat(filepath.Dir(filepath.Join(c.Root, path))); err != nil || !st.IsDir() {
			return &jem.Error{Code: "not_found", Reason: "there is no directory " + filepath.Dir(path), Next: "make it first"}
		}
		return nil
	}
	return steps, nil
}

func restore(c *contract.Call) (contract.Steps, error) {
	path, a, err := target(c, "reload")
	if err != nil {
		return contract.Steps{}, err
	}
	var text []byte
	steps := replace(c, path, a.Has("reload"), &text)
	steps.Pre = func(context.Context) (err error) {
		kept := file.ListBackups(followed(c.Root, path))
		if len(kept) == 0 {
			return &jem.Error{Code: "not_found", Reason: "there is no backup of " + path,
				Next: "jem config list shows which files have some"}
		}
		text, err = file.Read(kept[len(kept)-1], maxFile)
		return err
	}
	return steps, nil
}

// replace is the change of a file: backup, write, check, and the way back.
func replace(c *contract.Call, path string, reload bool, text *[]byte) contract.Steps {
	at, copied := "", ""
	var before []byte
	was, wrote := false, false
	return contract.Steps{
		Do: func(context.Context) (err error) {
			at = followed(c.Root, path)
			switch before, err = file.Read(at, maxFile); {
			case err == nil:
				was = true
			case !errors.Is(err, fs.ErrNotExist):
				return &jem.Error{Code: "conflict", Reason: err.Error()}
			}
			if copied, err = file.Backup(at, c.Now(), maxFile); err != nil {
				return err
			}
			if err := c.Was(at); err != nil {
				return err
			}
			wrote = true
			return file.Write(at, *text, file.Owned{Mode: 0o644})
		},
		Post: func(ctx context.Context) error {
			s, known := server.Of(c.Root, path)
			how := "no server that is here checks it"
			if known {
				said, checked, err := s.Verify(ctx, c.Root, path)
				c.Said(said)
				if err != nil {
					return err
				}
				if how = s.Name + " has no check for it"; checked {
					how = s.Name + " takes it"
				}
			}
			if reload {
				if !known {
					return &jem.Error{Code: "invalid", Reason: "no server that is here has its configuration in " + filepath.Dir(path),
						Next: "leave --reload out; jem service reload UNIT"}
				}
				if err := service.Reload(ctx, c, s.Called(c.Root)); err != nil {
					return err
				}
				how += ", and was reloaded"
			}
			file.Prune(at)
			c.Done("%s is written: %s", path, how)
			return nil
		},
		Undo: func(context.Context) error { // and its backup: else restore would bring back what is there
			switch {
			case !wrote:
			case !was:
				return os.Remove(at)
			default:
				if err := file.Write(at, before, file.Owned{}); err != nil {
					return err
				}
			}
			if copied != "" {
				return os.Remove(copied)
			}
			return nil
		},
	}
}

// followed is the file that a path leads to: Debian's sites-enabled are links. One that leads nowhere is itself.
func followed(root, path string) string {
	at := filepath.Join(root, path)
	if to, err := filepath.EvalSymlinks(at); err == nil {
		return to
	}
	return at
}
