// Package block cuts files into blocks by their content, so that a host fetches only those it lacks of a new release.
//
// Owns: where a block ends (a rolling hash of what came before, so that an insertion moves no later end), and the index of a file: the
// length and SHA-256 of each of its blocks, in order.
// In: a file; an index as bytes.
// Out: the index, as value and bytes; which parts of another file are blocks of it.
// Never: does I/O of its own, or believes an index: that is signed as a target, and its blocks are hashed again where they arrive.
//
// History: 2026-11-26 version 1.
package block

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Bounds of a block, in bytes. Small ones cost index (36 bytes each) and requests, large ones fetch more around a change.
const (
	Least = 4 << 10
	Mean  = 16 << 10
	Most  = 64 << 10
)

// magic begins an index of version 1: the file's length (8 bytes, big endian), then of each block its length (4 bytes) and SHA-256 (32).
const magic = "hardnode blocks 1\n"

// MaxIndex is the longest index read: that of a file of 4 GiB with blocks of the mean size and some.
const MaxIndex = 16 << 20

// Sum is a block's SHA-256.
type Sum = [sha256.Size]byte

// Block is one block of a file.
type Block struct {
	Offset int64
	Length int // bytes
	Sum    Sum
}

// Index is all blocks of a file, in order and without gaps.
type Index struct {
	Length int64
	Blocks []Block
}

// gear is a random value for each byte, the same everywhere: the first eight bytes of the SHA-256 of the byte's value.
var gear = func() (g [256]uint64) {
	for i := range g {
		s := sha256.Sum256([]byte{byte(i)})
		g[i] = binary.BigEndian.Uint64(s[:8])
	}
	return g
}()

// mask has as many ones as a mean block has bits of length: a block ends where the hash has none of them. They are the upper ones, which
// depend on the last 64 bytes.
const mask = uint64(Mean-1) << 50

// Walk cuts what r gives into blocks and tells each, with its bytes, which are good until it returns.
func Walk(r io.Reader, each func(Block, []byte) error) error {
	in := bufio.NewReaderSize(r, 1<<20)
	buf := make([]byte, 0, Most)
	var at int64
	for {
		var hash uint64
		buf = buf[:0]
		for len(buf) < Most {
			b, err := in.ReadByte()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return err
			}
			buf = append(buf, b)
			hash = hash<<1 + gear[b]
			if len(buf) >= Least && hash&mask == 0 {
				break
			}
		}
		if len(buf) == 0 {
			return nil
		}
		if err := each(Block{Offset: at, Length: len(buf), Sum: sha256.Sum256(buf)}, buf); err != nil {
			return err
		}
		at += int64(len(buf))
	}
}

// Make is the index of what r gives.
func Make(r io.Reader) (x Index, err error) {
	err = Walk(r, func(b Block, _ []byte) error {
		x.Blocks, x.Length = append(x.Blocks, b), b.Offset+int64(b.Length)
		return nil
	})
	return x, err
}

// Encode is the index as bytes.
func (x Index) Encode() []byte {
	out := make([]byte, 0, len(magic)+8+36*len(x.Blocks))
	out = binary.BigEndian.AppendUint64(append(out, magic...), uint64(x.Length))
	for _, b := range x.Blocks {
		out = append(binary.BigEndian.AppendUint32(out, uint32(b.Length)), b.Sum[:]...)
	}
	return out
}

// Decode reads an index. It fails on one that is not whole, whose blocks don't make up the file, or that has blocks out of bounds.
func Decode(raw []byte) (Index, error) {
	rest, ok := bytes.CutPrefix(raw, []byte(magic))
	if !ok || len(rest) < 8 {
		return Index{}, errors.New("block index: it is none of version 1")
	}
	if len(raw) > MaxIndex {
		return Index{}, fmt.Errorf("block index: it has %d bytes, at most %d are read", len(raw), MaxIndex)
	}
	x := Index{Length: int64(binary.BigEndian.Uint64(rest))}
	rest = rest[8:]
	const entry = 4 + sha256.Size
	if len(rest)%entry != 0 {
		return Index{}, errors.New("block index: it is cut off")
	}
	x.Blocks = make([]Block, 0, len(rest)/entry)
	var at int64
	for ; len(rest) > 0; rest = rest[entry:] {
		n := binary.BigEndian.Uint32(rest)
		if n == 0 || n > Most {
			return Index{}, fmt.Errorf("block index: block %d has %d bytes, want 1 to %d", len(x.Blocks), n, Most)
		}
		x.Blocks = append(x.Blocks, Block{Offset: at, Length: int(n), Sum: Sum(rest[4:entry])})
		at += int64(n)
	}
	if at != x.Length {
		return Index{}, fmt.Errorf("block index: its blocks have %d bytes, the file %d", at, x.Length)
	}
	return x, nil
}
