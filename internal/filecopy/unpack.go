package filecopy

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// The most directories and links that a stream may have, and bytes of what is to be known of them: they are done last, and kept in memory
// until then.
const (
	maxKept  = 1 << 20
	maxBytes = 256 << 20
)

// Unpack takes a stream apart at dest, where as is the agreed name. Each file gets its name when it is whole. Directories get their modes,
// and links are made, when all files are there, so that nothing goes through a link of the stream. What the stream can't be trusted with
// (another name, a path that leads out) is an error; what was whole by then stays.
func Unpack(r io.Reader, dest, as string, o Options) (done Copied, err error) {
	u := &unpacker{o: o, as: as, wrote: map[string]bool{}}
	u.complaints.to = o.Complain
	defer func() {
		if u.root != nil {
			u.root.Close()
		}
	}()
	for in := tar.NewReader(r); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return u.end(fmt.Errorf("read the stream: %w", err))
		}
		if err := u.entry(in, h, dest); err != nil {
			return u.end(err)
		}
	}
	if u.root == nil && as != Any {
		return u.end(errors.New("nothing came"))
	}
	return u.end(errors.Join(u.makeLinks(), u.settle()))
}

// unpacker is one Unpack under way.
type unpacker struct {
	o          Options
	as         string
	root       *os.Root // nothing is opened but below it
	top        string   // what the agreed name is below it
	wrote      map[string]bool
	dirs       []later // whose modes come last, parents first
	links      []later
	held       int // bytes of these
	complaints complaints
	done       Copied
}

// later is what is done when all files are there.
type later struct {
	rel string
	*tar.Header
}

func (u *unpacker) end(err error) (Copied, error) {
	u.done.LeftOut = u.complaints.n
	return u.done, err
}

// entry does one of the stream's.
func (u *unpacker) entry(in io.Reader, h *tar.Header, dest string) error {
	switch h.Typeflag {
	case tar.TypeXGlobalHeader:
		return nil
	case tar.TypeReg, tar.TypeDir, tar.TypeSymlink, tar.TypeLink:
	default:
		u.complaints.say("%q is left out: only files, directories and links are copied", h.Name)
		return nil
	}
	name, err := u.name(h.Name)
	if err != nil {
		return err
	}
	if u.root == nil {
		if u.as != Any && name != "." {
			return fmt.Errorf("the stream begins with %q instead of %q", h.Name, u.as)
		}
		at, err := placeOf(dest, u.as, h.Typeflag == tar.TypeDir)
		if err != nil {
			return err
		}
		if u.root, err = os.OpenRoot(at.base); err != nil {
			return fmt.Errorf("open %q: %w", at.base, reason(err))
		}
		u.top = filepath.ToSlash(at.rel)
	}
	rel := path.Join(u.top, name)
	if len(u.dirs)+len(u.links) >= maxKept {
		return fmt.Errorf("the stream has more than %d directories and links: copy it in parts", maxKept)
	}
	switch h.Typeflag {
	case tar.TypeDir:
		err = u.dir(rel, h)
	case tar.TypeReg:
		err = u.file(in, rel, h)
	case tar.TypeLink:
		err = u.link(rel, h)
	case tar.TypeSymlink:
		l, err := u.later(rel, h)
		u.links = append(u.links, l)
		return err
	}
	if err != nil {
		return fmt.Errorf("write %q: %w", u.shown(rel), reason(err))
	}
	u.done.Files++
	return nil
}

// name is an entry's below the agreed one, "." for that itself.
func (u *unpacker) name(raw string) (string, error) {
	clean := path.Clean(raw)
	if raw == "" || !filepath.IsLocal(filepath.FromSlash(clean)) || strings.ContainsRune(raw, 0) {
		return "", fmt.Errorf("the stream has the name %q, which leads elsewhere: nothing of it is written", raw)
	}
	if u.as == Any || u.as == Contents {
		return clean, nil
	}
	if clean == u.as {
		return ".", nil
	}
	rest, ok := strings.CutPrefix(clean, u.as+"/")
	if !ok {
		return "", fmt.Errorf("the stream has the name %q, which is not of %q: nothing of it is written", raw, u.as)
	}
	return rest, nil
}

// shown is a path as a person knows it.
func (u *unpacker) shown(rel string) string {
	return filepath.Join(u.root.Name(), filepath.FromSlash(rel))
}

// mode is what a file gets.
func (u *unpacker) mode(h *tar.Header) fs.FileMode {
	m := h.FileInfo().Mode()
	if u.o.Exact {
		return m & (fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky)
	}
	return m & fs.ModePerm
}

func (u *unpacker) dir(rel string, h *tar.Header) error {
	if err := u.parents(rel); err != nil {
		return err
	}
	err := u.root.Mkdir(rel, u.mode(h)&fs.ModePerm|0o700)
	if errors.Is(err, fs.ErrExist) || rel == "." {
		st, serr := u.root.Stat(rel)
		switch {
		case serr != nil:
			return serr
		case !st.IsDir():
			return errors.New("is a file: a directory can't take its place")
		}
		return nil // it keeps its own mode
	}
	if err != nil {
		return err
	}
	d, err := u.later(rel, h)
	u.dirs = append(u.dirs, d)
	return err
}

// later keeps of a header what is needed when all files are there.
func (u *unpacker) later(rel string, h *tar.Header) (later, error) {
	l := later{rel, &tar.Header{Typeflag: h.Typeflag, Linkname: h.Linkname, Mode: h.Mode, Uid: h.Uid, Gid: h.Gid, ModTime: h.ModTime}}
	u.held += len(rel) + len(h.Linkname)
	for key, value := range h.PAXRecords {
		if strings.HasPrefix(key, attribute) && h.Typeflag == tar.TypeDir {
			if l.PAXRecords == nil {
				l.PAXRecords = map[string]string{}
			}
			l.PAXRecords[key] = value
			u.held += len(key) + len(value)
		}
	}
	if u.held > maxBytes {
		return l, fmt.Errorf("its directories and links need more than %d MiB to be known: copy it in parts", maxBytes>>20)
	}
	return l, nil
}

// parents makes the directories that an entry needs and the stream has left out.
func (u *unpacker) parents(rel string) error {
	dir := path.Dir(rel)
	if dir == "." {
		return nil
	}
	return u.root.MkdirAll(dir, 0o755)
}

// beside is a name in the same directory that nothing has.
func beside(rel string) string {
	return path.Join(path.Dir(rel), ".hardnode-cp-"+strconv.FormatUint(rand.Uint64(), 36))
}

// free says whether rel may be replaced: by what is no directory, if it is none.
func (u *unpacker) free(rel string) error {
	if st, err := u.root.Lstat(rel); err == nil && st.IsDir() {
		return errors.New("is a directory: a file can't take its place")
	}
	return u.parents(rel)
}

func (u *unpacker) file(in io.Reader, rel string, h *tar.Header) (err error) {
	if err := u.free(rel); err != nil {
		return err
	}
	open := u.mode(h) & fs.ModePerm
	if u.o.Exact {
		open = 0o600
	}
	temp := beside(rel)
	f, err := u.root.OpenFile(temp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, open)
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err == nil {
			err = u.root.Chtimes(temp, h.ModTime, h.ModTime)
		}
		if err == nil {
			err = u.root.Rename(temp, rel)
		}
		if err != nil {
			u.root.Remove(temp)
			return
		}
		u.wrote[rel] = true
		u.done.Bytes += h.Size
	}()
	to := &holes{f: f}
	if _, err := io.CopyBuffer(onlyWriter{to}, onlyReader{in}, make([]byte, 64<<10)); err != nil {
		return err
	}
	if err := to.finish(); err != nil {
		return err
	}
	if u.o.Owners {
		if err := f.Chown(h.Uid, h.Gid); err != nil {
			return err
		}
	}
	if u.o.Exact {
		if err := f.Chmod(u.mode(h)); err != nil {
			return err
		}
	}
	u.attributes(f, rel, h) // last: a new owner takes capabilities away
	return nil
}

// onlyWriter and onlyReader keep io.CopyBuffer to its buffer.
type onlyWriter struct{ io.Writer }
type onlyReader struct{ io.Reader }

// link gives a file of the stream a second name; what lay there before it can't be named.
func (u *unpacker) link(rel string, h *tar.Header) error {
	name, err := u.name(h.Linkname)
	if err != nil {
		return err
	}
	old := path.Join(u.top, name)
	if !u.wrote[old] {
		return fmt.Errorf("is another name of %q, which is no file of the stream before it", h.Linkname)
	}
	if old == rel {
		return nil
	}
	if err := u.free(rel); err != nil {
		return err
	}
	temp := beside(rel)
	if err := u.root.Link(old, temp); err != nil {
		return err
	}
	err = u.root.Rename(temp, rel)
	u.root.Remove(temp) // it is still there when both were one file already: rename(2)
	if err == nil {
		u.wrote[rel] = true
	}
	return err
}

// makeLinks makes the symbolic links. One that can't be made is a complaint: the files are there.
func (u *unpacker) makeLinks() error {
	for _, l := range u.links {
		err := u.free(l.rel)
		temp := beside(l.rel)
		if err == nil {
			err = u.root.Symlink(l.Linkname, temp)
		}
		if err == nil && u.o.Owners {
			err = u.root.Lchown(temp, l.Uid, l.Gid)
		}
		if err == nil {
			err = u.root.Rename(temp, l.rel)
		}
		if err != nil {
			u.root.Remove(temp)
			u.complaints.say("%q is left out: %v", u.shown(l.rel), reason(err))
			continue
		}
		u.done.Files++
	}
	return nil
}

// settle gives the directories that were made their owners, modes and times, the deepest first.
func (u *unpacker) settle() (errs error) {
	for _, d := range slices.Backward(u.dirs) {
		var err error
		if u.o.Owners {
			err = u.root.Lchown(d.rel, d.Uid, d.Gid)
		}
		if mode := u.mode(d.Header); u.o.Exact || mode&0o700 != 0o700 {
			err = errors.Join(err, u.root.Chmod(d.rel, mode))
		}
		if len(d.PAXRecords) > 0 {
			if f, oerr := u.root.Open(d.rel); oerr != nil {
				u.complaints.say("%q: its attributes are left out: %v", u.shown(d.rel), reason(oerr))
			} else {
				u.attributes(f, d.rel, d.Header)
				f.Close()
			}
		}
		if err = errors.Join(err, u.root.Chtimes(d.rel, d.ModTime, d.ModTime)); err != nil {
			errs = errors.Join(errs, fmt.Errorf("finish %q: %w", u.shown(d.rel), reason(err)))
		}
	}
	return errs
}
