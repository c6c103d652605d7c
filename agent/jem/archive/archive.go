// Package archive unpacks what somebody sent, into one directory.
//
// Owns: which formats there are, what may be in an archive, and how much.
// In: a file that can be read anywhere, an open directory, limits.
// Out: files and directories of the archive, owned by whoever is told; an error that names the entry.
// Never: writes outside the directory, whatever names and links an archive has, makes devices, or keeps set-uid bits.
package archive

import (
	"archive/tar"
	"archive/zip"
	"compress/bzip2"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// Limits of one archive; all are required but Strip.
type Limits struct {
	Bytes   int64 // of all files together
	Entries int
	Strip   int // leading parts of each name that are left out
	UID     int
	GID     int
}

// Summary is what was unpacked.
type Summary struct {
	Format  string
	Entries int
	Bytes   int64
}

// formats are told by their first bytes; a name says nothing.
var formats = []struct{ name, magic string }{{"gz", "\x1f\x8b"}, {"xz", "\xfd7zXZ\x00"}, {"zst", "\x28\xb5\x2f\xfd"}, {"bz2", "BZh"},
	{"zip", "PK\x03\x04"}, {"zip", "PK\x05\x06"}}

// Extract unpacks src into dir. What fails leaves what was unpacked so far.
func Extract(ctx context.Context, src io.ReaderAt, size int64, dir *os.Root, l Limits) (Summary, error) {
	u := &unpacker{ctx: ctx, dir: dir, limits: l, left: l.Bytes}
	head := make([]byte, 512)
	n, err := src.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return u.sum, fmt.Errorf("read archive: %v", err)
	}
	head, err = head[:n], nil
	for _, f := range formats {
		if strings.HasPrefix(string(head), f.magic) {
			u.sum.Format = f.name
			break
		}
	}
	var r io.Reader = io.NewSectionReader(src, 0, size)
	switch u.sum.Format {
	case "zip":
		if err = u.zip(src, size); err == nil {
			err = u.inner()
		}
		return u.sum, err
	case "gz":
		r, err = gzip.NewReader(r)
	case "bz2":
		r = bzip2.NewReader(r)
	case "xz":
		r, err = xz.ReaderConfig{DictCap: 64 << 20}.NewReader(r)
	case "zst":
		var z *zstd.Decoder
		if z, err = zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(128<<20)); err == nil {
			defer z.Close()
			r = z
		}
	}
	if err != nil {
		return u.sum, fmt.Errorf("read archive: %v", err)
	}
	if u.sum.Format == "" && (len(head) < 262 || string(head[257:262]) != "ustar") {
		return u.sum, errors.New("read archive: it is none of tar, tar.gz, tar.xz, tar.zst, tar.bz2 and zip")
	}
	u.sum.Format = strings.TrimSuffix("tar."+u.sum.Format, ".")
	if err = u.tar(r); err == nil {
		err = u.inner()
	}
	return u.sum, err
}

// inner follows the links that were made: one through others may lead out, whatever each of them says.
func (u *unpacker) inner() error {
	for _, at := range u.links {
		if err := linkInside(u.dir, at); err != nil {
			return fmt.Errorf("archive entry %w", err)
		}
	}
	return nil
}

// LinksInside follows every link in a directory, and gives an error for one that leads out of it. One to what is not there may stay.
func LinksInside(ctx context.Context, dir *os.Root) error {
	return fs.WalkDir(dir.FS(), ".", func(at string, d fs.DirEntry, err error) error {
		if err = errors.Join(err, ctx.Err()); err == nil && d.Type()&fs.ModeSymlink != 0 {
			err = linkInside(dir, at)
		}
		return err
	})
}

func linkInside(dir *os.Root, at string) error {
	to, err := dir.Readlink(at)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.EINVAL) { // something else took its place
		return nil
	}
	if err != nil {
		return err
	}
	_, err = dir.Stat(at)
	if path.IsAbs(to) || outside(path.Join(path.Dir(at), to)) || err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%.200q: it links to %.200q, which is outside", at, to)
	}
	return nil
}

type unpacker struct {
	ctx    context.Context // of Extract: an unpacker lives no longer
	dir    *os.Root
	limits Limits
	left   int64
	sum    Summary
	links  []string // that were made
}

func (u *unpacker) tar(r io.Reader) error {
	t := tar.NewReader(r)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read archive: %v", err)
		}
		e := entry{name: h.Name, mode: fs.FileMode(h.Mode).Perm(), link: h.Linkname, r: t}
		switch h.Typeflag {
		case tar.TypeReg:
			e.kind = regular
		case tar.TypeDir:
			e.kind = directory
		case tar.TypeSymlink:
			e.kind = symlink
		case tar.TypeLink:
			e.kind = hardlink
		case tar.TypeXGlobalHeader:
			continue
		default:
			return fmt.Errorf("archive entry %.200q: is neither a file nor a directory nor a link", h.Name)
		}
		if err := u.put(e); err != nil {
			return err
		}
	}
}

func (u *unpacker) zip(src io.ReaderAt, size int64) error {
	z, err := zip.NewReader(src, size)
	if err != nil {
		return fmt.Errorf("read archive: %v", err)
	}
	for _, f := range z.File {
		e := entry{name: strings.ReplaceAll(f.Name, "\\", "/"), mode: f.Mode().Perm()}
		switch m := f.Mode(); {
		case m.IsDir():
			e.kind = directory
		case m.IsRegular():
			e.kind = regular
		case m&fs.ModeSymlink != 0:
			e.kind = symlink
		default:
			return fmt.Errorf("archive entry %.200q: is neither a file nor a directory nor a link", f.Name)
		}
		if err := u.zipped(f, e); err != nil {
			return err
		}
	}
	return nil
}

func (u *unpacker) zipped(f *zip.File, e entry) error {
	if e.kind == directory {
		return u.put(e)
	}
	r, err := f.Open()
	if err != nil {
		return fmt.Errorf("archive entry %.200q: %v", f.Name, err)
	}
	defer r.Close()
	if e.r = r; e.kind == symlink {
		b, err := io.ReadAll(io.LimitReader(r, 4096))
		if err != nil {
			return fmt.Errorf("archive entry %.200q: %v", f.Name, err)
		}
		e.link = string(b)
	}
	return u.put(e)
}

type kind int

const (
	regular kind = iota
	directory
	symlink
	hardlink
)

type entry struct {
	name, link string
	kind       kind
	mode       fs.FileMode
	r          io.Reader
}

// inside is a name of an archive as a path below the directory; "" is the directory itself.
func (u *unpacker) inside(name string) (string, error) {
	if name == "" || len(name) > 4000 || strings.ContainsRune(name, 0) {
		return "", errors.New("its name is empty, too long or has a zero byte in it")
	}
	if path.IsAbs(name) {
		return "", errors.New("its name is absolute")
	}
	for _, part := range strings.Split(name, "/") {
		if part == ".." {
			return "", errors.New(`its name has a ".." in it`)
		}
	}
	parts := strings.Split(path.Clean(name), "/")
	if len(parts) <= u.limits.Strip || parts[0] == "." {
		return "", nil
	}
	if len(parts) > 64 {
		return "", errors.New("it is deeper than 64 directories")
	}
	return path.Join(parts[u.limits.Strip:]...), nil
}

// put makes one entry.
func (u *unpacker) put(e entry) error {
	err := u.ctx.Err()
	at := ""
	if err == nil {
		at, err = u.inside(e.name)
	}
	if err == nil {
		if u.sum.Entries++; u.sum.Entries > u.limits.Entries {
			err = fmt.Errorf("there are more than %d entries", u.limits.Entries)
		}
	}
	if err == nil && at != "" {
		err = u.make(at, e)
	}
	if err != nil {
		return fmt.Errorf("archive entry %.200q: %w", e.name, err)
	}
	return nil
}

func (u *unpacker) make(at string, e entry) error {
	if dir := path.Dir(at); dir != "." {
		if err := u.dirs(dir); err != nil {
			return err
		}
	}
	if e.kind == directory {
		if err := u.dirs(at); err != nil {
			return err
		}
		return u.dir.Chmod(at, e.mode|0o700)
	}
	if st, err := u.dir.Lstat(at); err == nil {
		if st.IsDir() {
			return errors.New("there is a directory of that name")
		}
		if err := u.dir.Remove(at); err != nil { // never written through: it may be a link
			return err
		}
	}
	switch e.kind {
	case symlink:
		if path.IsAbs(e.link) || outside(path.Join(path.Dir(at), e.link)) {
			return fmt.Errorf("it links to %.200q, which is outside", e.link)
		}
		if err := u.dir.Symlink(e.link, at); err != nil {
			return err
		}
		u.links = append(u.links, at)
		return u.owned(func() error { return u.dir.Lchown(at, u.limits.UID, u.limits.GID) })
	case hardlink:
		to, err := u.inside(e.link)
		if err != nil || to == "" {
			return fmt.Errorf("it links to %.200q, which is outside", e.link)
		}
		if st, err := u.dir.Lstat(to); err != nil || !st.Mode().IsRegular() {
			return fmt.Errorf("it links to %.200q, which is no file of the archive", e.link)
		}
		return u.dir.Link(to, at)
	}
	f, err := u.dir.OpenFile(at, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	n, err := io.Copy(f, io.LimitReader(readUntil{u.ctx, e.r}, u.left+1))
	u.sum.Bytes += n
	if u.left -= n; err == nil && u.left < 0 {
		err = fmt.Errorf("all files together have more than %d bytes", u.limits.Bytes)
	}
	if err == nil {
		err = u.owned(func() error { return f.Chown(u.limits.UID, u.limits.GID) })
	}
	return errors.Join(err, f.Chmod(e.mode|0o400))
}

// outside tells whether a path leads out of the directory that it begins in.
func outside(p string) bool { return p == ".." || strings.HasPrefix(p, "../") }

// dirs makes a directory and those above it. One that is there stays as it is.
func (u *unpacker) dirs(at string) error {
	parts := strings.Split(at, "/")
	for i := range parts {
		p := path.Join(parts[:i+1]...)
		err := u.dir.Mkdir(p, 0o755)
		if errors.Is(err, fs.ErrExist) {
			if st, serr := u.dir.Lstat(p); serr != nil || !st.IsDir() { // a link to a directory would make what links inside lead outside
				return fmt.Errorf("%.200q is no directory", p)
			}
			continue
		}
		if err == nil {
			err = u.owned(func() error { return u.dir.Lchown(p, u.limits.UID, u.limits.GID) })
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (u *unpacker) owned(chown func() error) error {
	if os.Geteuid() != 0 {
		return nil
	}
	return chown()
}

// readUntil ends with its context.
type readUntil struct {
	ctx context.Context
	r   io.Reader
}

func (r readUntil) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}
