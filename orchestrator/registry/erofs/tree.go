// Package erofs writes a file tree as one EROFS filesystem image (kernel document filesystems/erofs, on-disk format of Linux 5.4 and
// later): uncompressed, blocks of 4096 bytes, extended inodes, tails inlined behind their inode. The kernel mounts it read-only.
//
// Owns: the on-disk layout: where each inode, directory block and file block lies, and how it is encoded.
// In: a tree of Nodes whose sizes are known; later the files' bytes, in any order.
// Out: the image's exact size before a byte is written; the image, the same bytes for the same tree.
// Never: reads a file system, follows a link, or writes a device node.
package erofs

import (
	"errors"
	"fmt"
	"sort"
)

// Type bits of Node.Mode, as in stat(2).
const (
	ModeType    = 0o170000
	ModeDir     = 0o040000
	ModeRegular = 0o100000
	ModeSymlink = 0o120000
	ModeFIFO    = 0o010000
)

// Limits of the format and of what this package writes.
const (
	BlockSize   = 4096
	MaxName     = 255  // bytes of one name
	MaxTarget   = 4095 // bytes of a symbolic link's target
	MaxXattrs   = 2048 // bytes of one inode's extended attributes, encoded
	maxBlocks   = 1<<32 - 1
	inodeSize   = 64 // extended inode
	slotSize    = 32 // a nid counts slots of this size from the image's start
	superOffset = 1024
	superSize   = 128
	maxInline   = 2048    // a regular file's tail longer than this gets a block of its own
	MaxFile     = 1 << 43 // bytes of a file, holes included: what one chunk can span
)

// Node is one inode. The same *Node under two names is a hard link; directories have one name.
type Node struct {
	Mode     uint32 // type and permission bits
	UID, GID uint32
	MTime    int64    // Unix seconds
	Size     int64    // regular files: bytes of content, holes included
	Sparse   bool     // regular files: only Data is stored, the rest is holes
	Data     []Extent // of a sparse file, in order, none overlapping
	Target   string
	Xattrs   []Xattr          // sorted by name
	Children map[string]*Node // directories only; nil for others
	Key      uint64           // the caller's own: where the content comes from

	links  uint32
	nid    uint64
	start  int64 // first of its own blocks
	blocks int64 // how many blocks it has of its own
	inline int64 // bytes of the tail behind the inode
	chunks chunks
	dir    []dirBlock
	number uint32
}

// Extent is a part of a file.
type Extent struct{ Offset, Length int64 }

// Xattr is one extended attribute, named in full: "user.…" or "security.capability".
type Xattr struct {
	Name  string
	Value []byte
}

// IsDir tells directories.
func (n *Node) IsDir() bool { return n.Mode&ModeType == ModeDir }

// IsRegular tells regular files.
func (n *Node) IsRegular() bool { return n.Mode&ModeType == ModeRegular }

// dirent is one name of a directory.
type dirent struct {
	name string
	node *Node
}

// dirBlock is what fits into one block of a directory.
type dirBlock struct {
	entries []dirent
	used    int64 // bytes
}

const direntSize = 12

// Plan is a tree with a place for each of its bytes. A Node belongs to one Plan.
type Plan struct {
	root  *Node
	nodes []*Node // in the order of their inodes on disk
	size  int64
}

// Lay finds a place for everything below root, which must be a directory. It fails when a Node breaks a limit of the format.
func Lay(root *Node) (*Plan, error) {
	if root == nil || !root.IsDir() {
		return nil, errors.New("lay out image: the root is no directory")
	}
	p := &Plan{root: root}
	if err := p.collect(); err != nil {
		return nil, fmt.Errorf("lay out image: %v", err)
	}
	p.place()
	if p.size/BlockSize > maxBlocks {
		return nil, fmt.Errorf("lay out image: %d bytes are more than the format holds", p.size)
	}
	return p, nil
}

// Size is the whole image in bytes: a multiple of BlockSize.
func (p *Plan) Size() int64 { return p.size }

// Inodes is how many there are.
func (p *Plan) Inodes() int { return len(p.nodes) }

// Files are the regular files that have content, each once, in the order they lie on disk.
func (p *Plan) Files() []*Node {
	var out []*Node
	for _, n := range p.nodes {
		if n.IsRegular() && n.Size > 0 {
			out = append(out, n)
		}
	}
	return out
}

// collect lists all inodes breadth first, so that one directory's inodes lie together, counts links and cuts directories into blocks.
func (p *Plan) collect() error {
	add := func(n *Node) error {
		if err := n.check(); err != nil {
			return err
		}
		p.nodes = append(p.nodes, n)
		n.number = uint32(len(p.nodes))
		return nil
	}
	if err := add(p.root); err != nil {
		return err
	}
	p.root.links = 1 // its own ".." takes the place of a name
	queue := []*Node{p.root}
	parent := map[*Node]*Node{p.root: p.root}
	for len(queue) > 0 {
		d := queue[0]
		queue = queue[1:]
		d.links++ // "."
		for _, name := range sortedNames(d.Children) {
			c := d.Children[name]
			if name == "" || len(name) > MaxName || name == "." || name == ".." {
				return fmt.Errorf("name %.300q: can't be in a directory", name)
			}
			first := c.number == 0
			if first {
				if err := add(c); err != nil {
					return fmt.Errorf("%q: %v", name, err)
				}
			}
			c.links++
			if c.IsDir() {
				if !first {
					return fmt.Errorf("directory %q: has two names", name)
				}
				d.links++ // its ".."
				parent[c] = d
				queue = append(queue, c)
			}
		}
		d.dir = cut(d, parent[d])
		d.Size = 0
		if k := len(d.dir); k > 0 {
			d.Size = int64(k-1)*BlockSize + d.dir[k-1].used
		}
	}
	return nil
}

func (n *Node) check() error {
	switch n.Mode & ModeType {
	case ModeDir, ModeFIFO:
	case ModeRegular:
		if n.Size < 0 || n.Size > MaxFile {
			return fmt.Errorf("has %d bytes, at most %d are allowed", n.Size, int64(MaxFile))
		}
		end := int64(0)
		for _, e := range n.Data {
			if !n.Sparse || e.Length <= 0 || e.Offset < end || e.Offset > n.Size || e.Length > n.Size-e.Offset {
				return fmt.Errorf("has a broken list of its parts, at %d", e.Offset)
			}
			end = e.Offset + e.Length
		}
	case ModeSymlink:
		if n.Target == "" || len(n.Target) > MaxTarget {
			return fmt.Errorf("symbolic link has a target of %d bytes, want 1 to %d", len(n.Target), MaxTarget)
		}
		n.Size = int64(len(n.Target))
	default:
		return fmt.Errorf("mode %o: is no directory, regular file, symbolic link or FIFO", n.Mode)
	}
	size, err := xattrSize(n.Xattrs)
	if err == nil && size > MaxXattrs {
		err = fmt.Errorf("has %d bytes of extended attributes, at most %d are allowed", size, MaxXattrs)
	}
	return err
}

// cut packs a directory's names into blocks, sorted by byte value over all of it, "." and ".." included: the kernel searches by halving.
func cut(d, parent *Node) []dirBlock {
	all := make([]dirent, 0, len(d.Children)+2)
	all = append(all, dirent{".", d}, dirent{"..", parent})
	for name, c := range d.Children {
		all = append(all, dirent{name, c})
	}
	sort.Slice(all, func(i, j int) bool { return all[i].name < all[j].name })
	var out []dirBlock
	begin, used := 0, int64(0)
	for i, e := range all {
		need := int64(direntSize + len(e.name))
		if used+need > BlockSize {
			out = append(out, dirBlock{all[begin:i], used})
			begin, used = i, 0
		}
		used += need
	}
	return append(out, dirBlock{all[begin:], used})
}

// place gives each inode its place behind the superblock, and each node with blocks of its own its place behind the inodes.
func (p *Plan) place() {
	at := int64(superOffset + superSize)
	for _, n := range p.nodes {
		head := int64(inodeSize)
		xs, _ := xattrSize(n.Xattrs) // checked
		head += int64(xs)
		tail := n.Size % BlockSize
		n.inline, n.blocks, n.chunks = 0, (n.Size+BlockSize-1)/BlockSize, n.cheapest()
		if n.chunks.count > 0 {
			n.blocks = n.chunks.blocks
		} else if fits := tail > 0 && head+tail <= BlockSize; fits && (tail <= maxInline || !n.IsRegular()) {
			n.inline, n.blocks = tail, n.Size/BlockSize
		}
		at = roundUp(at, slotSize)
		// An inode and what is inlined behind it lie within one block: the kernel refuses a tail that crosses.
		if need := head + n.inline; at/BlockSize != (at+need-1)/BlockSize {
			at = roundUp(at, BlockSize)
		}
		n.nid = uint64(at / slotSize)
		at += head + n.inline
		if n.chunks.count > 0 {
			at = roundUp(at, 4) + 4*n.chunks.count
		}
		if n == p.root { // alone behind the superblock, whose checksum covers that block
			at = roundUp(at, BlockSize)
		}
	}
	next := roundUp(at, BlockSize) / BlockSize
	for _, n := range p.nodes {
		if n.blocks > 0 {
			n.start = next
			next += n.blocks
		}
	}
	p.size = next * BlockSize
}

func roundUp(n, to int64) int64 { return (n + to - 1) / to * to }

func sortedNames(m map[string]*Node) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}
