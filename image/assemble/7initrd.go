package assemble

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/klauspost/compress/zstd"
	"github.com/u-root/u-root/pkg/cpio"
)

// Names inside the initramfs that stage 1 relies on.
const (
	rootImage = "root.erofs"
	imagesDir = "images"
)

// Part is one cpio of an initramfs, for the size table.
type Part struct {
	Name string
	Data []byte
}

// Stage1 is the small compressed cpio: /init and the modules that open the root.
func (b Builder) Stage1(bin string) (Part, error) {
	var t tree
	t.dir(0o755, "dev", "proc", "sys", "newroot")
	t.file("init", bin, 0o755)
	if err := t.modules(b.kept("stage1"), "modules"); err != nil {
		return Part{}, err
	}
	raw, err := t.cpio(cpio.CharDev("dev/console", 0o600, 5, 1), cpio.CharDev("dev/kmsg", 0o600, 1, 11))
	if err != nil {
		return Part{}, err
	}
	const name = "first cpio (init, loop, erofs)"
	file := b.kept("stage1.cpio.zst")
	st := stamp{file: file + ".stamp", inputs: digest("stage1 1", string(raw)), outputs: []string{file}}
	if st.fresh() {
		packed, err := os.ReadFile(file)
		return Part{name, packed}, err
	}
	packed, err := compress(raw)
	if err != nil {
		return Part{}, err
	}
	packed = align(packed)
	if err := replace(file, packed, 0o644); err != nil {
		return Part{}, err
	}
	return Part{name, packed}, st.mark()
}

// RootPart is the uncompressed cpio with the root's filesystem image: the kernel copies it once and never unpacks it.
func (b Builder) RootPart(image string) (Part, error) {
	var t tree
	t.file(rootImage, image, 0o444)
	raw, err := t.cpio()
	return Part{"root.erofs", align(raw)}, err
}

// Initrd joins parts into one file.
func (b Builder) Initrd(name string, parts ...Part) error {
	var all []byte
	for _, p := range parts {
		all = append(all, p.Data...)
	}
	return replace(b.in(name), all, 0o644)
}

// cpio writes the tree in newc form with no times, numbers or owners of the building machine.
func (t *tree) cpio(devices ...cpio.Record) ([]byte, error) {
	var buf bytes.Buffer
	w := cpio.Newc.Writer(&buf)
	var records []cpio.Record
	for _, e := range t.sorted() {
		switch {
		case e.Mode.IsDir():
			records = append(records, cpio.Directory(e.Path, uint64(e.Mode.Perm())))
		case e.Mode&fs.ModeSymlink != 0:
			records = append(records, cpio.Symlink(e.Path, e.Link))
		default:
			data := e.Data
			if e.Source != "" {
				var err error
				if data, err = os.ReadFile(e.Source); err != nil {
					return nil, fmt.Errorf("archive %q: %v", e.Path, err)
				}
			}
			records = append(records, cpio.StaticFile(e.Path, string(data), uint64(e.Mode.Perm())))
		}
	}
	records = append(records, devices...)
	cpio.MakeAllReproducible(records)
	if err := cpio.WriteRecords(w, records); err != nil {
		return nil, fmt.Errorf("write archive: %v", err)
	}
	if err := cpio.WriteTrailer(w); err != nil {
		return nil, fmt.Errorf("write archive: %v", err)
	}
	return buf.Bytes(), nil
}

// compress packs with zstd: one worker, because the split between workers would decide the bytes.
func compress(data []byte) ([]byte, error) {
	var buf bytes.Buffer
	w, err := zstd.NewWriter(&buf, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithEncoderConcurrency(1),
		zstd.WithWindowSize(4<<20))
	if err != nil {
		return nil, fmt.Errorf("compress: %v", err)
	}
	if _, err := io.Copy(w, bytes.NewReader(data)); err != nil {
		return nil, fmt.Errorf("compress: %v", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("compress: %v", err)
	}
	return buf.Bytes(), nil
}

// align pads with zeros: the kernel looks for the next archive at a multiple of four bytes.
func align(data []byte) []byte {
	return append(data, make([]byte, (512-len(data)%512)%512)...)
}
