// Package uki makes unified kernel images: one EFI program that carries a kernel, its command line and its initramfs, so that firmware
// loads, and a signature covers, all of it or nothing.
//
// Owns: the layout of the file: which sections there are, where they lie in the file and in memory.
// In: a stub, which is systemd's linuxx64.efi.stub or works like it; the parts.
// Out: the image; the sections of an image. Same stub and parts, same bytes.
// Never: signs, reads or writes a file, or changes the stub but for its headers.
//
// Sources: the UAPI Group's specification "Unified Kernel Image" for the sections; Microsoft's "PE Format" for the file.
package uki

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"hardnode.dev/internal/wire/release"
)

// Section is a part of an image by its name in the file: at most 8 bytes.
type Section struct {
	Name string
	Data []byte
}

// The sections that a stub looks for.
const (
	Release   = ".osrel"   // os-release(5): boot loaders show its name and version
	Arguments = ".cmdline" // of the kernel
	Uname     = ".uname"   // the kernel's release
	Kernel    = ".linux"
	Initrd    = ".initrd" // its archives, one after the other
)

// Loader is a section that no stub looks for: the boot loader of disks that the system is installed to. Seal adds what it is signed with.
const Loader = release.LoaderSection

// Offsets in the headers (PE Format, "File Headers"), and the sizes of what is repeated.
const (
	peAt         = 0x3c // in the file: where the PE header begins
	coffSections = 4 + 2
	coffSymbols  = 4 + 8  // where the table of symbols lies, and how many there are
	coffOptional = 4 + 16 // the size of the optional header
	coffSize     = 4 + 20
	optInitData  = 8
	optAlign     = 32 // of sections in memory
	optFileAlign = 36
	optImageSize = 56
	optHeaders   = 60 // size of all headers
	optChecksum  = 64
	optDirs      = 112
	dirCerts     = optDirs + 4*8 // the table of signatures
	dirDebug     = 6 * 8         // from optDirs on
	sectionSize  = 40
	magic64      = 0x20b
	readData     = 0x40000040 // initialised data, readable
	most         = 1 << 30    // bytes of an image: beyond it firmware and its 32-bit fields are not to be trusted
)

// headers is where things are in a PE file.
type headers struct {
	opt, table, sections int // offsets of the optional header and of the section table; how many sections
}

// parse checks what of a PE file is relied on.
func parse(file []byte) (h headers, err error) {
	bad := func(what string) (headers, error) {
		return headers{}, errors.New("it is no 64-bit EFI program: " + what)
	}
	if len(file) < peAt+4 || string(file[:2]) != "MZ" {
		return bad("it does not begin with MZ")
	}
	pe := int(binary.LittleEndian.Uint32(file[peAt:]))
	if pe < peAt+4 || pe > len(file)-coffSize-dirCerts-8 || string(file[pe:pe+4]) != "PE\x00\x00" {
		return bad("it has no PE header")
	}
	h.sections, h.opt = int(binary.LittleEndian.Uint16(file[pe+coffSections:])), pe+coffSize
	h.table = h.opt + int(binary.LittleEndian.Uint16(file[pe+coffOptional:]))
	if binary.LittleEndian.Uint16(file[h.opt:]) != magic64 || h.table < h.opt+dirCerts+8 {
		return bad("its optional header is another one")
	}
	if h.table+h.sections*sectionSize > len(file) {
		return bad("its section table is cut off")
	}
	return h, nil
}

func (h headers) at(i int) int { return h.table + i*sectionSize }

// span is where a section lies: in memory and in the file.
type span struct{ virtual, virtualSize, raw, rawSize int }

func (h headers) span(file []byte, i int) span {
	field := func(offset int) int { return int(binary.LittleEndian.Uint32(file[h.at(i)+offset:])) }
	return span{virtualSize: field(8), virtual: field(12), rawSize: field(16), raw: field(20)}
}

func align(n, to int) int { return (n + to - 1) / to * to }

// Build adds the sections to a stub. It fails if the stub is no 64-bit EFI program, is signed (the signature would be of something else),
// has no room for so many section headers, or has a section of one of the names.
func Build(stub []byte, sections ...Section) ([]byte, error) {
	h, err := parse(stub)
	if err != nil {
		return nil, fmt.Errorf("use the stub: %v", err)
	}
	field := func(offset int) int { return int(binary.LittleEndian.Uint32(stub[h.opt+offset:])) }
	memory, disk, data := field(optAlign), field(optFileAlign), field(optInitData)
	if field(dirCerts) != 0 {
		return nil, errors.New("use the stub: it is signed")
	}
	if memory <= 0 || disk <= 0 || disk > memory {
		return nil, errors.New("use the stub: its alignment makes no sense")
	}
	end, names := 0, map[string]bool{}
	for i := range h.sections {
		s := h.span(stub, i)
		end = max(end, s.virtual+s.virtualSize)
		names[name(stub[h.at(i):])] = true
	}
	out, err := program(stub, h, len(sections), disk)
	if err != nil {
		return nil, fmt.Errorf("use the stub: %w", err)
	}
	for i, s := range sections {
		if len(s.Name) > 8 || len(s.Name) == 0 || names[s.Name] || len(s.Data) == 0 {
			return nil, fmt.Errorf("add section %q: it is empty, or there twice, or its name has not 1 to 8 bytes", s.Name)
		}
		names[s.Name] = true
		out = append(out, make([]byte, align(len(out), disk)-len(out))...)
		virtual, raw := align(end, memory), len(out)
		if raw+len(s.Data) > most || virtual+len(s.Data) > most {
			return nil, fmt.Errorf("add section %q: the image is larger than 1 GiB with its %d bytes", s.Name, len(s.Data))
		}
		out = append(out, s.Data...)
		out = append(out, make([]byte, align(len(out), disk)-len(out))...)
		head := out[h.at(h.sections+i):h.at(h.sections+i+1)]
		clear(head)
		copy(head, s.Name)
		for offset, value := range map[int]int{8: len(s.Data), 12: virtual, 16: len(out) - raw, 20: raw, 36: readData} {
			binary.LittleEndian.PutUint32(head[offset:], uint32(value))
		}
		end, data = virtual+len(s.Data), data+len(out)-raw
	}
	binary.LittleEndian.PutUint16(out[h.opt-coffSize+coffSections:], uint16(h.sections+len(sections)))
	for offset, value := range map[int]int{optInitData: data, optImageSize: align(end, memory), optChecksum: 0} {
		binary.LittleEndian.PutUint32(out[h.opt+offset:], uint32(value))
	}
	return out, nil
}

// program is the stub with room for so many more section headers, and without what lies behind its sections, which is its table of symbols:
// firmware takes a file whose sections do not lie one behind the other for one that was changed after it was signed.
func program(stub []byte, h headers, more, disk int) ([]byte, error) {
	size := int(binary.LittleEndian.Uint32(stub[h.opt+optHeaders:]))
	end, room, first := h.at(h.sections), size, most
	for i := range h.sections {
		if strings.HasPrefix(name(stub[h.at(i):]), "/") {
			return nil, errors.New("a section's name lies in its table of symbols")
		}
		s := h.span(stub, i)
		if first = min(first, s.virtual); s.rawSize > 0 {
			end, room = max(end, s.raw+s.rawSize), min(room, s.raw)
		}
	}
	if end > len(stub) || room < h.at(h.sections) || room > end {
		return nil, errors.New("its sections are cut off")
	}
	// Sections move down in the file, not in memory. Nothing in a program says where it lies in its file but for its section headers and
	// what is for debuggers.
	by := align(max(0, h.at(h.sections+more)-room), disk)
	if by > 0 && (size+by > first || binary.LittleEndian.Uint32(stub[h.opt+optDirs+dirDebug+4:]) != 0) {
		return nil, fmt.Errorf("its headers have room for %d more sections, %d are needed", (room-h.at(h.sections))/sectionSize, more)
	}
	out := slices.Concat(stub[:room], make([]byte, by), stub[room:end])
	for i := range h.sections {
		if s := h.span(stub, i); s.rawSize > 0 {
			binary.LittleEndian.PutUint32(out[h.at(i)+20:], uint32(s.raw+by))
		}
	}
	binary.LittleEndian.PutUint32(out[h.opt+optHeaders:], uint32(size+by))
	clear(out[h.opt-coffSize+coffSymbols:][:8])
	return out, nil
}

func name(head []byte) string { return string(bytes.TrimRight(head[:8], "\x00")) }

// Sections are those of an image, the stub's own included, each with its data. One that is cut off is an error.
func Sections(image []byte) ([]Section, error) {
	h, err := parse(image)
	if err != nil {
		return nil, fmt.Errorf("read the image: %v", err)
	}
	var list []Section
	for i := range h.sections {
		s, n := h.span(image, i), name(image[h.at(i):])
		size := min(s.virtualSize, s.rawSize)
		if s.raw < 0 || size < 0 || s.raw > len(image) || s.rawSize > len(image)-s.raw {
			return nil, fmt.Errorf("read the image: section %q is cut off: %d of %d bytes are there", n, max(0, len(image)-s.raw),
				s.rawSize)
		}
		list = append(list, Section{n, image[s.raw : s.raw+size]})
	}
	return list, nil
}
