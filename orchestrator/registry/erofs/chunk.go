package erofs

import (
	"io"
	"sort"
)

// chunks is how a sparse file lies on disk: cut into parts of one size, of which only those with data are stored; a table behind the
// inode says where each is, or that it is a hole (kernel: "chunk-based files").
type chunks struct {
	bits   uint  // a chunk has BlockSize << bits bytes
	count  int64 // entries of the table; 0: the file is not cut
	blocks int64 // stored
	runs   []run
}

// run is some stored chunks one after the other.
type run struct{ first, count, before int64 } // before: stored chunks ahead of it

const hole = 1<<32 - 1

// cheapest cuts a sparse file into chunks of the size that takes the least room, table included; it leaves it whole when that is no more.
func (n *Node) cheapest() chunks {
	if !n.IsRegular() || !n.Sparse {
		return chunks{}
	}
	best, cost := chunks{}, n.Size
	for bits := uint(0); ; bits++ {
		size := int64(BlockSize) << bits
		c := chunks{bits: bits, count: (n.Size + size - 1) / size}
		if 4*c.count < cost {
			if c.cut(n.Data, n.Size); 4*c.count+c.blocks*BlockSize < cost {
				best, cost = c, 4*c.count+c.blocks*BlockSize
			}
		}
		if c.count <= 1 {
			return best
		}
	}
}

func (c *chunks) cut(data []Extent, size int64) {
	shift, total := c.bits+12, int64(0)
	for _, e := range data {
		first, last := e.Offset>>shift, (e.Offset+e.Length-1)>>shift
		if k := len(c.runs); k > 0 {
			end := c.runs[k-1].first + c.runs[k-1].count
			if first = max(first, end); first > last {
				continue
			}
			if first == end {
				c.runs[k-1].count += last - first + 1
				total += last - first + 1
				continue
			}
		}
		c.runs = append(c.runs, run{first, last - first + 1, total})
		total += last - first + 1
	}
	if c.blocks = total << c.bits; total > 0 {
		if k := c.runs[len(c.runs)-1]; k.first+k.count == c.count { // the last chunk ends with the file
			c.blocks -= (c.count<<shift)/BlockSize - (size+BlockSize-1)/BlockSize
		}
	}
}

// find is the number of stored chunks ahead of chunk i; ok is false for a hole.
func (c *chunks) find(i int64) (before int64, ok bool) {
	k := sort.Search(len(c.runs), func(k int) bool { return c.runs[k].first > i }) - 1
	if k < 0 || i >= c.runs[k].first+c.runs[k].count {
		return 0, false
	}
	return c.runs[k].before + i - c.runs[k].first, true
}

// writeTable writes the table at a place of the image.
func (n *Node) writeTable(w io.WriterAt, at int64) error {
	buf := make([]byte, 0, 64<<10)
	next := 0
	for i := int64(0); i < n.chunks.count; i++ {
		for next < len(n.chunks.runs) && i >= n.chunks.runs[next].first+n.chunks.runs[next].count {
			next++
		}
		block := int64(hole)
		if next < len(n.chunks.runs) && i >= n.chunks.runs[next].first {
			r := n.chunks.runs[next]
			block = n.start + (r.before+i-r.first)<<n.chunks.bits
		}
		buf = le.AppendUint32(buf, uint32(block))
		if len(buf) == cap(buf) || i == n.chunks.count-1 {
			if err := writeAt(w, buf, at); err != nil {
				return err
			}
			at, buf = at+int64(len(buf)), buf[:0]
		}
	}
	return nil
}

// locate is where the byte at off of a regular file lies in the image, and how many lie there together; at is -1 in a hole.
func (n *Node) locate(off int64) (at, room int64) {
	plain := n.blocks * BlockSize
	switch {
	case n.chunks.count > 0:
		shift := n.chunks.bits + 12
		within := off & (1<<shift - 1)
		at, room = -1, 1<<shift-within
		if before, ok := n.chunks.find(off >> shift); ok {
			at = (n.start+before<<n.chunks.bits)*BlockSize + within
		}
	case off < plain:
		at, room = n.start*BlockSize+off, plain-off
	default: // the tail
		xs, _ := xattrSize(n.Xattrs)
		at, room = int64(n.nid)*slotSize+inodeSize+int64(xs)+off-plain, n.Size-off
	}
	return at, min(room, n.Size-off)
}
