package medium

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/diskfs/go-diskfs/backend/file"
	"github.com/diskfs/go-diskfs/filesystem/fat32"
	"github.com/diskfs/go-diskfs/partition/gpt"
)

// A medium is laid out once: a CD can't be changed, and a stick whose tables are written by others than its own system is easily damaged.
// So a medium carries a file of blanks in the place of each file that may be added, and adding one writes over the blanks. A file that ends
// in blanks says the same as without them, and one of nothing else counts as absent.

// Blank is what a file to be added consists of: YAML and JSON alike skip it.
const Blank = '\n'

// Addable are the files that may be added, with the room there is for each, in bytes.
var Addable = map[string]int{"hardnode.yaml": 64 << 10, "bundle.json": 1 << 20}

var (
	// ErrThere: a file of that name has been added already.
	ErrThere = errors.New("it is there already")
	// ErrNoPlace: the medium has no place where a host looks for the file.
	ErrNoPlace = errors.New("it has no place for it on a volume HARDNODE")
	// ErrFull: the file does not fit into its place.
	ErrFull = errors.New("it is larger than its place there")
)

// Add puts a file into its place on a medium, which is an image or a device. An image is replaced when all of it is done; a device is
// written to in place. A file that is there is an error (ErrThere) unless replace is set.
func Add(medium, name string, data []byte, replace bool) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("add %s to %q: %w", name, medium, err)
		}
	}()
	st, err := os.Stat(medium)
	if err != nil {
		return cause(err)
	}
	target := medium
	if st.Mode().IsRegular() {
		target = medium + ".new"
		defer os.Remove(target)
		if err := clone(target, medium, st.Size(), st.Mode().Perm()); err != nil {
			return err
		}
	}
	f, err := os.OpenFile(target, os.O_RDWR, 0)
	if err != nil {
		return cause(err)
	}
	defer f.Close()
	p, err := find(f, name)
	if err != nil {
		return err
	}
	if err := fill(p, data, replace); err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	if target == medium {
		return nil
	}
	return os.Rename(target, medium)
}

// cause is what went wrong, without the path, which the caller says.
func cause(err error) error {
	if p := (*fs.PathError)(nil); errors.As(err, &p) {
		return p.Err
	}
	return err
}

// place is where a file's data lies.
type place struct {
	io.ReadWriteSeeker
	size int64
}

// fill writes data over what is in a place, and reads it back.
func fill(p place, data []byte, replace bool) error {
	if int64(len(data)) > p.size || p.size > largest {
		return fmt.Errorf("%w: %d bytes of %d", ErrFull, len(data), p.size)
	}
	was := make([]byte, p.size)
	if _, err := io.ReadFull(p, was); err != nil {
		return fmt.Errorf("read what is there: %w", cause(err))
	}
	if len(bytes.TrimSpace(was)) > 0 && !replace {
		return ErrThere
	}
	full := append(bytes.Clone(data), bytes.Repeat([]byte{Blank}, int(p.size)-len(data))...)
	if _, err := p.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if _, err := p.Write(full); err != nil {
		return fmt.Errorf("write it: %w", cause(err))
	}
	if _, err := p.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if _, err := io.ReadFull(p, was); err != nil || !bytes.Equal(was, full) {
		return errors.Join(errors.New("what was written does not read back"), err)
	}
	return nil
}

// largest is what a place may have: one that claims more is damaged.
const largest = 16 << 20

// find looks for the place of a file: on an ISO, or on a HARDNODE volume among a medium's partitions.
func find(f *os.File, name string) (place, error) {
	if isISO(f) {
		return inISO(f, name)
	}
	t, err := gpt.Read(f, sector, sector)
	if err != nil {
		return place{}, ErrNoPlace
	}
	for _, p := range t.Partitions {
		if p.Type == gpt.Unused {
			continue
		}
		v, err := fat32.Read(file.New(f, false), p.GetSize(), p.GetStart(), sector)
		if err != nil || strings.TrimSpace(v.Label()) != Label {
			continue
		}
		st, err := v.Stat(name)
		if err != nil {
			continue
		}
		to, err := v.OpenFile(name, os.O_RDWR)
		if err != nil {
			return place{}, err
		}
		return place{to, st.Size()}, nil
	}
	return place{}, ErrNoPlace
}

// clone copies a file and leaves its holes out.
func clone(to, from string, size int64, mode os.FileMode) error {
	src, err := os.Open(from)
	if err != nil {
		return cause(err)
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	defer dst.Close()
	if err := dst.Truncate(size); err != nil {
		return err
	}
	block, zero := make([]byte, 1<<20), make([]byte, 1<<20)
	for at := int64(0); at < size; at += int64(len(block)) {
		n, err := src.ReadAt(block, at)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if bytes.Equal(block[:n], zero[:n]) {
			continue
		}
		if _, err := dst.WriteAt(block[:n], at); err != nil {
			return err
		}
	}
	return dst.Close()
}
