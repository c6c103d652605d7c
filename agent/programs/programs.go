// Package programs takes a host's programs out of a system's file, and makes a root of them that init can run them from.
//
// Owns: the folders of boot.RootsDir, each a read-only filesystem in memory.
// In: a UKI, of which it is known by its digest that it may run.
// Out: what it is made of; a root with its programs, each compared with the digest that the UKI has of it.
// Never: runs a program, or takes anything else out of a system: the rest must be what was booted (release.Hot).
//
// A UKI's section .initrd holds archives one after the other, each at a multiple of 512 bytes; one of them holds the root's filesystem
// image as its first file, uncompressed (image/assemble).
package programs

import (
	"bytes"
	"crypto/sha256"
	"debug/pe"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"

	"hardnode.dev/internal/build"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/neighbour"
	"hardnode.dev/internal/wire/release"
)

// files are what a root has of its programs' folder: the programs, and what says which release they are of.
var files = []release.Part{release.Agent, release.Netd, release.Spawner, release.Console, release.JEM}

// ErrSilent: a system does not say what it is made of.
var ErrSilent = errors.New("the system does not say what it is made of: it is of an older release")

// Made is what a UKI says that it is made of.
func Made(uki io.ReaderAt) (release.Parts, error) {
	section, err := Section(uki, release.PartsSection)
	if err != nil {
		return nil, err
	}
	raw := make([]byte, min(section.Size(), 64<<10))
	if _, err := io.ReadFull(section, raw); err != nil {
		return nil, fmt.Errorf("read what the system is made of: %v", err)
	}
	var p release.Parts
	if err := neighbour.Decode(bytes.TrimRight(raw, "\x00"), &p); err != nil {
		return nil, fmt.Errorf("read what the system is made of: %v", err)
	}
	return p, p.Validate()
}

// Section is the content of a section of a UKI.
func Section(uki io.ReaderAt, name string) (*io.SectionReader, error) {
	f, err := pe.NewFile(uki)
	if err != nil {
		return nil, fmt.Errorf("it is no EFI program: %v", err)
	}
	s := f.Section(name)
	switch {
	case s == nil && name == release.PartsSection:
		return nil, ErrSilent
	case s == nil:
		return nil, fmt.Errorf("the system has no section %s", name)
	}
	return io.NewSectionReader(uki, int64(s.Offset), int64(min(s.Size, s.VirtualSize))), nil
}

// Facts of the newc format (Linux, Documentation/driver-api/early-userspace/buffer-format.rst), and of how archives lie in a section.
const (
	aligned    = 512
	newcMagic  = "070701"
	newcHead   = 110
	newcSize   = 6 + 6*8  // where the file's size is: eight hex digits
	newcName   = 6 + 11*8 // likewise, of its name with the zero behind it
	rootName   = "root.erofs"
	newcToData = (newcHead + len(rootName) + 1 + 3) / 4 * 4
)

// rootOf finds the root's filesystem image in the archives of an initramfs.
func rootOf(initrd *io.SectionReader) (*io.SectionReader, error) {
	head := make([]byte, newcHead+len(rootName)+1)
	for at := int64(0); at+int64(len(head)) <= initrd.Size(); at += aligned {
		if _, err := initrd.ReadAt(head, at); err != nil {
			return nil, fmt.Errorf("read the initramfs: %v", err)
		}
		if string(head[:len(newcMagic)]) != newcMagic || string(head[newcHead:]) != rootName+"\x00" {
			continue
		}
		size, err := strconv.ParseUint(string(head[newcSize:newcSize+8]), 16, 32)
		name, nameErr := strconv.ParseUint(string(head[newcName:newcName+8]), 16, 32)
		begin := at + int64(newcToData)
		if err != nil || nameErr != nil || name != uint64(len(rootName)+1) || int64(size) > initrd.Size()-begin {
			continue
		}
		return io.NewSectionReader(initrd, begin, int64(size)), nil
	}
	return nil, fmt.Errorf("the initramfs has no %s", rootName)
}

// digestOf is that of all of r.
func digestOf(r io.Reader) (wire.Digest, error) {
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return "", err
	}
	return wire.Digest("sha256:" + hex.EncodeToString(h.Sum(nil))), nil
}

// wanted are the files of a root, by name, with the digests that they must have; "": any.
func wanted(p release.Parts) map[string]wire.Digest {
	all := map[string]wire.Digest{path.Base(build.File): ""}
	for _, name := range files {
		if d, ok := p[name]; ok {
			all[string(name)] = d
		}
	}
	return all
}
