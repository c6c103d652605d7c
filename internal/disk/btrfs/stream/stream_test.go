package stream

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hardnode.dev/internal/disk/btrfs"
)

// part is one of a command's.
type part struct {
	a attr
	b []byte
}

func str(a attr, s string) part { return part{a, []byte(s)} }
func num(a attr, n uint64) part { return part{a, binary.LittleEndian.AppendUint64(nil, n)} }
func named(a attr, b byte) part { return part{a, bytes.Repeat([]byte{b}, 16)} }
func when(a attr) part          { return part{a, append(make([]byte, 8), 1, 0, 0, 0)} }

// command is one as the kernel writes it.
func command(version uint32, kind Kind, parts ...part) []byte {
	var body []byte
	for _, p := range parts {
		body = binary.LittleEndian.AppendUint16(body, uint16(p.a))
		if version < 2 || p.a != aData {
			body = binary.LittleEndian.AppendUint16(body, uint16(len(p.b)))
		}
		body = append(body, p.b...)
	}
	head := binary.LittleEndian.AppendUint32(nil, uint32(len(body)))
	head = binary.LittleEndian.AppendUint16(head, uint16(kind))
	head = append(head, 0, 0, 0, 0)
	binary.LittleEndian.PutUint32(head[6:], checksum(crc32.MakeTable(crc32.Castagnoli), head, body))
	return append(head, body...)
}

// one is a stream of one command.
func one(version uint32, kind Kind, parts ...part) []byte {
	return append(header(version), command(version, kind, parts...)...)
}

func header(version uint32) []byte {
	return binary.LittleEndian.AppendUint32([]byte(magic), version)
}

var subvol = []part{str(aPath, "x"), named(aUUID, 1), num(aCTransID, 9)}

// kinds reads a stream to its end.
func kinds(b []byte) (list []Kind, err error) {
	r, err := NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	var c Command
	for {
		switch err := r.Next(&c); {
		case errors.Is(err, io.EOF):
			return list, nil
		case err != nil:
			return list, err
		}
		list = append(list, c.Kind)
	}
}

// TestReal: a stream of the kernel's, of each version, is read as it was meant; one byte changed or missing is found.
func TestReal(t *testing.T) {
	for _, name := range []string{"v1.stream", "v2.stream"} {
		raw, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		got, err := kinds(append(bytes.Clone(raw), "behind it"...))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var data, links int
		for _, k := range got {
			switch k {
			case Write:
				data++
			case Symlink, Link, MkFIFO, MkNod, SetXattr:
				links++
			}
		}
		if got[0] != Subvol || got[len(got)-1] != End || data == 0 || links != 5 {
			t.Errorf("%s: commands %v", name, got)
		}
		for i := range raw {
			bad := bytes.Clone(raw)
			bad[i] ^= 0x40
			if _, err := kinds(bad); err == nil {
				t.Errorf("%s: byte %d changed, and nobody sees it", name, i)
			}
			if _, err := kinds(raw[:i]); !errors.Is(err, ErrBroken) {
				t.Errorf("%s: cut at %d: %v", name, i, err)
			}
		}
	}
}

// TestRefused: what a stream can't have is said.
func TestRefused(t *testing.T) {
	long := strings.Repeat("a", 256)
	for name, c := range map[string]struct {
		stream []byte
		want   string
	}{
		"no stream":        {[]byte("PK\x03\x04 and what else an archive begins with"), "does not begin as one"},
		"version":          {header(3), "update its release"},
		"version 0":        {header(0), "update its release"},
		"huge":             {append(header(1), 0xff, 0xff, 0xff, 0x7f, 1, 0, 0, 0, 0, 0), "command of 2147483647 bytes"},
		"unknown":          {one(1, 99), "command 99"},
		"none":             {one(1, 0), "command 0"},
		"left out data":    {one(1, UpdateExtent, str(aPath, "f"), num(aFileOffset, 0), num(aSize, 9)), "command 22"},
		"compressed":       {one(2, EncodedWrite, str(aPath, "f")), "command 25"},
		"missing part":     {one(1, Rename, str(aPath, "f")), "lacks part 16"},
		"part twice":       {one(1, MkFile, str(aPath, "f"), str(aPath, "g")), "does not belong"},
		"other part":       {one(1, MkFile, str(aPath, "f"), num(aUID, 1)), "does not belong"},
		"half a part":      {one(1, Kind(Chmod), str(aPath, "f"), part{aMode, nil}, part{99, nil}), "bytes"},
		"up":               {one(1, MkFile, str(aPath, "../f")), "leads elsewhere"},
		"up inside":        {one(1, MkFile, str(aPath, "a/../../f")), "leads elsewhere"},
		"absolute":         {one(1, MkFile, str(aPath, "/etc/f")), "leads elsewhere"},
		"dot":              {one(1, MkFile, str(aPath, ".")), "leads elsewhere"},
		"slash":            {one(1, MkFile, str(aPath, "a/")), "leads elsewhere"},
		"long":             {one(1, MkFile, str(aPath, long)), "leads elsewhere"},
		"zero":             {one(1, MkFile, str(aPath, "a\x00b")), "is no name"},
		"renamed up":       {one(1, Rename, str(aPath, "f"), str(aPathTo, "../../f")), "leads elsewhere"},
		"linked up":        {one(1, Link, str(aPath, "f"), str(aPathLink, "/etc/shadow")), "leads elsewhere"},
		"time":             {one(1, UTimes, str(aPath, "f"), part{aATime, bytes.Repeat([]byte{0xff}, 12)}), "nanoseconds"},
		"no name":          {one(1, Subvol, str(aPath, "x"), named(aUUID, 0), num(aCTransID, 1)), "without a name"},
		"attribute's name": {one(1, SetXattr, str(aPath, "x"), str(aXattrName, long), str(aXattrData, "")), "no name"},
	} {
		if _, err := kinds(c.stream); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

// TestFields: each part is where it belongs.
func TestFields(t *testing.T) {
	for _, v := range []uint32{1, 2} {
		b := append(header(v), command(v, Write, str(aPath, "d/f"), num(aFileOffset, 7), str(aData, "bytes"))...)
		b = append(b, command(v, Clone, str(aPath, "g"), num(aFileOffset, 1), num(aCloneLen, 2), named(aCloneUUID, 3),
			num(aCloneCTransID, 4), str(aClonePath, "h"), num(aCloneOffset, 5))...)
		r, err := NewReader(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		var w, c Command
		if err := errors.Join(r.Next(&w)); err != nil || w.Path != "d/f" || w.Offset != 7 || string(w.Data) != "bytes" {
			t.Errorf("version %d: %+v, %v", v, w, err)
		}
		want := Command{Kind: Clone, Path: "g", Offset: 1, Length: 2, FromPath: "h", FromOffset: 5}
		copy(want.From.UUID[:], bytes.Repeat([]byte{3}, 16))
		want.From.Transid = 4
		if err := r.Next(&c); err != nil || c.Path != want.Path || c.From != want.From || c.FromPath != "h" || c.Offset != 1 ||
			c.Length != 2 || c.FromOffset != 5 || c.Own != (btrfs.Identity{}) {
			t.Errorf("version %d: got %+v, %v, want %+v", v, c, err, want)
		}
	}
}

// FuzzReader: whatever comes, the reader ends, with bounded memory, and what it passes on leads nowhere else.
func FuzzReader(f *testing.F) {
	for _, name := range []string{"v1.stream", "v2.stream"} {
		raw, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw, uint16(0), []byte(nil))
	}
	f.Add(append(header(2), command(2, Subvol, subvol...)...), uint16(Rename), []byte{15, 0, 1, 0, 'a', 16, 0, 1, 0, 'b'})
	f.Fuzz(func(t *testing.T, raw []byte, kind uint16, body []byte) {
		var c Command
		if r, err := NewReader(bytes.NewReader(raw)); err == nil {
			for r.Next(&c) == nil {
				leads(t, c)
			}
			if cap(r.buf) > maxCommand {
				t.Fatalf("a buffer of %d bytes", cap(r.buf))
			}
		}
		for v := range uint32(3) { // behind the checksum
			if c.parse(Kind(kind), body, v) == nil {
				leads(t, c)
			}
		}
	})
}

func leads(t *testing.T, c Command) {
	for _, p := range []string{c.Path, c.FromPath} {
		if p != "" && !filepath.IsLocal(p) {
			t.Fatalf("%q leads elsewhere", p)
		}
	}
	if c.Kind != Symlink && c.To != "" && !filepath.IsLocal(c.To) {
		t.Fatalf("%q leads elsewhere", c.To)
	}
}
