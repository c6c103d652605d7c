// Package medium lays boot artefacts out on a disk or stick that firmware boots from, and adds a configuration to one.
//
// Owns: the table, the filesystem and the names on a medium.
// In: the files that go there.
// Out: raw disk images: same files, same bytes. Media with a file more.
// Never: decides what is in a file, or needs root.
//
// Sources: UEFI Specification 2.10, 5 (GPT), 13.3 (the EFI system partition), 3.5 (what removable media boot).
package medium

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"

	"github.com/diskfs/go-diskfs/backend/file"
	"github.com/diskfs/go-diskfs/filesystem/fat32"
	"github.com/diskfs/go-diskfs/partition/gpt"
)

// File is one file of a medium.
type File struct {
	Path   string // from the filesystem's root, with "/"
	Source string // the file on this machine; "": it is Data
	Data   []byte
}

// Places are the files of blanks that a medium carries for what may be added.
func Places() (list []File) {
	for _, name := range slices.Sorted(maps.Keys(Addable)) {
		list = append(list, File{Path: name, Data: bytes.Repeat([]byte{Blank}, Addable[name])})
	}
	return list
}

// open reads the file.
func (e File) open() (io.ReadCloser, error) {
	if e.Source == "" {
		return io.NopCloser(bytes.NewReader(e.Data)), nil
	}
	return os.Open(e.Source)
}

// Label is the label of a medium's filesystem: a host looks for its configuration on a volume of this name.
const Label = "HARDNODE"

// Removable is where firmware looks on a medium that it knows nothing of (UEFI 3.5.1.1, x64).
const Removable = "EFI/BOOT/BOOTX64.EFI"

const (
	sector = 512
	edge   = 1 << 20 // before and behind the partition: the tables, and where partitions begin by custom
)

// Disk writes a raw disk of size bytes at out: a GPT whose one partition is an EFI system partition with the files. The times in it are
// that of the environment's SOURCE_DATE_EPOCH.
func Disk(out string, size int64, files ...File) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("write disk %q: %w", out, err)
			os.Remove(out + ".new")
		}
	}()
	sum, total, err := weigh(files)
	if err != nil {
		return err
	}
	if most := size - 2*edge; total > most*9/10 { // the rest is the filesystem's own
		return fmt.Errorf("its files are %d bytes, and it has %d", total, most)
	}
	f, err := os.OpenFile(out+".new", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		return err
	}
	start, end := uint64(edge/sector), uint64((size-edge)/sector-1)
	t := gpt.Table{LogicalSectorSize: sector, PhysicalSectorSize: sector, ProtectiveMBR: true, GUID: id(sum, 1),
		Partitions: []*gpt.Partition{{Index: 1, Start: start, End: end, Size: (end - start + 1) * sector, Type: gpt.EFISystemPartition,
			Name: "ESP", GUID: id(sum, 2)}}}
	if err := t.Write(f, size); err != nil {
		return err
	}
	if err := esp(f, int64(start)*sector, int64(end-start+1)*sector, files); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(out+".new", out)
}

// ESP writes a bare EFI system partition with the files at out, for a CD. Its size is what they need.
func ESP(out string, files ...File) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("write %q: %w", out, err)
			os.Remove(out)
		}
	}()
	_, total, err := weigh(files)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(out, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	size := max(leastFAT32, (total+total/64+2*edge)/edge*edge)
	if err := f.Truncate(size); err != nil {
		return err
	}
	if err := esp(f, 0, size, files); err != nil {
		return err
	}
	return f.Close()
}

// leastFAT32 has the 65,525 clusters that make a filesystem FAT32 (Microsoft's FAT specification, "FAT Type Determination").
const leastFAT32 = 36 << 20

// esp makes a FAT32 filesystem in a part of f.
func esp(f *os.File, start, size int64, files []File) error {
	fs, err := fat32.Create(file.New(f, false), size, start, sector, Label, true)
	if err != nil {
		return err
	}
	made := map[string]bool{}
	for _, e := range files {
		if dir := path.Dir(e.Path); dir != "." && !made[dir] {
			if err := fs.Mkdir(dir); err != nil { // and those above it
				return fmt.Errorf("make directory %q: %w", dir, err)
			}
			made[dir] = true
		}
		if err := put(fs, e); err != nil {
			return fmt.Errorf("copy %q: %w", e.Path, err)
		}
	}
	return parents(f, fs)
}

// Format makes an empty FAT32 filesystem of a medium's label on a partition of size bytes.
func Format(f *os.File, size int64) error {
	if size < leastFAT32 {
		return fmt.Errorf("it has %d bytes, and FAT32 needs %d", size, leastFAT32)
	}
	_, err := fat32.Create(file.New(f, false), size, 0, sector, Label, true)
	return err
}

// parents mends the entry ".." of the directories in the root: it must name cluster 0 (Microsoft's FAT specification, "Directory
// creation"), and the library names the root's own.
func parents(f *os.File, fs *fat32.FileSystem) error {
	const entry, attribute, directory, high, low = 32, 11, 0x10, 20, 26
	data, size := fs.Start()+int64(fs.DataStart()), int64(fs.BytesPerCluster())
	root := make([]byte, size)
	if _, err := f.ReadAt(root, data); err != nil {
		return err
	}
	for at := 0; at < len(root) && root[at] != 0; at += entry {
		e := root[at : at+entry]
		if e[attribute]&0x3f != directory || e[0] == 0xe5 {
			continue
		}
		cluster := int64(binary.LittleEndian.Uint16(e[high:]))<<16 | int64(binary.LittleEndian.Uint16(e[low:]))
		up := data + (cluster-2)*size + entry
		if _, err := f.WriteAt([]byte{0, 0}, up+high); err != nil {
			return err
		}
		if _, err := f.WriteAt([]byte{0, 0}, up+low); err != nil {
			return err
		}
	}
	return nil
}

func put(fs *fat32.FileSystem, e File) error {
	from, err := e.open()
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := fs.OpenFile(e.Path, os.O_CREATE|os.O_RDWR)
	if err != nil {
		return err
	}
	if _, err := io.CopyBuffer(struct{ io.Writer }{to}, from, make([]byte, 8<<20)); err != nil {
		return err
	}
	return to.Close()
}

// weigh is the digest of the files with their names, and their bytes.
func weigh(files []File) (sum [32]byte, total int64, err error) {
	h := sha256.New()
	for _, e := range files {
		f, err := e.open()
		if err != nil {
			return sum, 0, err
		}
		n, err := io.Copy(h, f)
		f.Close()
		if err != nil {
			return sum, 0, err
		}
		fmt.Fprintf(h, "\n%d %s\n", n, e.Path)
		total += n
	}
	h.Sum(sum[:0])
	return sum, total, nil
}

// id is a GUID of a medium with that digest: same files, same GUID. It is no time and no random number (RFC 9562, version 8).
func id(sum [32]byte, of uint32) string {
	u := sha256.Sum256(binary.BigEndian.AppendUint32(sum[:], of))
	u[6], u[8] = u[6]&0x0f|0x80, u[8]&0x3f|0x80
	return fmt.Sprintf("%X-%X-%X-%X-%X", u[:4], u[4:6], u[6:8], u[8:10], u[10:16])
}
