package uki

import (
	"errors"
	"fmt"

	"hardnode.dev/internal/disk/efi"
	"hardnode.dev/internal/wire/release"
)

// Sealer signs with a site's keys (internal/release/issue/secureboot).
type Sealer interface {
	Sign(program []byte) ([]byte, error)
	Signature(program []byte) ([]byte, error)
	Auth(name string) []byte
}

// Seal makes an image one that machines with secure boot start and can be installed by: it carries its loader's signature and the keys, and
// is signed as a whole. One that is sealed already is refused.
func Seal(image []byte, by Sealer) ([]byte, error) {
	sections, err := Sections(image)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	var loader []byte
	for _, s := range sections {
		switch s.Name {
		case Loader:
			loader = s.Data
		case release.SealSection:
			return nil, errors.New("seal: the image is sealed already; take the one that is not")
		}
	}
	if loader == nil {
		return nil, errors.New("seal: the image carries no boot loader; build it with this version")
	}
	seal := release.Seal{PK: by.Auth(efi.PK), KEK: by.Auth(efi.KEK), DB: by.Auth(efi.DB)}
	if seal.Loader, err = by.Signature(loader); err != nil {
		return nil, fmt.Errorf("seal the boot loader: %w", err)
	}
	raw, err := seal.Encode()
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	out, err := Build(image, Section{release.SealSection, raw})
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	if out, err = by.Sign(out); err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	return out, nil
}
