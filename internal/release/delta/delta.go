// Package delta puts a file of a release together from what is here already and the blocks that are lacking.
//
// Owns: the order (what a try before left, then the seeds, then the network), and that each block is hashed before it counts.
// In: a block index; seeds, such as the release in the other slot; a file that may hold a part already; a way to read ranges.
// Out: the file, whole by its index; how many bytes came from where.
// Never: believes a seed, a part or the network; the caller compares the whole file with what both repositories name.
package delta

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"

	"hardnode.dev/internal/release/block"
)

// Run is the most bytes asked for at once: blocks that lie together and are lacking.
const Run = 512 << 10

// Stats says where the bytes of a file came from.
type Stats struct {
	Kept    int64 // a try before left them
	Seeded  int64
	Fetched int64 // over the network
	Asked   int   // requests
}

// Get reads length bytes from offset of the wanted file, over the network.
type Get func(ctx context.Context, offset int64, length int) ([]byte, error)

// Fetch makes out the file of x. What out holds already stays where it is right, so that a try that was cut off goes on. It fails on a
// block that is not the one named; all that came before stays.
func Fetch(ctx context.Context, x block.Index, out *os.File, seeds []io.Reader, get Get) (s Stats, err error) {
	lacking := map[int]bool{}
	buf := make([]byte, block.Most)
	for i, b := range x.Blocks {
		if n, _ := out.ReadAt(buf[:b.Length], b.Offset); n == b.Length && sha256.Sum256(buf[:n]) == b.Sum {
			s.Kept += int64(b.Length)
		} else {
			lacking[i] = true
		}
	}
	for _, seed := range seeds {
		if err := sow(x, lacking, seed, out, &s); err != nil {
			return s, err
		}
	}
	for i := 0; i < len(x.Blocks); {
		if !lacking[i] {
			i++
			continue
		}
		end, length := i, 0
		for end < len(x.Blocks) && lacking[end] && length+x.Blocks[end].Length <= Run {
			length += x.Blocks[end].Length
			end++
		}
		raw, err := get(ctx, x.Blocks[i].Offset, length)
		if err != nil {
			return s, err
		}
		s.Asked++
		s.Fetched += int64(len(raw))
		if len(raw) != length {
			return s, fmt.Errorf("bytes %d to %d: %d of them came", x.Blocks[i].Offset, x.Blocks[i].Offset+int64(length), len(raw))
		}
		for ; i < end; i++ {
			b := x.Blocks[i]
			if sha256.Sum256(raw[:b.Length]) != b.Sum {
				return s, fmt.Errorf("bytes %d to %d are not those that the signed index names", b.Offset, b.Offset+int64(b.Length))
			}
			if _, err := out.WriteAt(raw[:b.Length], b.Offset); err != nil {
				return s, err
			}
			raw = raw[b.Length:]
		}
	}
	return s, out.Truncate(x.Length)
}

// sow copies the lacking blocks that a seed has. A seed that can't be read to its end gives what it gave.
func sow(x block.Index, lacking map[int]bool, seed io.Reader, out *os.File, s *Stats) error {
	if len(lacking) == 0 {
		return nil
	}
	wanted := map[block.Sum][]int{}
	for i := range lacking {
		wanted[x.Blocks[i].Sum] = append(wanted[x.Blocks[i].Sum], i)
	}
	var write error
	err := block.Walk(seed, func(b block.Block, raw []byte) error {
		for _, i := range wanted[b.Sum] {
			if !lacking[i] {
				continue
			}
			if _, write = out.WriteAt(raw, x.Blocks[i].Offset); write != nil {
				return write
			}
			delete(lacking, i)
			s.Seeded += int64(len(raw))
		}
		if len(lacking) == 0 {
			return io.EOF
		}
		return nil
	})
	if write != nil {
		return write
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil // the network has the rest
	}
	return nil
}
