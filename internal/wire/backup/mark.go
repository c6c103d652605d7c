package backup

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// Mark tells a host how the bytes of a backup up to one place were; it means nothing to others.
type Mark [32]byte

// MarshalText writes hex.
func (m Mark) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, m[:]), nil }

// UnmarshalText is the inverse of MarshalText.
func (m *Mark) UnmarshalText(b []byte) error {
	if len(b) != hex.EncodedLen(len(m)) {
		return fmt.Errorf("mark %.80q: want %d digits of hex", b, hex.EncodedLen(len(m)))
	}
	if _, err := hex.Decode(m[:], b); err != nil {
		return fmt.Errorf("mark %q: %v", b, err)
	}
	return nil
}

// Resume is what is there of a backup that was cut.
type Resume struct {
	Bytes int64 `json:"bytes"` // of the streams, before they were encrypted
	Mark  Mark  `json:"mark"`  // that of the last segment of them
}

// Text is BYTES:MARK, and ParseResume its inverse: what an address of the API has of it.
func (r Resume) Text() string {
	b, _ := r.Mark.MarshalText()
	return strconv.FormatInt(r.Bytes, 10) + ":" + string(b)
}

// ParseResume takes BYTES:MARK apart.
func ParseResume(s string) (r Resume, err error) {
	n, m, _ := strings.Cut(s, ":")
	if r.Bytes, err = strconv.ParseInt(n, 10, 64); err != nil {
		return r, fmt.Errorf("%.100q: want BYTES:MARK", s)
	}
	return r, r.Mark.UnmarshalText([]byte(m))
}
