// Package bundle is one file that brings a release to a site without a network: the metadata of both repositories and the files they name.
//
// Owns: the form: a tar archive (POSIX, uncompressed) with image/metadata/… and director/metadata/… first, then image/targets/….
// In: metadata and files, or such an archive from a stick.
// Out: the archive; metadata as Sources for package trust; the files one after the other.
// Never: believes what is in it: that is for package trust, and the caller hashes each file against what both repositories name.
//
// History: 2026-11-26 version 1.
package bundle

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"hardnode.dev/internal/release/trust"
	"hardnode.dev/internal/wire/form"
)

// Bounds of what is read.
const (
	maxMetadata = 32 << 20 // bytes of all metadata
	maxFiles    = 1200     // metadata files: the roots of both repositories and some
)

var metadataName = form.New(`^([1-9][0-9]{0,18}\.(root|targets|snapshot)|timestamp)\.json$`)

// Metadata is the metadata of both repositories, by file name.
type Metadata struct{ Image, Director trust.Files }

// parts are the folders of the metadata, in the order they are written.
func (m Metadata) parts() []struct {
	prefix string
	files  trust.Files
} {
	return []struct {
		prefix string
		files  trust.Files
	}{{"image/metadata/", m.Image}, {"director/metadata/", m.Director}}
}

const targets = "image/targets/"

// Write writes a bundle. open gives a target's content, which must have its length; it is closed after its use.
func Write(w io.Writer, m Metadata, files []trust.Target, open func(trust.Target) (io.ReadCloser, error)) error {
	t := tar.NewWriter(w)
	put := func(name string, size int64, r io.Reader) error {
		if err := t.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: size, Format: tar.FormatPAX}); err != nil {
			return fmt.Errorf("bundle %q: %v", name, err)
		}
		if n, err := io.Copy(t, r); err != nil || n != size {
			return errors.Join(fmt.Errorf("bundle %q: wrote %d of %d bytes", name, n, size), err)
		}
		return nil
	}
	for _, p := range m.parts() {
		for _, name := range slices.Sorted(maps.Keys(p.files)) {
			if err := put(p.prefix+name, int64(len(p.files[name])), strings.NewReader(string(p.files[name]))); err != nil {
				return err
			}
		}
	}
	for _, f := range files {
		r, err := open(f)
		if err != nil {
			return err
		}
		if err := errors.Join(put(targets+f.Remote(), f.Length, r), r.Close()); err != nil {
			return err
		}
	}
	return t.Close()
}

// Reader reads a bundle from its beginning.
type Reader struct {
	tar  *tar.Reader
	next *tar.Header // the first file behind the metadata
	end  error
}

// Open reads the metadata of a bundle; the files follow with Next.
func Open(r io.Reader) (*Reader, Metadata, error) {
	b := &Reader{tar: tar.NewReader(r)}
	m := Metadata{Image: trust.Files{}, Director: trust.Files{}}
	var size int64
	for n := 0; ; n++ {
		h, err := b.tar.Next()
		if err != nil {
			b.end = err
			break
		}
		name, into := strings.CutPrefix(h.Name, "director/metadata/")
		files := m.Director
		if !into {
			name, into = strings.CutPrefix(h.Name, "image/metadata/")
			files = m.Image
		}
		if !into {
			b.next = h
			break
		}
		if size += h.Size; h.Typeflag != tar.TypeReg || !metadataName.MatchString(name) || h.Size < 0 || size > maxMetadata ||
			n > maxFiles {
			return nil, m, fmt.Errorf("read the bundle: %q is no metadata file that is read here", h.Name)
		}
		if _, there := files[name]; there {
			return nil, m, fmt.Errorf("read the bundle: %q is there twice", h.Name)
		}
		if files[name], err = io.ReadAll(b.tar); err != nil {
			return nil, m, broken(err)
		}
	}
	if b.end != nil && !errors.Is(b.end, io.EOF) {
		return nil, m, broken(b.end)
	}
	if len(m.Image) == 0 || len(m.Director) == 0 {
		return nil, m, errors.New("read the bundle: it has not the metadata of both repositories at its beginning; make it with " +
			"`hnctl jls release bundle`")
	}
	if b.next == nil {
		return nil, m, errors.New("read the bundle: it has no files behind the metadata; it is cut off, or of no release")
	}
	return b, m, nil
}

// Next is the next file: where it lies below the targets (trust.Target.Remote), and its content, good until the following call. io.EOF
// is the
// end.
func (b *Reader) Next() (remote string, content io.Reader, err error) {
	h := b.next
	if b.next = nil; h == nil {
		if b.end != nil {
			return "", nil, b.end
		}
		if h, err = b.tar.Next(); err != nil {
			if !errors.Is(err, io.EOF) {
				err = broken(err)
			}
			return "", nil, err
		}
	}
	remote, ok := strings.CutPrefix(h.Name, targets)
	if !ok || h.Typeflag != tar.TypeReg {
		return "", nil, fmt.Errorf("read the bundle: %q is no file of a release", h.Name)
	}
	return remote, b.tar, nil
}

func broken(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("read the bundle: it is cut off; copy it again")
	}
	if errors.Is(err, tar.ErrHeader) {
		return errors.New("read the bundle: it is none, or it is damaged; copy it again, or make it with `hnctl jls release bundle`")
	}
	return fmt.Errorf("read the bundle: %v", err)
}
