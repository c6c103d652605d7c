package uki

import (
	"bytes"
	"debug/pe"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
)

// stub is the smallest file that is a 64-bit EFI program with one section, and has room for a few more.
func stub() []byte {
	const peHead, room = 0x80, 0x400
	b := make([]byte, room+0x200)
	put := func(at, v int) { binary.LittleEndian.PutUint32(b[at:], uint32(v)) }
	copy(b, "MZ")
	put(peAt, peHead)
	copy(b[peHead:], "PE\x00\x00")
	binary.LittleEndian.PutUint16(b[peHead+4:], pe.IMAGE_FILE_MACHINE_AMD64)
	binary.LittleEndian.PutUint16(b[peHead+coffSections:], 1)
	binary.LittleEndian.PutUint16(b[peHead+coffOptional:], 240)
	opt := peHead + coffSize
	binary.LittleEndian.PutUint16(b[opt:], magic64)
	for at, v := range map[int]int{optInitData: 0x200, optAlign: 0x1000, optFileAlign: 0x200, optImageSize: 0x2000, optHeaders: room,
		optDirs - 4: 16} {
		put(opt+at, v)
	}
	s := opt + 240
	copy(b[s:], ".text")
	for at, v := range map[int]int{8: 0x123, 12: 0x1000, 16: 0x200, 20: room, 36: 0x60000020} {
		put(s+at, v)
	}
	copy(b[room:], "the stub's own program")
	return b
}

// TestBuild: another reader finds the parts, where none touches another one.
func TestBuild(t *testing.T) {
	parts := []Section{{Release, []byte("ID=hardnode\n")}, {Arguments, []byte("panic=10")}, {Kernel, bytes.Repeat([]byte("k"), 70001)},
		{Initrd, bytes.Repeat([]byte("i"), 4096)}}
	image, err := Build(stub(), parts...)
	if err != nil {
		t.Fatal(err)
	}
	again, _ := Build(stub(), parts...)
	if !bytes.Equal(image, again) {
		t.Error("the same parts make another image")
	}
	f, err := pe.NewFile(bytes.NewReader(image))
	if err != nil {
		t.Fatal(err)
	}
	opt := f.OptionalHeader.(*pe.OptionalHeader64)
	end, file := uint32(0), uint32(0)
	for i, s := range f.Sections {
		if s.VirtualAddress%opt.SectionAlignment != 0 || s.VirtualAddress < end || s.Offset%opt.FileAlignment != 0 || s.Offset < file {
			t.Errorf("section %s lies at %#x in memory and %#x in the file, after %#x and %#x", s.Name, s.VirtualAddress, s.Offset, end,
				file)
		}
		end, file = s.VirtualAddress+s.VirtualSize, s.Offset+s.Size
		if i == 0 {
			continue
		}
		data, err := s.Data()
		if want := parts[i-1]; err != nil || s.Name != want.Name || !bytes.Equal(data[:s.VirtualSize], want.Data) ||
			len(bytes.Trim(data[s.VirtualSize:], "\x00")) > 0 {
			t.Errorf("section %d is %s with %d bytes, %v", i, s.Name, len(data), err)
		}
	}
	if opt.SizeOfImage < end || opt.SizeOfImage%opt.SectionAlignment != 0 || int(file) != len(image) {
		t.Errorf("the image takes %#x bytes in memory, of %#x; the file %#x of %#x", opt.SizeOfImage, end, file, len(image))
	}
	got, err := Sections(image)
	if err != nil || len(got) != 5 {
		t.Fatalf("%d sections, %v", len(got), err)
	}
	for i, want := range parts {
		if got[i+1].Name != want.Name || !bytes.Equal(got[i+1].Data, want.Data) {
			t.Errorf("section %d is %s with %d bytes", i+1, got[i+1].Name, len(got[i+1].Data))
		}
	}
	for _, n := range []int{len(image) - 1, len(image) / 2, 0x300, 0x90, 1, 0} {
		if _, err := Sections(image[:n]); err == nil {
			t.Errorf("an image cut off at %d of %d bytes is read", n, len(image))
		}
	}
}

func TestBuildRefuses(t *testing.T) {
	change := func(at int, b ...byte) []byte {
		s := stub()
		copy(s[at:], b)
		return s
	}
	const opt = 0x80 + coffSize
	one := Section{Kernel, []byte("k")}
	many := make([]Section, 100)
	for i := range many {
		many[i] = Section{fmt.Sprint(i), []byte("x")}
	}
	for _, c := range []struct {
		name     string
		stub     []byte
		sections []Section
		want     string
	}{
		{"no program", []byte("#!/bin/sh"), []Section{one}, "does not begin with MZ"},
		{"nothing", nil, []Section{one}, "does not begin with MZ"},
		{"cut off", stub()[:0x100], []Section{one}, "no PE header"},
		{"a header far away", change(peAt, 0xff, 0xff, 0xff, 0x7f), []Section{one}, "no PE header"},
		{"32 bits", change(opt, 0x0b, 1), []Section{one}, "optional header"},
		{"signed", change(opt+dirCerts, 1), []Section{one}, "it is signed"},
		{"no alignment", change(opt+optFileAlign, 0, 0), []Section{one}, "alignment"},
		{"many sections", stub(), many, "have room for"},
		{"twice", stub(), []Section{one, one}, "there twice"},
		{"as the stub has one", stub(), []Section{{".text", []byte("x")}}, "there twice"},
		{"a long name", stub(), []Section{{".commandline", []byte("x")}}, "1 to 8 bytes"},
		{"empty", stub(), []Section{{Kernel, nil}}, "it is empty"},
	} {
		if _, err := Build(c.stub, c.sections...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

// TestRoom: where a stub's headers have no room for so many sections, its own sections move down in the file.
func TestRoom(t *testing.T) {
	var parts []Section
	for i := range 40 {
		parts = append(parts, Section{fmt.Sprintf(".p%d", i), []byte(fmt.Sprint("part ", i))})
	}
	image, err := Build(stub(), parts...)
	if err != nil {
		t.Fatal(err)
	}
	f, err := pe.NewFile(bytes.NewReader(image))
	if err != nil {
		t.Fatal(err)
	}
	text, err := f.Section(".text").Data()
	if err != nil || !bytes.HasPrefix(text, []byte("the stub's own program")) || f.Section(".text").VirtualAddress != 0x1000 {
		t.Errorf("the stub's section is %q at %#x, %v", text[:30], f.Section(".text").VirtualAddress, err)
	}
	if got, err := f.Section(".p39").Data(); err != nil || !bytes.HasPrefix(got, []byte("part 39")) {
		t.Errorf("the last section is %q, %v", got, err)
	}
	opt := f.OptionalHeader.(*pe.OptionalHeader64)
	if first := f.Section(".text").Offset; opt.SizeOfHeaders != first || first <= 0x400 || first%0x200 != 0 {
		t.Errorf("the headers take %#x, the first section begins at %#x", opt.SizeOfHeaders, first)
	}
}

func FuzzSections(f *testing.F) {
	image, err := Build(stub(), Section{Kernel, []byte("kernel")})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(image)
	f.Add(stub())
	f.Fuzz(func(t *testing.T, b []byte) {
		sections, err := Sections(b)
		for _, s := range sections {
			if err == nil && len(s.Data) > len(b) {
				t.Errorf("section %q has %d bytes of a file of %d", s.Name, len(s.Data), len(b))
			}
		}
		if made, err := Build(b, Section{".new", []byte("data")}); err == nil {
			if _, err := Sections(made); err != nil && len(sections) > 0 {
				t.Errorf("an image made of a readable stub is not readable: %v", err)
			}
		}
	})
}
