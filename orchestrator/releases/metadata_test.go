package releases

import (
	"context"
	"errors"
	"testing"

	"hardnode.dev/internal/release/trust"
)

// shelved is a repository's metadata as hosts are served it.
type shelved struct {
	s    *Shelf
	repo trust.Name
}

func (m shelved) Get(_ context.Context, name string, _ int64) ([]byte, error) {
	raw, ok := m.s.Metadata(string(m.repo), name)
	if !ok {
		return nil, trust.ErrAbsent
	}
	return raw, nil
}

// A host that knows the pins alone believes what the shelf serves, also after the root changed, and after a restart.
func TestMetadata(t *testing.T) {
	s := newSite(t)
	s.trust()
	anchors := s.Anchors()
	look := func() (trust.View, error) {
		v, _, err := trust.Look(t.Context(), shelved{s.Shelf, trust.Image}, shelved{s.Shelf, trust.Director},
			anchors, trust.State{}, s.now)
		return v, err
	}
	if _, err := look(); !errors.Is(err, &trust.Refusal{Kind: trust.Unavailable}) {
		t.Errorf("before the first import: %v", err)
	}
	s.Release(t, "1.0.0", "host.efi", "a machine's image")
	s.all()
	for what, do := range map[string]func(){"": func() {}, "after a restart: ": s.restart} {
		do()
		if v, err := look(); err != nil || len(v.Agreed) != 2 {
			t.Errorf("%sagreed on %d files, %v", what, len(v.Agreed), err)
		}
	}
	s.Image.Rotate(t)
	s.Release(t, "1.1.0", "host.efi", "another image")
	delete(s.Image.Files, "1.root.json") // whoever imports need not send what is here
	s.all()
	if v, err := look(); err != nil || v.Image.Versions.Root != 2 || len(v.Agreed) != 4 {
		t.Errorf("after the root changed: %+v, %d files, %v", v.Image.Versions, len(v.Agreed), err)
	}
	for _, name := range []string{"9.root.json", "1.targets.json", "../releases.json", ""} {
		if _, ok := s.Metadata("image", name); ok {
			t.Errorf("%q is served", name)
		}
	}
}
