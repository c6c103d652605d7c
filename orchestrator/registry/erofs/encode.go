package erofs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
)

// Fields of the superblock and of inodes, from include/uapi and fs/erofs/erofs_fs.h of Linux 6.12.
const (
	magic          = 0xE0F5E1E2
	compatChecksum = 1 // the superblock's block carries a CRC32C
	compatMTime    = 2 // times are modification times
	layoutPlain    = 0
	layoutInline   = 2
	layoutChunks   = 4
	incompatChunks = 4 // files may be cut into chunks
	formatExtended = 1
)

var le = binary.LittleEndian

// WriteMeta writes all but the contents of regular files: superblock, inodes, symbolic links, directories. uuid names the filesystem.
// The image beyond what WriteMeta and the content writers wrote must be zeros: start with an empty file truncated to Size.
func (p *Plan) WriteMeta(w io.WriterAt, uuid [16]byte) error {
	for _, n := range p.nodes {
		head := n.appendInode(nil)
		switch {
		case n.IsDir():
			for i, b := range n.dir {
				raw := b.encode()
				if int64(i) < n.blocks {
					if err := writeAt(w, raw, (n.start+int64(i))*BlockSize); err != nil {
						return err
					}
				} else {
					head = append(head, raw...)
				}
			}
		case n.chunks.count > 0:
			if err := n.writeTable(w, roundUp(int64(n.nid)*slotSize+int64(len(head)), 4)); err != nil {
				return err
			}
		case n.Mode&ModeType == ModeSymlink:
			if n.inline > 0 {
				head = append(head, n.Target...)
			} else if err := writeAt(w, []byte(n.Target), n.start*BlockSize); err != nil {
				return err
			}
		}
		if err := writeAt(w, head, int64(n.nid)*slotSize); err != nil {
			return err
		}
	}
	return p.writeSuper(w, uuid)
}

// writeSuper writes the superblock last: its checksum covers the rest of its block, inodes included.
func (p *Plan) writeSuper(w io.WriterAt, uuid [16]byte) error {
	block := make([]byte, BlockSize-superOffset)
	if at := int64(p.root.nid)*slotSize - superOffset; at < int64(len(block)) { // place puts no other inode there
		raw := p.root.appendInode(nil)
		if p.root.inline > 0 {
			raw = append(raw, p.root.dir[len(p.root.dir)-1].encode()...)
		}
		copy(block[at:], raw)
	}
	le.PutUint32(block[0:], magic)
	le.PutUint32(block[8:], compatChecksum|compatMTime)
	block[12] = 12 // log2 of BlockSize
	le.PutUint16(block[14:], uint16(p.root.nid))
	le.PutUint64(block[16:], uint64(len(p.nodes)))
	le.PutUint32(block[36:], uint32(p.size/BlockSize))
	copy(block[48:64], uuid[:])
	for _, n := range p.nodes {
		if n.chunks.count > 0 {
			le.PutUint32(block[80:], incompatChunks)
			break
		}
	}
	// CRC32C with the kernel's convention: all ones at the start, not inverted at the end.
	le.PutUint32(block[4:], ^crc32.Checksum(block, crc32.MakeTable(crc32.Castagnoli)))
	return writeAt(w, block, superOffset)
}

func (n *Node) appendInode(b []byte) []byte {
	layout := uint16(layoutPlain)
	if n.inline > 0 {
		layout = layoutInline
	}
	place := uint32(n.start)
	if n.chunks.count > 0 {
		layout, place = layoutChunks, uint32(n.chunks.bits)
	}
	xattrs := encodeXattrs(n.Xattrs)
	count := uint16(0)
	if len(xattrs) > 0 {
		count = uint16((len(xattrs)-xattrHeader)/4 + 1)
	}
	b = le.AppendUint16(b, layout<<1|formatExtended)
	b = le.AppendUint16(b, count)
	b = le.AppendUint16(b, uint16(n.Mode))
	b = le.AppendUint16(b, 0)
	b = le.AppendUint64(b, uint64(n.Size))
	b = le.AppendUint32(b, place)
	b = le.AppendUint32(b, n.number)
	b = le.AppendUint32(b, n.UID)
	b = le.AppendUint32(b, n.GID)
	b = le.AppendUint64(b, uint64(n.MTime))
	b = le.AppendUint32(b, 0)
	b = le.AppendUint32(b, n.links)
	b = append(b, make([]byte, 16)...)
	return append(b, xattrs...)
}

// encode makes a directory block: the entries, then their names; a block that is not the last is padded by the zeros around it.
func (d dirBlock) encode() []byte {
	out := make([]byte, 0, d.used)
	at := len(d.entries) * direntSize
	for _, e := range d.entries {
		out = le.AppendUint64(out, e.node.nid)
		out = le.AppendUint16(out, uint16(at))
		out = append(out, fileType(e.node.Mode), 0)
		at += len(e.name)
	}
	for _, e := range d.entries {
		out = append(out, e.name...)
	}
	return out
}

func fileType(mode uint32) byte {
	switch mode & ModeType {
	case ModeRegular:
		return 1
	case ModeDir:
		return 2
	case ModeFIFO:
		return 5
	}
	return 7 // symbolic link
}

const xattrHeader = 12

var xattrPrefixes = []struct {
	prefix string
	index  byte
}{{"user.", 1}, {"security.", 6}}

func splitXattr(name string) (index byte, rest string, err error) {
	for _, p := range xattrPrefixes {
		if rest, ok := strings.CutPrefix(name, p.prefix); ok && rest != "" && len(rest) <= 255 {
			return p.index, rest, nil
		}
	}
	return 0, "", fmt.Errorf("extended attribute %.100q: only user.* and security.* can be stored", name)
}

func xattrSize(xs []Xattr) (int, error) {
	if len(xs) == 0 {
		return 0, nil
	}
	size := xattrHeader
	for _, x := range xs {
		_, rest, err := splitXattr(x.Name)
		if err != nil {
			return 0, err
		}
		size += int(roundUp(int64(4+len(rest)+len(x.Value)), 4))
	}
	return size, nil
}

func encodeXattrs(xs []Xattr) []byte {
	if len(xs) == 0 {
		return nil
	}
	b := make([]byte, xattrHeader)
	for _, x := range xs {
		index, rest, _ := splitXattr(x.Name) // checked by Lay
		b = append(b, byte(len(rest)), index)
		b = le.AppendUint16(b, uint16(len(x.Value)))
		b = append(append(b, rest...), x.Value...)
		b = append(b, bytes.Repeat([]byte{0}, -len(b)&3)...)
	}
	return b
}

func writeAt(w io.WriterAt, b []byte, at int64) error {
	if _, err := w.WriteAt(b, at); err != nil {
		return fmt.Errorf("write %d bytes at %d of the image: %w", len(b), at, err)
	}
	return nil
}

// ErrContent: a file's content is longer or shorter than its Node said.
var ErrContent = errors.New("content has another size than announced")

// WriteContent copies the content of n, a regular file, from r, which must give exactly n.Size bytes. buf is scratch space.
func (p *Plan) WriteContent(w io.WriterAt, n *Node, r io.Reader, buf []byte) error {
	if err := p.WriteExtent(w, n, Extent{0, n.Size}, r, buf); err != nil {
		return err
	}
	if _, err := io.ReadFull(r, buf[:1]); err != io.EOF {
		return fmt.Errorf("file of %d bytes goes on: %w", n.Size, ErrContent)
	}
	return nil
}

// WriteExtent copies a part of the content of n, a regular file, from r. What lies in a hole of n must be zeros.
func (p *Plan) WriteExtent(w io.WriterAt, n *Node, e Extent, r io.Reader, buf []byte) error {
	if e.Offset < 0 || e.Length < 0 || e.Offset > n.Size || e.Length > n.Size-e.Offset {
		return fmt.Errorf("file of %d bytes goes on: %w", n.Size, ErrContent)
	}
	for done := int64(0); done < e.Length; {
		at, room := n.locate(e.Offset + done)
		k, err := io.ReadFull(r, buf[:min(int64(len(buf)), room, e.Length-done)])
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return fmt.Errorf("file of %d bytes ends after %d: %w", n.Size, e.Offset+done+int64(k), ErrContent)
		}
		if err != nil {
			return fmt.Errorf("read content: %w", err)
		}
		if at < 0 {
			if len(bytes.TrimLeft(buf[:k], "\x00")) > 0 {
				return fmt.Errorf("file of %d bytes has content in a hole at %d: %w", n.Size, e.Offset+done, ErrContent)
			}
		} else if err := writeAt(w, buf[:k], at); err != nil {
			return err
		}
		done += int64(k)
	}
	return nil
}

// ReadContent reads content of n, a regular file, back from an image whose content was written; fewer bytes than b only at n's end.
func (p *Plan) ReadContent(r io.ReaderAt, n *Node, off int64, b []byte) (int, error) {
	done := 0
	for done < len(b) && off >= 0 && off < n.Size {
		at, room := n.locate(off)
		part := b[done : done+int(min(int64(len(b)-done), room))]
		if at < 0 {
			clear(part)
		} else if _, err := r.ReadAt(part, at); err != nil {
			return done, fmt.Errorf("read %d bytes at %d of the image: %w", len(part), at, err)
		}
		done, off = done+len(part), off+int64(len(part))
	}
	return done, nil
}
