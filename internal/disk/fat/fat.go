// Package fat looks at a FAT32 for what a power cut left askew in it.
//
// Owns: the rules by which a file's clusters are its own.
// In: a filesystem, as it lies on its device.
// Out: the names of files that are askew: what is written next may be written into them, or they can't be read.
// Never: writes.
//
// Source: Microsoft's "FAT32 File System Specification" 1.03.
package fat

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"unicode/utf16"
)

var little = binary.LittleEndian

// Limits of what is looked at.
const (
	mostTable = 64 << 20 // bytes
	mostDepth = 8
	mostNames = 1 << 16
)

// Entries of the table, and of folders.
const (
	number   = 0x0fffffff
	reserved = 0x0ffffff7 // from here on it names no cluster
	last     = 0x0ffffff8 // from here on it ends a chain

	entrySize = 32
	free      = 0xe5
	label     = 0x08
	folder    = 0x10
	longName  = 0x0f
)

type volume struct {
	r       io.ReaderAt
	cluster int64 // bytes
	data    int64 // where cluster 2 begins
	table   []uint32
	owner   []int32 // of each cluster, one more than its place in names
	names   []string
	askew   map[string]bool
}

// Askew are the files whose clusters are not theirs alone, are free, or are fewer than they need; by their paths from the root on, in
// order. (More than it needs has a file that was cut off while it grew, and does no harm.) A name without a long form is in small letters,
// whatever it was. A folder of which this is so is an error.
func Askew(r io.ReaderAt) ([]string, error) {
	v, root, err := open(r)
	if err == nil {
		err = v.folder("", root, 0)
	}
	if err != nil {
		return nil, fmt.Errorf("look at a FAT: %w", err)
	}
	var list []string
	for name := range v.askew {
		if !strings.HasSuffix(name, "/") { // a folder's: the file that shares it is there too
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list, nil
}

func open(r io.ReaderAt) (v *volume, root uint32, err error) {
	boot := make([]byte, 512)
	if _, err := r.ReadAt(boot, 0); err != nil {
		return nil, 0, err
	}
	sector, per := int64(little.Uint16(boot[11:])), int64(boot[13])
	begin, tables, size := int64(little.Uint16(boot[14:])), int64(boot[16]), int64(little.Uint32(boot[36:]))
	all := int64(little.Uint32(boot[32:]))
	if little.Uint16(boot[510:]) != 0xaa55 || sector < 512 || sector > 4096 || sector&(sector-1) != 0 || per == 0 || per&(per-1) != 0 ||
		begin == 0 || tables == 0 || size == 0 || size*sector > mostTable {
		return nil, 0, errors.New("it is no FAT32")
	}
	clusters := (all-begin-tables*size)/per + 2
	if clusters <= 2 || clusters > size*sector/4 {
		return nil, 0, fmt.Errorf("it has %d clusters, and a table of %d bytes", clusters, size*sector)
	}
	raw := make([]byte, clusters*4)
	if _, err := r.ReadAt(raw, begin*sector); err != nil {
		return nil, 0, err
	}
	v = &volume{r: r, cluster: sector * per, data: (begin + tables*size) * sector, table: make([]uint32, clusters),
		owner: make([]int32, clusters), askew: map[string]bool{}}
	for i := range v.table {
		v.table[i] = little.Uint32(raw[4*i:]) & number
	}
	return v, little.Uint32(boot[44:]), nil
}

// chain is the clusters of a file from its first one on, and whether they are all its own.
func (v *volume) chain(name string, first uint32) (list []uint32, sound bool) {
	v.names = append(v.names, name)
	me := int32(len(v.names))
	for c := first; ; c = v.table[c] {
		if c < 2 || c >= uint32(len(v.table)) || v.table[c] < 2 || v.table[c] == reserved {
			return list, false
		}
		if o := v.owner[c]; o != 0 {
			v.askew[v.names[o-1]] = true
			return list, false
		}
		v.owner[c] = me
		list = append(list, c)
		if v.table[c] >= last {
			return list, true
		}
	}
}

func (v *volume) folder(name string, first uint32, depth int) error {
	list, sound := v.chain(name+"/", first)
	if !sound || depth > mostDepth {
		return fmt.Errorf("folder %q is not whole", name)
	}
	var long []uint16 // of the entry that comes
	block := make([]byte, v.cluster)
	for _, c := range list {
		if _, err := v.r.ReadAt(block, v.data+int64(c-2)*v.cluster); err != nil {
			return err
		}
		for e := block; len(e) > 0; e = e[entrySize:] {
			switch attr := e[11]; {
			case e[0] == 0:
				return nil
			case e[0] == free:
				long = nil
				continue
			case attr&0x3f == longName:
				long = append(part(e), long...)
				continue
			case attr&label != 0 || e[0] == '.':
				long = nil
				continue
			}
			if len(v.names) > mostNames {
				return errors.New("it has too many files")
			}
			if err := v.entry(path.Join(name, nameOf(e, long)), e, depth); err != nil {
				return err
			}
			long = nil
		}
	}
	return nil
}

func (v *volume) entry(name string, e []byte, depth int) error {
	first, size := uint32(little.Uint16(e[20:]))<<16|uint32(little.Uint16(e[26:])), int64(little.Uint32(e[28:]))
	if e[11]&folder != 0 {
		return v.folder(name, first, depth+1)
	}
	if first == 0 && size == 0 {
		return nil
	}
	list, sound := v.chain(name, first)
	if !sound || int64(len(list)) < (size+v.cluster-1)/v.cluster {
		v.askew[name] = true
	}
	return nil
}

// part is what an entry has of a long name.
func part(e []byte) (text []uint16) {
	for _, at := range []int{1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30} {
		c := little.Uint16(e[at:])
		if c == 0 || c == 0xffff {
			break
		}
		text = append(text, c)
	}
	return text
}

// nameOf is the name of an entry: the long one where there is one.
func nameOf(e []byte, long []uint16) string {
	if len(long) > 0 {
		return strings.ReplaceAll(string(utf16.Decode(long)), "/", "_")
	}
	name, ext := strings.TrimRight(string(e[:8]), " "), strings.TrimRight(string(e[8:11]), " ")
	if ext != "" {
		name += "." + ext
	}
	return strings.ToLower(name)
}
