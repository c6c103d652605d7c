package release

import (
	"encoding/json"
	"fmt"

	"hardnode.dev/internal/wire/neighbour"
)

// Sections of a system (a UKI) that its kernel's stub does not look for.
const (
	LoaderSection = ".loader" // the boot loader of disks that the system is installed to, without a signature
	SealSection   = ".sealed" // a Seal, where the system was sealed for secure boot
)

// Seal is what a sealed system carries for the disk that it is installed to. The system's own signature covers it.
//
// History: 2026-11-27 version 1.
type Seal struct {
	Version int    `json:"version"` // 1
	Loader  []byte `json:"loader"`  // the loader's table of signatures (internal/release/authenticode)
	// The files by which a firmware in setup mode takes on the keys (internal/disk/efi.Authenticated).
	PK  []byte `json:"pk"`
	KEK []byte `json:"kek"`
	DB  []byte `json:"db"`
}

// Encode writes it.
func (s Seal) Encode() ([]byte, error) {
	s.Version = 1
	return json.Marshal(s)
}

// DecodeSeal reads one.
func DecodeSeal(raw []byte) (s Seal, err error) {
	if err := neighbour.Decode(raw, &s); err != nil {
		return s, fmt.Errorf("read the system's seal: %w", err)
	}
	if s.Version < 1 || len(s.Loader) == 0 || len(s.PK) == 0 || len(s.KEK) == 0 || len(s.DB) == 0 {
		return s, fmt.Errorf("read the system's seal: it is of version %d, or a part is missing", s.Version)
	}
	return s, nil
}
