package spec

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"

	"hardnode.dev/internal/wire/host"
)

// Hash is what Observed.FilesHash compares with: hex SHA-256 over paths, modes and data, in order of paths.
func Hash(files []host.File) string {
	if len(files) == 0 {
		return ""
	}
	sorted := slices.SortedFunc(slices.Values(files), func(a, b host.File) int { return strings.Compare(a.Path, b.Path) })
	h := sha256.New()
	for _, f := range sorted {
		for _, part := range [][]byte{[]byte(f.Path), binary.BigEndian.AppendUint32(nil, f.Mode), f.Data.Reveal()} {
			h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
			h.Write(part)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}
