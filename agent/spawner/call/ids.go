package call

import (
	"fmt"
	"slices"
	"strings"

	"hardnode.dev/internal/wire/host"
)

// A host's ids. A container has a range of its own: block ids below LargeRanges, or LargeRange ids above, if its image needs more than the
// first block: LargeRange is a whole number of blocks, as many as an image may need.
const (
	block       = 1 << 16 // one line of a map
	LargeRanges = 1 << 31
	LargeRange  = (host.MaxIDBlocks + 1) * block
)

// IDs are where a container's user and group ids are on the host: 0–65535 from Base on, and behind them one block of 65,536 after the other
// (host.Image.IDBlocks). Ids between them the container has not. Each block is one extent of its user namespace's map, of which the kernel
// allows 340 (user_namespaces(7)).
type IDs struct {
	Base   uint32   `json:"base"` // host uid of the container's root: owner of its stdio pipes
	Blocks []uint16 `json:"blocks,omitempty"`
}

// Host is the host's id for one of the container's; ok is false if it has none such.
func (i IDs) Host(id uint32) (on uint32, ok bool) {
	at := 0
	if b := uint16(id >> 16); b > 0 {
		if at = slices.Index(i.Blocks, b) + 1; at == 0 || id == 1<<32-1 {
			return 0, false
		}
	}
	return i.Base + uint32(at)*block + id%block, true
}

// Map is the text for uid_map and gid_map.
func (i IDs) Map() string {
	var b strings.Builder
	fmt.Fprintf(&b, "0 %d %d\n", i.Base, block)
	for at, n := range i.Blocks {
		size := uint32(block)
		if n == 1<<16-1 {
			size-- // the last number means "none" to the kernel
		}
		fmt.Fprintf(&b, "%d %d %d\n", uint32(n)*block, i.Base+uint32(at+1)*block, size)
	}
	return b.String()
}

// Validate says what is wrong with them, or nil.
func (i IDs) Validate() error {
	if len(i.Blocks) > host.MaxIDBlocks {
		return fmt.Errorf("has %d blocks of ids, at most %d are allowed", len(i.Blocks), host.MaxIDBlocks)
	}
	if last := 1<<32 - 1 - int64(len(i.Blocks)+1)*block; i.Base < block || int64(i.Base) > last {
		return fmt.Errorf("base %d: want %d to %d", i.Base, block, last)
	}
	before := uint16(0)
	for _, n := range i.Blocks {
		if n <= before {
			return fmt.Errorf("blocks of ids %v: want ascending numbers from 1", i.Blocks)
		}
		before = n
	}
	return nil
}
