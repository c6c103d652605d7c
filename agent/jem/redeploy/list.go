package redeploy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"hardnode.dev/agent/jem/contract"
	"hardnode.dev/agent/jem/file"
	"hardnode.dev/agent/jem/template"
	"hardnode.dev/internal/filecopy"
	"hardnode.dev/internal/wire/jem"
)

// conf is the container's own list.
const conf = jem.KeepPath

// own is JEM's own directory: what was set by it goes along, what the template says does not.
const own = "/etc/jem"

// kept is one path that goes along.
type kept struct{ path, of string }

// listOf is what is kept, each path once and without those below others.
func listOf(root string) (list []kept, err error) {
	t, err := template.Of(root)
	if err != nil {
		return nil, err
	}
	for _, p := range t.Keep {
		list = append(list, kept{filepath.Clean(p), "template"})
	}
	raw, err := file.Read(filepath.Join(root, conf), jem.MaxKeepList)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, wrong("%s: %v", conf, err)
	}
	more, err := jem.KeepLines(raw)
	if err != nil {
		return nil, wrong("%v", err)
	}
	for _, p := range more {
		list = append(list, kept{p, "list"})
	}
	list = slices.DeleteFunc(list, func(k kept) bool { return k.path == own || strings.HasPrefix(k.path, own+"/") })
	entries, _ := os.ReadDir(filepath.Join(root, own))
	for _, e := range entries {
		if p := filepath.Join(own, e.Name()); p != jem.TemplatePath {
			list = append(list, kept{p, "jem"})
		}
	}
	var names []string
	for _, k := range list {
		names = append(names, k.path)
	}
	if names, err = jem.KeptPaths(names); err != nil {
		return nil, wrong("%v", err)
	}
	out := make([]kept, len(names))
	for i, name := range names {
		out[i] = list[slices.IndexFunc(list, func(k kept) bool { return k.path == name })]
	}
	return out, nil
}

func wrong(format string, args ...any) error {
	return &jem.Error{Code: "conflict", Reason: fmt.Sprintf(format, args...), Next: "correct the list, then try again"}
}

// state says what is at a path; packed whether it goes into an archive. What is mounted there stays where it is: the host keeps volumes.
func state(root, path string) (says string, packed bool) {
	st, err := os.Lstat(filepath.Join(root, path))
	if err != nil {
		return "not there", false
	}
	above, err := os.Stat(root)
	if err != nil {
		return "not there", false
	}
	if a, b := deviceOf(above), deviceOf(st); st.IsDir() && a != b {
		return "a volume, which stays", false
	}
	switch m := st.Mode(); {
	case m.IsDir():
		return "directory", true
	case m.IsRegular():
		return "file", true
	case m&fs.ModeSymlink != 0:
		return "link", true
	}
	return "neither a file nor a directory nor a link", false
}

func deviceOf(st fs.FileInfo) uint64 {
	if s, ok := st.Sys().(*syscall.Stat_t); ok {
		return uint64(s.Dev)
	}
	return 0
}

func list(c *contract.Call) (contract.Steps, error) {
	_, err := c.Parse(0, 0)
	return contract.Steps{Do: func(context.Context) error {
		all, err := listOf(c.Root)
		if err != nil {
			return err
		}
		c.Reply.Columns = []string{"path", "of", "is"}
		for _, k := range all {
			says, _ := state(c.Root, k.path)
			c.Row(k.path, k.of, says)
		}
		c.Done("%d paths go along to another image", len(all))
		return nil
	}}, err
}

// treesOf are the trees of an archive, named below the root.
func treesOf(root string, all []kept) (trees []filecopy.Tree) {
	for _, k := range all {
		if _, packed := state(root, k.path); packed {
			trees = append(trees, filecopy.Tree{Root: filepath.Join(root, k.path), As: strings.TrimPrefix(k.path, "/")})
		}
	}
	return trees
}
