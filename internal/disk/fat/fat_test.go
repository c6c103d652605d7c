package fat

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"hardnode.dev/internal/disk/medium"
)

const system, entry, other = "efi/hardnode/a.efi", "loader/entries/hardnode-1-a+1.conf", "loader/entries/hardnode-2-b+0-2.conf"

// image is a FAT32 with a system of some clusters and two entries.
var image = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "fat-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "esp")
	if err := medium.ESP(out, medium.File{Path: system, Data: bytes.Repeat([]byte("system"), 5000)},
		medium.File{Path: entry, Data: []byte("title a")}, medium.File{Path: other, Data: []byte("title b")},
		medium.File{Path: "empty"}); err != nil {
		return nil, err
	}
	return os.ReadFile(out)
})

// disk is an image whose table can be changed.
type disk struct {
	*testing.T
	raw []byte
}

func (d disk) at(cluster uint32) int {
	return int(little.Uint16(d.raw[14:]))*int(little.Uint16(d.raw[11:])) + 4*int(cluster)
}

func (d disk) table(cluster uint32) uint32      { return little.Uint32(d.raw[d.at(cluster):]) & number }
func (d disk) set(cluster uint32, value uint32) { little.PutUint32(d.raw[d.at(cluster):], value) }

// found is where the entry of a file's short name lies.
func (d disk) found(short string) (at int, first uint32) {
	d.Helper()
	at = bytes.Index(d.raw, []byte(short))
	if at < 0 {
		d.Fatalf("there is no %q", short)
	}
	return at, uint32(little.Uint16(d.raw[at+20:]))<<16 | uint32(little.Uint16(d.raw[at+26:]))
}

func TestAskew(t *testing.T) {
	whole, err := image()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		spoil func(d disk)
		want  []string
	}{
		{"whole", func(disk) {}, nil},
		{"a file whose cluster is free", func(d disk) { _, c := d.found("HARDNO~1CON"); d.set(c, 0) }, []string{entry}},
		{"a chain with a free one", func(d disk) { _, c := d.found("A       EFI"); d.set(d.table(c), 0) }, []string{system}},
		{"a chain that ends early", func(d disk) { _, c := d.found("A       EFI"); d.set(c, number) }, []string{system}},
		{"a chain that leads out", func(d disk) { _, c := d.found("A       EFI"); d.set(c, 0x0fffff00) }, []string{system}},
		{"a chain that is a ring", func(d disk) { _, c := d.found("A       EFI"); d.set(d.table(c), c) }, []string{system}},
		{"a size without a cluster", func(d disk) {
			at, _ := d.found("HARDNO~1CON")
			little.PutUint16(d.raw[at+26:], 0)
			little.PutUint16(d.raw[at+20:], 0)
		}, []string{entry}},
		{"a size that is more than its chain", func(d disk) { at, _ := d.found("A       EFI"); little.PutUint32(d.raw[at+28:], 1<<20) },
			[]string{system}},
		{"a size that is less than its chain", func(d disk) { at, _ := d.found("A       EFI"); little.PutUint32(d.raw[at+28:], 1) }, nil},
		{"two files with one cluster", func(d disk) {
			at, _ := d.found("HARDNO~1CON")
			_, c := d.found("HARDNO~2CON")
			little.PutUint16(d.raw[at+26:], uint16(c))
		}, []string{entry, other}},
	} {
		d := disk{t, bytes.Clone(whole)}
		c.spoil(d)
		got, err := Askew(bytes.NewReader(d.raw))
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, %v; want %q", c.name, got, err, c.want)
		}
	}
	d := disk{t, bytes.Clone(whole)}
	_, c := d.found("LOADER     ")
	d.set(c, 0)
	if got, err := Askew(bytes.NewReader(d.raw)); err == nil {
		t.Errorf("a folder that is not whole: %q", got)
	}
	for _, raw := range [][]byte{nil, make([]byte, 511), make([]byte, 4096)} {
		if got, err := Askew(bytes.NewReader(raw)); err == nil {
			t.Errorf("%d bytes: %q", len(raw), got)
		}
	}
}

func FuzzAskew(f *testing.F) {
	whole, err := image()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole[:1<<20], 0, byte(0))
	f.Fuzz(func(t *testing.T, raw []byte, at int, to byte) {
		if at >= 0 && at < len(raw) {
			raw[at] = to
		}
		Askew(bytes.NewReader(raw)) // it ends, and reads nothing that is not there
	})
}
