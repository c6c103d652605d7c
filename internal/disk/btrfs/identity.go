package btrfs

import (
	"encoding/hex"
	"fmt"
)

// UUID is btrfs's name of a subvolume; zero is none.
type UUID [16]byte

func (u UUID) String() string { return hex.EncodeToString(u[:]) }

// MarshalText and UnmarshalText are String and its inverse.
func (u UUID) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// UnmarshalText takes 32 hex digits.
func (u *UUID) UnmarshalText(b []byte) error {
	if n, err := hex.Decode(make([]byte, len(b)/2+1), b); err != nil || n != len(u) {
		return fmt.Errorf("name of a subvolume: %.40q: want %d hex digits", b, 2*len(u))
	}
	_, err := hex.Decode(u[:], b)
	return err
}

// Identity is how streams name the content of a read-only subvolume: that of where it was sent from first.
type Identity struct {
	UUID    UUID   `json:"uuid"`
	Transid uint64 `json:"transid"` // its last change there
}
