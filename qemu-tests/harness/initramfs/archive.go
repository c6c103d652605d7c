// Package initramfs makes what a guest boots: the kernel, and a first file system with programs and modules in it.
//
// Owns: the archive's format (cpio "newc"), which shared libraries a program needs, the order in which modules are loaded.
// In: files of this machine, the kernel that image/ builds.
// Out: an initramfs; the paths of kernel and modules.
// Never: starts a guest, or knows what runs in one.
package initramfs

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
)

// Archive collects files and writes them as a cpio archive the kernel unpacks as its first root (newc, initramfs buffer format).
type Archive struct {
	entries map[string]entry
}

type entry struct {
	mode uint32
	host string // file to copy, or
	data []byte // content (link target for symlinks)
}

// NewArchive is an empty archive.
func NewArchive() *Archive { return &Archive{entries: map[string]entry{}} }

const (
	modeDir  = 0o040000
	modeFile = 0o100000
	modeLink = 0o120000
)

// Dir adds a directory and those above it.
func (a *Archive) Dir(name string) {
	for p := clean(name); p != "." && p != ""; p = path.Dir(p) {
		if _, ok := a.entries[p]; !ok {
			a.entries[p] = entry{mode: modeDir | 0o755}
		}
	}
}

// File adds a file with this content.
func (a *Archive) File(name string, perm os.FileMode, data []byte) {
	a.Dir(path.Dir(clean(name)))
	a.entries[clean(name)] = entry{mode: modeFile | uint32(perm.Perm()), data: data}
}

// Link adds a symbolic link.
func (a *Archive) Link(name, target string) {
	a.Dir(path.Dir(clean(name)))
	a.entries[clean(name)] = entry{mode: modeLink | 0o777, data: []byte(target)}
}

// Copy adds a file of this machine (followed when it is a link), or a whole directory (whose links are kept).
func (a *Archive) Copy(name, from string) error {
	st, err := os.Stat(from)
	if err != nil {
		return err
	}
	if st.IsDir() {
		a.Dir(name)
		list, err := os.ReadDir(from)
		if err != nil {
			return err
		}
		for _, e := range list {
			to, src := path.Join(name, e.Name()), path.Join(from, e.Name())
			if e.Type()&os.ModeSymlink != 0 {
				target, err := os.Readlink(src)
				if err != nil {
					return err
				}
				a.Link(to, target)
				continue
			}
			if err := a.Copy(to, src); err != nil {
				return err
			}
		}
		return nil
	}
	if !st.Mode().IsRegular() {
		return fmt.Errorf("copy %s: is not a regular file", from)
	}
	a.Dir(path.Dir(clean(name)))
	a.entries[clean(name)] = entry{mode: modeFile | uint32(st.Mode().Perm()), host: from}
	return nil
}

// Has tells whether name is in the archive.
func (a *Archive) Has(name string) bool {
	_, ok := a.entries[clean(name)]
	return ok
}

// Write writes the archive to a file, uncompressed: under emulation unpacking costs more than loading.
func (a *Archive) Write(file string) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<20)
	names := make([]string, 0, len(a.entries))
	for n := range a.entries {
		names = append(names, n)
	}
	slices.Sort(names) // a directory sorts before what is in it
	for i, n := range names {
		if err := a.entries[n].write(w, n, i+1); err != nil {
			return fmt.Errorf("archive %s: %v", n, err)
		}
	}
	if err := (entry{}).write(w, "TRAILER!!!", 0); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Close()
}

func (e entry) write(w io.Writer, name string, inode int) error {
	var body io.Reader = strings.NewReader(string(e.data))
	size := int64(len(e.data))
	if e.host != "" {
		f, err := os.Open(e.host)
		if err != nil {
			return err
		}
		defer f.Close()
		st, err := f.Stat()
		if err != nil {
			return err
		}
		size, body = st.Size(), f
	}
	links := 1
	if e.mode&modeDir != 0 {
		links = 2
	}
	// magic, ino, mode, uid, gid, nlink, mtime, filesize, dev major, minor, rdev major, minor, namesize, check
	head := fmt.Sprintf("070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X", inode, e.mode, 0, 0, links, 0, size, 0, 0, 0, 0,
		len(name)+1, 0)
	if _, err := io.WriteString(w, head+name+"\x00"+zeros(-(len(head)+len(name)+1)&3)); err != nil {
		return err
	}
	if n, err := io.Copy(w, body); err != nil || n != size {
		return fmt.Errorf("wrote %d of %d bytes: %v", n, size, err)
	}
	_, err := io.WriteString(w, zeros(int(-size&3)))
	return err
}

func zeros(n int) string { return strings.Repeat("\x00", n) }

func clean(name string) string { return strings.TrimPrefix(path.Clean("/"+name), "/") }
