// Package disk knows what lies on a disk, and which disk may become DATA.
//
// Owns: the signatures of everything that makes a disk "not blank", the choice of DATA's disk, how DATA is laid out (btrfs, label,
// subvolumes, simple quotas), and the signs of an installed disk.
// In: block devices or files; the storage part of the host's configuration.
// Out: what a disk holds; a Choice with its reason; a mounted DATA.
// Never: formats a disk that is not blank, was not named by an explicit wipe, and is not our own half-made DATA.
package disk

import (
	"bytes"
	"fmt"
	"io"
	"strings"
)

// Label is the filesystem label of DATA: how a host finds its own disk again.
const Label = "hardnode-data"

// Content is what a disk holds.
type Content struct {
	Blank bool
	// Holds names what was found, for people: "ext2/3/4", "data without a known signature".
	Holds string
	// Data: it is a whole DATA of ours. HalfMade: mkfs was cut short while it made one.
	Data, HalfMade bool
	// Installed: it is a disk that a host's system was installed to. Identity is its own then, from its partition table.
	Installed bool
	Identity  string
	// Begun: an installation is under way on it, or was cut short.
	Begun Progress
}

const (
	edge = 1 << 20  // at the end
	head = 2 * edge // at the start: the first partition begins at 1 MiB by custom, and what lies there outlives its table
)

// Inspect reads the edges of a disk and every place a signature may lie.
func Inspect(r io.ReaderAt, size int64) (Content, error) {
	if size < 4*edge {
		return Content{Holds: fmt.Sprintf("too little room (%d KiB)", size>>10)}, nil
	}
	super := make([]byte, 4096)
	if _, err := r.ReadAt(super, 0x10000); err != nil {
		return Content{}, fmt.Errorf("read the disk at 64 KiB: %w", err)
	}
	label := strings.TrimRight(string(super[0x12b:0x12b+256]), "\x00")
	if c, ours, err := installation(r); err != nil || ours {
		return c, err
	}
	switch {
	case string(super[0x40:0x48]) == "_BHRfS_M" && label == Label:
		return Content{Data: true, Holds: "DATA of a Hardnode host"}, nil
	case string(super[0x40:0x48]) == "!BHRfS_M" && label == Label: // mkfs.btrfs writes this until it is done
		return Content{HalfMade: true, Holds: "DATA of a Hardnode host, half made"}, nil
	}
	for _, s := range signatures {
		at := s.Offset
		if at < 0 {
			at += size
		}
		buf := make([]byte, len(s.Magic))
		if at+int64(len(buf)) > size {
			continue
		}
		_, err := r.ReadAt(buf, at)
		if err != nil {
			return Content{}, fmt.Errorf("read the disk at byte %d: %w", at, err)
		}
		if string(buf) == s.Magic {
			holds := s.Name
			switch {
			case s.Name == "btrfs" && label != "":
				holds = fmt.Sprintf("btrfs labelled %q", label)
			case strings.HasPrefix(s.Name, gptName), s.Name == mbrName:
				if holds, err = tableOf(r, s); err != nil {
					return Content{}, err
				}
			}
			return Content{Holds: holds}, nil
		}
	}
	for _, part := range []span{{0, head}, {size - edge, edge}} {
		zero, err := allZero(r, part)
		if err != nil {
			return Content{}, err
		}
		if !zero {
			return Content{Holds: "data without a known signature"}, nil
		}
	}
	return Content{Blank: true, Holds: "nothing"}, nil
}

// span is a part of a disk, in bytes.
type span struct{ at, size int64 }

func allZero(r io.ReaderAt, part span) (bool, error) {
	buf, zeros := make([]byte, 64<<10), make([]byte, 64<<10)
	for off := part.at; off < part.at+part.size; off += int64(len(buf)) {
		if _, err := r.ReadAt(buf, off); err != nil {
			return false, fmt.Errorf("read the disk at byte %d: %w", off, err)
		}
		if !bytes.Equal(buf, zeros) {
			return false, nil
		}
	}
	return true, nil
}
