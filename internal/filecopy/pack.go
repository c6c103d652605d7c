package filecopy

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// Pack writes the tree at root as a stream in which root itself is called as. A root that is a link is copied as one, unless it ends in a
// slash. The error is set when root can't be read or the stream can't be written; what is below root and can't be read is a complaint.
func Pack(w io.Writer, root, as string, o Options) (Copied, error) {
	return PackAll(w, []Tree{{root, as}}, o)
}

// Tree is one of several in a stream: where it is, and what its top is called there.
type Tree struct{ Root, As string }

// PackAll is Pack of several trees, one after the other.
func PackAll(w io.Writer, trees []Tree, o Options) (done Copied, err error) {
	p := &packer{to: w, tar: tar.NewWriter(w), owners: o.Owners, seen: map[inode]string{}}
	p.complaints.to = o.Complain
	for _, t := range trees {
		if err == nil {
			err = p.tree(t.Root, t.As, o.OneDevice)
		}
	}
	if err == nil {
		err = p.tar.Close()
	}
	p.done.LeftOut = p.complaints.n
	return p.done, err
}

// tree packs one.
func (p *packer) tree(root, as string, oneDevice bool) error {
	var device uint64
	return filepath.WalkDir(root, func(at string, d fs.DirEntry, err error) error {
		if at != root && err != nil {
			p.complaints.say("%q is left out: %v", at, reason(err))
			return nil
		}
		if err != nil {
			return fmt.Errorf("read %q: %w", root, reason(err))
		}
		rel, err := filepath.Rel(root, at)
		if err != nil {
			return fmt.Errorf("read %q: %v", at, err)
		}
		name := path.Join(as, filepath.ToSlash(rel))
		if as == Contents && name != Contents {
			name = "./" + name
		}
		if err := p.entry(at, name, at == root); err != nil || !oneDevice || !d.IsDir() {
			return err
		}
		if st, err := d.Info(); err == nil {
			of, _ := inodeOf(st)
			if at == root {
				device = of.dev
			} else if of.dev != device {
				return fs.SkipDir
			}
		}
		return nil
	})
}

// packer is one Pack under way.
type packer struct {
	to         io.Writer
	tar        *tar.Writer
	owners     bool
	seen       map[inode]string // names of files that have several, as first written
	complaints complaints
	done       Copied
}

// inode is which file it is, where several names may be one.
type inode struct{ dev, ino uint64 }

// entry writes one file, directory or link. Only what keeps the stream from going on is an error.
func (p *packer) entry(at, name string, top bool) error {
	leave := func(err error) error {
		if top {
			return fmt.Errorf("read %q: %w", at, reason(err))
		}
		p.complaints.say("%q is left out: %v", at, reason(err))
		return nil
	}
	st, err := os.Lstat(at)
	if err != nil {
		return leave(err)
	}
	target := ""
	switch mode := st.Mode(); {
	case mode.IsDir(), mode.IsRegular():
	case mode&fs.ModeSymlink != 0:
		if target, err = os.Readlink(at); err != nil {
			return leave(err)
		}
	default:
		return leave(fmt.Errorf("it is %s: only files, directories and links are copied", special(mode)))
	}
	h, err := tar.FileInfoHeader(nameless{st}, filepath.ToSlash(target))
	if err != nil {
		return leave(err)
	}
	h.Name = name
	if st.IsDir() {
		h.Name += "/"
	}
	if !p.owners {
		h.Uid, h.Gid = 0, 0
	}
	if st.IsDir() {
		if f, err := openFile(at); err == nil { // its names are read by path, and say why it can't be
			if now, err := f.Stat(); err == nil && os.SameFile(st, now) {
				p.attributes(f, h)
			}
			f.Close()
		}
	}
	if !st.Mode().IsRegular() {
		p.done.Files++
		return p.header(at, h)
	}
	key, several := inodeOf(st)
	if first := p.seen[key]; several && first != "" {
		h.Typeflag, h.Linkname, h.Size = tar.TypeLink, first, 0
		p.done.Files++
		return p.header(at, h)
	}
	f, err := openFile(at)
	if err != nil {
		return leave(err)
	}
	defer f.Close()
	if now, err := f.Stat(); err != nil || !os.SameFile(st, now) {
		return leave(errors.New("it was replaced while it was read"))
	}
	p.attributes(f, h)
	if err := p.file(f, h); err != nil {
		return err
	}
	if several {
		p.seen[key] = name
	}
	p.done.Files++
	p.done.Bytes += h.Size
	return nil
}

func (p *packer) header(at string, h *tar.Header) error {
	if err := p.tar.WriteHeader(h); err != nil {
		return fmt.Errorf("send %q: %w", at, err)
	}
	return nil
}

// file writes a file's header and as many bytes as that says, whatever becomes of the file meanwhile.
func (p *packer) file(f *os.File, h *tar.Header) error {
	if parts := dataParts(f, h.Size); parts != nil {
		return p.sparse(f, h, parts)
	}
	if err := p.header(f.Name(), h); err != nil {
		return err
	}
	return p.data(p.tar, f, part{0, h.Size})
}

// data writes a part of a file. What is not there any more is zeros, and a complaint.
func (p *packer) data(to io.Writer, f *os.File, of part) error {
	in := &faulty{r: io.NewSectionReader(f, of.at, of.size)}
	n, err := io.Copy(to, in)
	if err != nil {
		return fmt.Errorf("send %q: %w", f.Name(), err)
	}
	if n == of.size {
		return nil
	}
	why := in.err
	if why == nil {
		why = errors.New("it became shorter while it was read")
	}
	p.complaints.say("%q is zeros from byte %d on: %v", f.Name(), of.at+n, reason(why))
	if _, err := io.CopyN(to, zeros{}, of.size-n); err != nil {
		return fmt.Errorf("send %q: %w", f.Name(), err)
	}
	return nil
}

// faulty ends where its reader fails, and keeps why.
type faulty struct {
	r   io.Reader
	err error
}

func (f *faulty) Read(b []byte) (int, error) {
	n, err := f.r.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		f.err, err = err, io.EOF
	}
	return n, err
}

// zeros gives nothing else.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// nameless is a file's status without names for its owners: numbers mean others elsewhere, and looking them up would read files.
type nameless struct{ fs.FileInfo }

func (nameless) Uname() (string, error) { return "", nil }
func (nameless) Gname() (string, error) { return "", nil }

// reason is an error without the path, which its caller has said.
func reason(err error) error {
	var p *fs.PathError
	var l *os.LinkError
	switch {
	case errors.As(err, &p):
		return p.Err
	case errors.As(err, &l):
		return l.Err
	}
	return err
}

// special says what a file is that is none.
func special(m fs.FileMode) string {
	switch {
	case m&fs.ModeDevice != 0:
		return "a device"
	case m&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case m&fs.ModeSocket != 0:
		return "a socket"
	}
	return "no file (" + strings.TrimSpace(m.Type().String()) + ")"
}
