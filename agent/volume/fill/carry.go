package fill

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// Carry copies what one layer of an overlay has at a path, deletions included, into the next one, whose lower is image: what nobody changed
// there is the image's. Directories on the way are as in the image, or, if it has none, as in the layer. there: something is copied. A
// path that leads through a link or a file is an error, as is one that the next layer has already.
func Carry(ctx context.Context, from, to, image *os.File, at string, o Options) (there bool, err error) {
	fail := func(err error) (bool, error) {
		switch {
		case errors.Is(err, errLong), errors.Is(err, unix.EDQUOT):
			err = fmt.Errorf("%w: there is more than the %d KiB that the container may have of its own; keep less, or make its disk larger",
				err, o.Bytes>>10)
		case errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENOTDIR):
			err = fmt.Errorf("a part of it is a link or a file: %w", err)
		}
		return false, fmt.Errorf("keep %q: %w", at, err)
	}
	o.layer = true
	c := copier{ctx: ctx, o: o, links: map[uint64]string{}, left: maxBytes}
	if o.Bytes > 0 {
		c.left = o.Bytes
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(from.Fd()), &st); err != nil {
		return fail(err)
	}
	c.dev = st.Dev
	dir, name := path.Split(strings.TrimPrefix(path.Clean(at), "/"))
	src, end, err := find(from, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return fail(err)
	}
	defer end()
	if err := unix.Fstatat(int(src.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW); errors.Is(err, unix.ENOENT) {
		return false, nil
	} else if err != nil {
		return fail(err)
	}
	dst, err := way(from, to, image, dir, o)
	if err != nil {
		return fail(err)
	}
	defer dst.Close()
	c.to = dst
	if err := c.entry(src, dst, name, "", 0); err != nil {
		return fail(err)
	}
	return true, nil
}

// find opens a directory below another one, no part of it being a link; "" is that one itself. What a layer has deleted is not there.
func find(root *os.File, dir string) (d *os.File, end func(), err error) {
	if d, err = open(root, ".", unix.O_DIRECTORY); err != nil {
		return nil, nil, err
	}
	for name := range strings.SplitSeq(strings.Trim(dir, "/"), "/") {
		if name == "" {
			continue
		}
		var st unix.Stat_t
		err := unix.Fstatat(int(d.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW)
		if err == nil && st.Mode&unix.S_IFMT == unix.S_IFCHR {
			err = unix.ENOENT // deleted in the layer
		}
		var next *os.File
		if err == nil {
			next, err = open(d, name, unix.O_DIRECTORY)
		}
		d.Close()
		if d = next; err != nil {
			return nil, nil, err
		}
	}
	return d, func() { d.Close() }, nil
}

// way makes the directories on the way to a path that are not there yet, and opens the last.
func way(from, to, image *os.File, dir string, o Options) (*os.File, error) {
	at, err := open(to, ".", unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	done := ""
	for name := range strings.SplitSeq(strings.TrimSuffix(dir, "/"), "/") {
		if name == "" {
			continue
		}
		done = path.Join(done, name)
		err := unix.Mkdirat(int(at.Fd()), name, 0o700)
		if made := err == nil; made || errors.Is(err, unix.EEXIST) {
			var next *os.File
			if next, err = open(at, name, unix.O_DIRECTORY); err == nil {
				at.Close()
				if at = next; made {
					err = as(at, from, image, done, o)
				}
			}
		}
		if err != nil {
			at.Close()
			return nil, err
		}
	}
	return at, nil
}

// as gives a directory the owner and the mode that it has in the image, or else in the layer before.
func as(d, from, image *os.File, name string, o Options) error {
	var st unix.Stat_t
	like, end, err := find(image, name)
	if err != nil {
		if like, end, err = find(from, name); err != nil {
			return err
		}
	}
	defer end()
	if err := unix.Fstat(int(like.Fd()), &st); err != nil {
		return err
	}
	if !o.Has(st.Uid) || !o.Has(st.Gid) {
		return fmt.Errorf("%q belongs to user %d and group %d, which the container does not have", name, st.Uid, st.Gid)
	}
	if err := unix.Fchown(int(d.Fd()), int(st.Uid), int(st.Gid)); err != nil {
		return err
	}
	return unix.Fchmod(int(d.Fd()), st.Mode&0o7777)
}
