// Package unpack is JEM's module that unpacks an archive into a directory of the container.
//
// Owns: where the archive comes from, where it goes, how much of it fits.
// In: an archive that is sent along, or a file that is there.
// Out: a directory with what was in it.
// Never: leaves a half of an archive where nothing was before.
package unpack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/jem/archive"
	"hardnode.dev/agent/jem/contract"
	"hardnode.dev/internal/wire/jem"
)

// Module is the module's table.
var Module = contract.Module{Name: "unpack", Help: "archives", Actions: []contract.Action{
	{Name: "archive", Args: "DIR [--file PATH] [--strip N] [--over]", Limit: 15 * time.Minute, Begin: begin,
		Help: "unpack tar, tar.gz, tar.xz, tar.zst, tar.bz2 or zip, sent along or a file, into a directory that is empty or not there"},
}}

// Most are the limits of an archive where the quota does not set a smaller one.
const (
	maxBytes   = 8 << 30
	MaxEntries = 200_000
)

// Room is how much may be unpacked, in bytes, so that the container does not get full.
func Room(t jem.Told) int64 {
	if t.DiskLimit <= 0 {
		return maxBytes
	}
	return max(0, min(maxBytes, t.DiskLimit/100*97-t.DiskUsed))
}

func begin(c *contract.Call) (contract.Steps, error) {
	a, err := c.Parse(1, 1, "file PATH", "strip N", "over")
	if err != nil {
		return contract.Steps{}, err
	}
	dir, err := contract.Path(a.Rest[0])
	strip, serr := a.Number("strip", 0, 0, 20)
	from := a.Option("file")
	if from != "" && serr == nil {
		from, serr = contract.Path(from)
	}
	if err := errors.Join(err, serr); err != nil {
		return contract.Steps{}, err
	}
	at := filepath.Join(c.Root, dir)
	made := false
	var src *os.File
	return contract.Steps{
		Pre: func(ctx context.Context) (err error) {
			list, err := os.ReadDir(at)
			switch {
			case errors.Is(err, fs.ErrNotExist):
				made = true
			case err != nil:
				return &jem.Error{Code: "conflict", Reason: fmt.Sprintf("%s can't be a directory to unpack into: %v", dir, err)}
			case len(list) > 0 && !a.Has("over"):
				return &jem.Error{Code: "conflict", Reason: dir + " is not empty",
					Next: "--over puts the archive's files over what is there"}
			}
			src, err = Source(ctx, c, from)
			return err
		},
		Do: func(ctx context.Context) error {
			if made {
				if err := os.MkdirAll(at, 0o755); err != nil {
					return err
				}
			}
			l := archive.Limits{Bytes: Room(c.Told), Entries: MaxEntries, Strip: strip}
			if st, err := os.Stat(at); err == nil {
				if sys, ok := st.Sys().(*syscall.Stat_t); ok {
					l.UID, l.GID = int(sys.Uid), int(sys.Gid)
				}
			}
			root, err := os.OpenRoot(at)
			if err != nil {
				return err
			}
			defer root.Close()
			sum, err := Into(ctx, src, root, l)
			if err == nil {
				c.Done("%s: %d entries, %d KiB, unpacked into %s", sum.Format, sum.Entries, sum.Bytes>>10, dir)
			}
			return err
		},
		Undo: func(context.Context) error {
			if a.Has("over") {
				return errors.New("it was put over what was there")
			}
			root, err := os.OpenRoot(at)
			if err != nil {
				return err
			}
			defer root.Close()
			list, err := fs.ReadDir(root.FS(), ".")
			for _, e := range list {
				err = errors.Join(err, root.RemoveAll(e.Name()))
			}
			if made {
				err = errors.Join(err, os.Remove(at))
			}
			return err
		},
		Cleanup: func() {
			if src != nil {
				src.Close()
			}
		},
	}, nil
}

// Source is the archive: a file of the container, or what is sent along, kept in a file without a name.
func Source(ctx context.Context, c *contract.Call, path string) (*os.File, error) {
	if path != "" {
		f, err := os.OpenFile(filepath.Join(c.Root, path), os.O_RDONLY|unix.O_NONBLOCK, 0)
		if err != nil {
			return nil, &jem.Error{Code: "not_found", Reason: fmt.Sprintf("archive %s: %v", path, errors.Unwrap(err))}
		}
		if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
			f.Close()
			return nil, contract.Invalid("archive %s: is no regular file", path)
		}
		return f, nil
	}
	return Kept(ctx, c, c.In)
}

// Kept keeps what comes, at most as much as there is room for, in a file without a name.
func Kept(ctx context.Context, c *contract.Call, r io.Reader) (*os.File, error) {
	f, err := os.CreateTemp(filepath.Join(c.Root, contract.StateDir), "archive-*")
	if err != nil {
		return nil, fmt.Errorf("keep archive: %v", err)
	}
	os.Remove(f.Name())
	room := Room(c.Told)
	n, err := io.Copy(f, io.LimitReader(r, room+1))
	switch {
	case err != nil:
		err = fmt.Errorf("keep archive: %v", err)
	case ctx.Err() != nil:
		err = ctx.Err()
	case n == 0:
		err = &jem.Error{Code: "invalid", Reason: "no archive is sent along", Next: "give one: hnctl jem --input FILE …, or --file PATH"}
	case n > room:
		err = &jem.Error{Code: "exhausted", Reason: fmt.Sprintf("the archive has more than the %d MiB that there is room for", room>>20),
			Next: "make room, or give the container more disk"}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Into unpacks into a directory. What is wrong with the archive is the caller's mistake.
func Into(ctx context.Context, src *os.File, dir *os.Root, l archive.Limits) (archive.Summary, error) {
	st, err := src.Stat()
	if err != nil {
		return archive.Summary{}, err
	}
	sum, err := archive.Extract(ctx, src, st.Size(), dir, l)
	if err != nil && ctx.Err() == nil {
		code := "invalid"
		if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || strings.Contains(err.Error(), "all files together") {
			code = "exhausted"
		}
		err = &jem.Error{Code: code, Reason: err.Error(), Next: "correct the archive, or make room"}
	}
	return sum, err
}
