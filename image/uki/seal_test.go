package uki

import (
	"bytes"
	"strings"
	"testing"

	"hardnode.dev/internal/wire/release"
)

// marker signs by saying so.
type marker struct{}

func (marker) Sign(p []byte) ([]byte, error)      { return append(bytes.Clone(p), "signed"...), nil }
func (marker) Signature(p []byte) ([]byte, error) { return append([]byte("signature of "), p...), nil }
func (marker) Auth(name string) []byte            { return []byte("auth of " + name) }

func TestSeal(t *testing.T) {
	if _, err := Seal(stub(), marker{}); err == nil || !strings.Contains(err.Error(), "no boot loader") {
		t.Errorf("without a loader: %v", err)
	}
	image, err := Build(stub(), Section{Kernel, []byte("kernel")}, Section{Loader, []byte("the loader")})
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := Seal(image, marker{})
	if err != nil || !bytes.HasSuffix(sealed, []byte("signed")) {
		t.Fatalf("%d bytes, %v", len(sealed), err)
	}
	sections, err := Sections(sealed)
	if err != nil {
		t.Fatal(err)
	}
	last := sections[len(sections)-1]
	s, err := release.DecodeSeal(last.Data)
	if err != nil || last.Name != release.SealSection || string(s.Loader) != "signature of the loader" || string(s.PK) != "auth of PK" ||
		string(s.DB) != "auth of db" {
		t.Errorf("section %s: %s, %v", last.Name, last.Data, err)
	}
	if _, err := Seal(sealed, marker{}); err == nil || !strings.Contains(err.Error(), "sealed already") {
		t.Errorf("sealed twice: %v", err)
	}
}

// TestSymbols: what lies behind a stub's sections is left out, so that sections lie one behind the other.
func TestSymbols(t *testing.T) {
	with := append(stub(), "a table of symbols"...)
	copy(with[0x80+coffSymbols:], []byte{1, 2, 3, 4, 5})
	a, err1 := Build(with, Section{Kernel, []byte("k")})
	b, err2 := Build(stub(), Section{Kernel, []byte("k")})
	if err1 != nil || err2 != nil || !bytes.Equal(a, b) {
		t.Errorf("symbols make a difference: %v, %v", err1, err2)
	}
}
