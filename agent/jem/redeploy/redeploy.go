// Package redeploy is JEM's module that takes what is an application's own along to another image.
//
// Owns: which paths those are, the archive of them, and what may be in one.
// In: the template's list, /etc/jem/redeploy.conf; an archive that was packed in the container before.
// Out: one tar file; the same files in the container of the new image, with owners and modes.
// Never: takes along or replaces what is an image's own, or begins with an archive that has anything else in it.
package redeploy

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path"
	"path/filepath"
	"time"

	"hardnode.dev/agent/jem/contract"
	"hardnode.dev/agent/jem/unpack"
	"hardnode.dev/internal/filecopy"
	"hardnode.dev/internal/wire/jem"
)

// Module is the module's table.
var Module = contract.Module{Name: "redeploy", Help: "what goes along to another image", Actions: []contract.Action{
	{Name: "list", Help: "paths of the template, of " + conf + " and of JEM", Reads: true, Begin: list},
	{Name: "pack", Args: "[--to PATH]", Limit: limit, Begin: pack,
		Help: "pack them into a tar file, " + packed + " unless --to says another"},
	{Name: "unpack", Args: "[--file PATH]", Limit: limit, Begin: unpackTree,
		Help: "put them in place again, in a container of another image; sent along or a file"},
}}

const (
	limit  = 15 * time.Minute
	packed = "/" + contract.StateDir + "/redeploy.tar"
)

func pack(c *contract.Call) (contract.Steps, error) {
	a, err := c.Parse(0, 0, "to PATH")
	to := packed
	if a.Has("to") && err == nil {
		to, err = contract.Path(a.Option("to"))
	}
	if err != nil {
		return contract.Steps{}, err
	}
	at := filepath.Join(c.Root, to)
	var trees []filecopy.Tree
	return contract.Steps{
		Pre: func(context.Context) error {
			all, err := listOf(c.Root)
			if err != nil {
				return err
			}
			if trees = treesOf(c.Root, all); len(trees) == 0 {
				return &jem.Error{Code: "not_found", Reason: "nothing that goes along is there",
					Next: "name paths in " + conf + "; jem redeploy list shows them"}
			}
			for _, t := range trees {
				if rel, err := filepath.Rel(t.Root, at); err == nil && filepath.IsLocal(rel) {
					return contract.Invalid("--to %s: is below /%s, which is packed", to, t.As)
				}
			}
			if st, err := os.Stat(filepath.Dir(at)); err != nil || !st.IsDir() {
				return &jem.Error{Code: "not_found", Reason: "there is no directory " + filepath.Dir(to), Next: "make it first"}
			}
			return nil
		},
		Do: func(ctx context.Context) error {
			f, err := os.CreateTemp(filepath.Dir(at), ".jem-*")
			if err != nil {
				return err
			}
			defer os.Remove(f.Name())
			defer f.Close()
			w := &bounded{ctx: ctx, to: f, left: unpack.Room(c.Told)}
			done, err := filecopy.PackAll(w, trees, filecopy.Options{Owners: true, OneDevice: true,
				Complain: func(text string) { c.Said(text + "\n") }})
			if err == nil {
				err = f.Sync()
			}
			if err == nil {
				err = os.Rename(f.Name(), at)
			}
			if err != nil {
				return err
			}
			c.Done("%d files, %d KiB, are packed in %s", done.Files, done.Bytes>>10, to)
			if done.LeftOut > 0 {
				c.Reply.Message += fmt.Sprintf("; %d things are left out", done.LeftOut)
			}
			return nil
		},
	}, nil
}

// bounded writes as much as there is room for, until its context ends.
type bounded struct {
	ctx  context.Context // of one pack
	to   io.Writer
	left int64
}

func (w *bounded) Write(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	if w.left -= int64(len(p)); w.left < 0 {
		return 0, &jem.Error{Code: "exhausted", Reason: "what goes along has more bytes than there is room for",
			Next: "make room, give the container more disk, or keep less"}
	}
	return w.to.Write(p)
}

func unpackTree(c *contract.Call) (contract.Steps, error) {
	a, err := c.Parse(0, 0, "file PATH")
	from := ""
	if a.Has("file") && err == nil {
		from, err = contract.Path(a.Option("file"))
	}
	var src *os.File
	return contract.Steps{
		Pre: func(ctx context.Context) (err error) {
			if src, err = unpack.Source(ctx, c, from); err != nil {
				return err
			}
			return look(ctx, src, unpack.Room(c.Told))
		},
		Do: func(ctx context.Context) error {
			done, err := filecopy.Unpack(reader(ctx, src), c.Root, filecopy.Any, filecopy.Options{Owners: os.Geteuid() == 0, Exact: true,
				Complain: func(text string) { c.Said(text + "\n") }})
			if err != nil {
				return &jem.Error{Code: "conflict", Reason: fmt.Sprintf("%v; %d files are in place", err, done.Files),
					Next: "see what is in the way, then unpack again"}
			}
			c.Done("%d files, %d KiB, are in place; what runs sees them when it is started next", done.Files, done.Bytes>>10)
			return nil
		},
		Cleanup: func() {
			if src != nil {
				src.Close()
			}
		},
	}, err
}

// look reads an archive's names before anything is begun: all must be such as pack takes along.
func look(ctx context.Context, src *os.File, room int64) error {
	bad := func(format string, args ...any) error {
		return &jem.Error{Code: "invalid", Reason: "archive: " + fmt.Sprintf(format, args...), Next: "use one of jem redeploy pack"}
	}
	in := tar.NewReader(reader(ctx, src))
	for n := 0; ; n++ {
		h, err := in.Next()
		switch {
		case errors.Is(err, io.EOF) && n == 0:
			return bad("there is nothing in it")
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return bad("%v", err)
		case n >= unpack.MaxEntries:
			return bad("has more than %d entries", unpack.MaxEntries)
		}
		names := []string{h.Name}
		switch h.Typeflag {
		case tar.TypeReg, tar.TypeDir, tar.TypeSymlink:
		case tar.TypeLink:
			names = append(names, h.Linkname)
		default:
			return bad("entry %.200q is neither a file nor a directory nor a link", h.Name)
		}
		for _, name := range names {
			at := path.Join("/", name)
			if path.IsAbs(name) || !filepath.IsLocal(path.Clean(name)) {
				return bad("entry %.200q leads elsewhere", name)
			}
			if of := jem.ImageOwn(at); of != "" || at == jem.TemplatePath || at == own {
				return bad("entry %.200q is the image's own", name)
			}
		}
		if room -= h.Size; room < 0 {
			return &jem.Error{Code: "exhausted", Reason: "what is in the archive has more bytes than there is room for",
				Next: "make room, or give the container more disk"}
		}
	}
}

// reader reads a file from its beginning, until ctx ends.
func reader(ctx context.Context, f *os.File) io.Reader {
	return until{ctx, io.NewSectionReader(f, 0, math.MaxInt64)}
}

type until struct {
	ctx context.Context // of one action
	io.Reader
}

func (u until) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.Reader.Read(p)
}
