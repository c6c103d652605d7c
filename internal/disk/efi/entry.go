package efi

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Entry is a boot entry: a file on a partition of a GPT.
type Entry struct {
	Name      string // for people; ours are found again by it
	Partition Partition
	File      string // with "/", from the partition's root on
}

// Partition is a partition as a device path names it. Sectors have 512 bytes.
type Partition struct {
	Number      uint32 // from 1
	Start, Size uint64 // sectors
	GUID        string // capitals
}

// Numbers of device paths (UEFI 10.3).
const (
	active     = 1
	mediaPath  = 4
	hardDrive  = 1
	fileName   = 4
	hdSize     = 42
	byGUID     = 2
	formatGPT  = 2
	endOfPaths = "\x7f\xff\x04\x00"
)

// encode is the value of the entry's variable.
func (e Entry) encode() ([]byte, error) {
	id, err := guidBytes(e.Partition.GUID)
	if err != nil {
		return nil, err
	}
	path := binary.LittleEndian.AppendUint16([]byte{mediaPath, hardDrive}, hdSize)
	path = binary.LittleEndian.AppendUint32(path, e.Partition.Number)
	path = binary.LittleEndian.AppendUint64(path, e.Partition.Start)
	path = binary.LittleEndian.AppendUint64(path, e.Partition.Size)
	path = append(append(path, id...), formatGPT, byGUID)
	file := bytes16(`\` + strings.ReplaceAll(strings.TrimPrefix(e.File, "/"), "/", `\`))
	path = binary.LittleEndian.AppendUint16(append(path, mediaPath, fileName), uint16(4+len(file)))
	path = append(append(path, file...), endOfPaths...)
	raw := binary.LittleEndian.AppendUint32(nil, active)
	raw = binary.LittleEndian.AppendUint16(raw, uint16(len(path)))
	return append(append(raw, bytes16(e.Name)...), path...), nil
}

// guidBytes is a GUID as it lies in tables: the first three groups are little-endian.
func guidBytes(text string) ([]byte, error) {
	raw, err := hex.DecodeString(strings.ReplaceAll(text, "-", ""))
	if err != nil || len(raw) != 16 {
		return nil, fmt.Errorf("%q is no GUID", text)
	}
	slices.Reverse(raw[:4])
	slices.Reverse(raw[4:6])
	slices.Reverse(raw[6:8])
	return raw, nil
}

// nameOf is the name in an entry's variable.
func nameOf(raw []byte) string {
	if len(raw) < 6 {
		return ""
	}
	return text16(raw[6:])
}

// ours is how the names of our entries begin.
const ours = "Hardnode"

// change is what has to be written so that the wanted entries come first, in order. was are the values of all entries by number. Entries of
// ours that are not wanted any more leave the order; those of others keep their place behind ours.
func change(was map[uint16][]byte, order []uint16, want []Entry) (writes map[uint16][]byte, next []uint16, err error) {
	writes = map[uint16][]byte{}
	byName := map[string]uint16{}
	for _, n := range slices.Backward(numbers(was)) { // of two with one name the first is kept
		if name := nameOf(was[n]); strings.HasPrefix(name, ours) {
			byName[name] = n
		}
	}
	for _, e := range want {
		raw, err := e.encode()
		if err != nil {
			return nil, nil, fmt.Errorf("boot entry %q: %w", e.Name, err)
		}
		n, there := byName[e.Name]
		if !there {
			for n = 1; ; n++ {
				_, used := was[n]
				_, taken := writes[n]
				if !used && !taken && !slices.Contains(order, n) {
					break
				}
				if n == 0xffff {
					return nil, nil, errors.New("the firmware has no number left for a boot entry; delete some in its menu")
				}
			}
		}
		if string(was[n]) != string(raw) {
			writes[n] = raw
		}
		next = append(next, n)
	}
	for _, n := range order {
		if !slices.Contains(next, n) && !strings.HasPrefix(nameOf(was[n]), ours) {
			next = append(next, n)
		}
	}
	return writes, next, nil
}

func numbers(all map[uint16][]byte) (list []uint16) {
	for n := range all {
		list = append(list, n)
	}
	slices.Sort(list)
	return list
}

// entries reads all boot entries and their order.
func (v Vars) entries() (map[uint16][]byte, []uint16, error) {
	names, err := os.ReadDir(v.Dir)
	if err != nil {
		return nil, nil, fmt.Errorf("list the firmware's variables: %w", err)
	}
	all := map[uint16][]byte{}
	for _, f := range names {
		digits, ok := strings.CutPrefix(strings.TrimSuffix(f.Name(), "-"+global), "Boot")
		n, err := strconv.ParseUint(digits, 16, 16)
		if !ok || err != nil || len(digits) != 4 {
			continue
		}
		if all[uint16(n)], err = v.read("Boot"+digits, global); err != nil && !missing(err) {
			return nil, nil, err
		}
	}
	raw, err := v.read("BootOrder", global)
	if err != nil && !missing(err) {
		return nil, nil, err
	}
	var order []uint16
	for i := 0; i+1 < len(raw); i += 2 {
		order = append(order, binary.LittleEndian.Uint16(raw[i:]))
	}
	return all, order, nil
}

// SetOrder makes the entries, and boots them first, in order. What is right already is not written: variables lie in memory that wears out.
func (v Vars) SetOrder(want ...Entry) error {
	was, order, err := v.entries()
	if err != nil {
		return err
	}
	writes, next, err := change(was, order, want)
	if err != nil {
		return err
	}
	for _, n := range numbers(writes) {
		if err := v.write(fmt.Sprintf("Boot%04X", n), writes[n]); err != nil {
			return err
		}
	}
	if slices.Equal(order, next) {
		return nil
	}
	var raw []byte
	for _, n := range next {
		raw = binary.LittleEndian.AppendUint16(raw, n)
	}
	return v.write("BootOrder", raw)
}

// Order is the boot order, for people.
func (v Vars) Order() ([]string, error) {
	all, order, err := v.entries()
	var list []string
	for _, n := range order {
		list = append(list, fmt.Sprintf("%04X %s", n, nameOf(all[n])))
	}
	return list, err
}
