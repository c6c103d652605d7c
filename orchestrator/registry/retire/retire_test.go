package retire

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/orchestrator/registry/blobs"
	"hardnode.dev/orchestrator/registry/catalog"
	"hardnode.dev/orchestrator/registry/importer"
)

// TestClocks: an image that no template names goes when nobody has used it for a while, as told lately; in doubt it stays.
func TestClocks(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	clock := func() time.Time { return now }
	store, err := blobs.Open(t.Context(), filepath.Join(dir, "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	c, err := catalog.Open(filepath.Join(dir, "images"), nil)
	if err != nil {
		t.Fatal(err)
	}
	image := func(text string) wire.Digest {
		t.Helper()
		d, err := c.Build(t.Context(), int64(len(text)), func(w catalog.Image) error { _, err := w.WriteAt([]byte(text), 0); return err })
		if err != nil {
			t.Fatal(err)
		}
		err = c.Put(host.Template{Image: host.Image{Name: "web:1", Digest: d, Bytes: int64(len(text))}, OCI: d, Profile: host.ProfileApp,
			Process: host.Process{Argv: []string{"x"}}})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	old := image("old one")
	image("the new one") // the same name was pushed again
	k := &Keeper{OCI: store, Catalog: c, States: importer.OpenStates(filepath.Join(dir, "imports.json"), nil, clock), Now: clock}
	there := func() bool { f, err := c.Image(old); f.Close(); return err == nil }
	collect := func(what string, want bool) {
		t.Helper()
		if _, err := k.Collect(t.Context()); err != nil {
			t.Error(err)
		}
		if there() != want {
			t.Errorf("%s: the image is there: %v, want %v", what, there(), want)
		}
	}
	if _, err := k.Delete(t.Context(), "web", "1", true); !errors.Is(err, ErrUnknown) {
		t.Errorf("nobody said what is in use, and a deletion got %v", err)
	}
	collect("nobody said what is in use", true)
	now = now.Add(time.Hour)
	collect("still nobody", true)
	use := host.Used{Uses: []host.Use{{Name: "web:1", Digest: old, By: "node 100"}}}
	k.Told(use)
	collect("a node runs it", true)
	k.Told(host.Used{})
	collect("nobody uses it any more: just now", true)
	now = now.Add(settle / 2)
	k.Told(use)
	collect("a node that was being made uses it", true)
	k.Told(host.Used{})
	now = now.Add(settle / 2)
	k.Told(host.Used{})
	collect("unused, but not for long", true)
	now = now.Add(settle)
	collect("unused for long, but what was told is old", true)
	k.Told(host.Used{})
	collect("that it is unused is counted anew", true)
	now = now.Add(settle)
	k.Told(host.Used{})
	collect("unused for long", false)
}

// TestInUseSays: an error names who uses a template, the first of them when there are many.
func TestInUseSays(t *testing.T) {
	e := &InUse{Name: "web:1"}
	for i := range 14 {
		e.Users = append(e.Users, fmt.Sprintf("node %d", 100+i))
	}
	if got := e.Error(); !strings.Contains(got, "web:1") || !strings.Contains(got, "node 109 and 4 more") ||
		strings.Contains(got, "node 110") {
		t.Errorf("got %q", got)
	}
}
