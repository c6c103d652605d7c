package importer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/orchestrator/registry/flatten"
)

// gate is a Source whose blobs open only when the test says so. Everything in it may be used at once.
type gate struct {
	*store
	mu    sync.Mutex
	shut  map[wire.TemplateName]chan struct{}
	opens map[wire.TemplateName]int
}

func newGate(s *store, shut ...wire.TemplateName) *gate {
	g := &gate{store: s, shut: map[wire.TemplateName]chan struct{}{}, opens: map[wire.TemplateName]int{}}
	for _, n := range shut {
		g.shut[n] = make(chan struct{})
	}
	return g
}

func (g *gate) Resolve(ctx context.Context, name wire.TemplateName) (wire.Digest, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.store.Resolve(ctx, name)
}

func (g *gate) Blob(ctx context.Context, name wire.TemplateName, d wire.Digest) (io.ReadCloser, error) {
	g.mu.Lock()
	g.opens[name]++
	wait := g.shut[name]
	g.mu.Unlock()
	if wait != nil {
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.store.Blob(ctx, name, d)
}

func (g *gate) open(n wire.TemplateName) {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.shut[n])
	delete(g.shut, n)
}

// large makes an image one for the large lane: more names than the small limits allow.
func large(salt string) []byte {
	var files []string
	for i := range smallEntries + 10 {
		files = append(files, fmt.Sprintf("%s%d", salt, i), "")
	}
	return layerTar(append(files, "bin/run", "x")...)
}

// states is what List says, in one line.
func states(im *Importer) string {
	var out []string
	for _, i := range im.States.List() {
		out = append(out, strings.TrimSpace(fmt.Sprintf("%s %s %s", i.Name, i.State, i.Reason)))
	}
	return strings.Join(out, ", ")
}

// TestSmallBesideLarge: while large images wait for each other, small ones are imported.
func TestSmallBesideLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		for _, n := range []string{"large:1", "large:2"} {
			s.push(wire.TemplateName(n), types.OCILayerZStd, nil, large(n))
		}
		for _, n := range []string{"small:1", "small:2"} {
			s.push(wire.TemplateName(n), types.OCILayerZStd, nil, layerTar("bin/run", n))
		}
		g := newGate(s)
		im, _ := newImporter(t, g)
		// A place in the large lane is taken: both wait there.
		leave, err := im.lanes.enter(t.Context(), true)
		if err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		for _, n := range []wire.TemplateName{"large:1", "large:2", "small:1", "small:2"} {
			all.Go(func() {
				if _, err := im.Import(t.Context(), n); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		if got := states(im); got != "large:1 waiting, large:2 waiting" {
			t.Errorf("got %q, want the small ones imported and the large ones waiting", got)
		}
		if list := im.Catalog.List(); len(list) != 2 || list[0].Name != "small:1" || list[1].Name != "small:2" {
			t.Errorf("the catalog has %d templates: %v", len(list), list)
		}
		leave()
		all.Wait()
		if got := states(im); got != "" || len(im.Catalog.List()) != 4 {
			t.Errorf("left %q, %d templates", got, len(im.Catalog.List()))
		}
	})
}

// TestAtOnce: so many small imports run at once and no more, and each says how far it is.
func TestAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		var names []wire.TemplateName
		for i := range 2 * smallAtOnce {
			n := wire.TemplateName(fmt.Sprintf("web:%d", i))
			s.push(n, types.OCILayerZStd, nil, layerTar("bin/run", string(n)))
			names = append(names, n)
		}
		g := newGate(s, names...)
		im, _ := newImporter(t, g)
		var all sync.WaitGroup
		for _, n := range names {
			all.Go(func() {
				if _, err := im.Import(t.Context(), n); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		if len(g.opens) != smallAtOnce {
			t.Errorf("%d images are read at once, want %d", len(g.opens), smallAtOnce)
		}
		for _, n := range names {
			g.open(n)
		}
		all.Wait()
	})
}

// TestTogether: however many ask for one manifest at once, under one name or several, it is imported once.
func TestTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		s.push("web:1", types.OCILayerZStd, nil, layerTar("bin/run", "x"))
		s.tags["other:1"] = s.tags["web:1"]
		g := newGate(s, "web:1", "other:1")
		im, _ := newImporter(t, g)
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		gone := make(chan error, 1)
		go func() { _, err := im.Import(ctx, "web:1"); gone <- err }()
		synctest.Wait()
		for _, n := range []wire.TemplateName{"web:1", "web:1", "other:1"} {
			all.Go(func() {
				ask := im.Import
				if n == "other:1" {
					ask = im.Mend
				}
				if got, err := ask(t.Context(), n); err != nil || got.Name != n {
					t.Errorf("%s: got %q, %v", n, got.Name, err)
				}
			})
		}
		synctest.Wait()
		if len(g.opens) != 1 {
			t.Errorf("it is read under %v", g.opens)
		}
		cancel() // the first asker goes: another goes on
		if err := <-gone; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		g.open("web:1")
		g.open("other:1")
		all.Wait()
		if reads := g.store.reads; reads > 3 { // one configuration, one layer read twice
			t.Errorf("%d blobs were read, want 3", reads)
		}
		if list := im.Catalog.List(); len(list) != 2 || states(im) != "" {
			t.Errorf("got %v, %s", list, states(im))
		}
	})
}

// TestLastPushWins: an import that is overtaken by a later push under the same name does not replace it.
func TestLastPushWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		s.push("web:1", types.OCILayerZStd, nil, layerTar("bin/run", "old"))
		g := newGate(s, "web:1")
		im, _ := newImporter(t, g)
		var all sync.WaitGroup
		all.Go(func() {
			if got, err := im.Import(t.Context(), "web:1"); err != nil || got.OCI != s.tags["web:1"] {
				t.Errorf("got %+v, %v", got, err)
			}
		})
		synctest.Wait()
		g.mu.Lock()
		s.push("web:1", types.OCILayerZStd, nil, layerTar("bin/run", "new"))
		g.mu.Unlock()
		g.open("web:1")
		all.Wait()
		if list := im.Catalog.List(); len(list) != 1 || list[0].OCI != s.tags["web:1"] {
			t.Errorf("got %v, want the last push", list)
		}
	})
}

// TestStates: who pushed can read how the import goes, and why it failed, also after a restart of the registry.
func TestStates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		s.push("bad:1", types.OCILayerZStd, func(c *v1.ConfigFile, _ *v1.Manifest) { c.Architecture = "s390x" }, layerTar("bin/run", "x"))
		s.push("sig:1", types.OCILayerZStd, func(_ *v1.ConfigFile, m *v1.Manifest) {
			m.Config.MediaType = "application/vnd.cncf.helm.config.v1+json"
		}, layerTar("bin/run", "x"))
		s.push("cosign:1", "application/vnd.dev.cosign.simplesigning.v1+json", nil, []byte("{}"))
		s.push("slow:1", types.OCILayerZStd, nil, layerTar("bin/run", "slow"))
		g := newGate(s, "slow:1")
		im, _ := newImporter(t, g)
		path := filepath.Join(t.TempDir(), "imports.json")
		now := time.Now
		im.States = OpenStates(path, nil, now)
		for _, n := range []wire.TemplateName{"sig:1", "cosign:1"} {
			if _, err := im.Import(t.Context(), n); !errors.Is(err, ErrArtifact) {
				t.Errorf("%s: got %v, want ErrArtifact", n, err)
			}
		}
		im.States.Waiting("bad:1")
		im.States.Waiting("slow:1")
		if got := states(im); got != "bad:1 waiting, slow:1 waiting" {
			t.Errorf("got %q", got)
		}
		if _, err := im.Import(t.Context(), "bad:1"); err == nil {
			t.Error("an image of another processor was imported")
		}
		ctx, cancel := context.WithCancel(t.Context())
		over := make(chan error, 1)
		go func() { _, err := im.Import(ctx, "slow:1"); over <- err }()
		synctest.Wait()
		const failed = "bad:1 failed is for linux/s390x, this cluster runs linux/"
		if got := states(im); !strings.HasPrefix(got, failed) || !strings.Contains(got, "push it again") {
			t.Errorf("got %q", got)
		}
		cancel()
		<-over
		im.States = OpenStates(path, nil, now) // a restart: what ended without a verdict is pushed as before
		if got := im.States.List(); len(got) != 1 || got[0].Name != "bad:1" || got[0].State != host.ImportFailed || got[0].Since.IsZero() {
			t.Errorf("after a restart got %+v", got)
		}
		s.push("bad:1", types.OCILayerZStd, nil, layerTar("bin/run", "mended"))
		if _, err := im.Import(t.Context(), "bad:1"); err != nil || states(im) != "" {
			t.Errorf("got %v, %q", err, states(im))
		}
		if got := OpenStates(path, nil, now).List(); len(got) != 0 {
			t.Errorf("a mended image is still said to have failed: %+v", got)
		}
		s.push("bad:2", types.OCILayerZStd, func(c *v1.ConfigFile, _ *v1.Manifest) { c.OS = "windows" }, layerTar("bin/run", "x"))
		im.Import(t.Context(), "bad:2")
		time.Sleep(keepFailures + time.Hour) // the test's own clock
		if a, b := len(im.States.List()), len(OpenStates(path, nil, now).List()); a+b != 0 {
			t.Errorf("old failures stay: %d, %d", a, b)
		}
	})
}

// A damaged file of failures is set aside: the next one is written down again.
func TestDamagedStates(t *testing.T) {
	path := filepath.Join(t.TempDir(), "imports.json")
	if err := os.WriteFile(path, []byte(`{"version":1,`), 0o600); err != nil {
		t.Fatal(err)
	}
	fail := func(s *States) {
		_, end := s.begin("a:1", pushed)
		end(host.Template{}, flatten.ErrImage)
	}
	fail(OpenStates(path, nil, time.Now))
	if got := OpenStates(path, nil, time.Now).List(); len(got) != 1 || got[0].Name != "a:1" || got[0].State != host.ImportFailed {
		t.Errorf("after a restart: %+v", got)
	}
	if _, err := os.Stat(path + ".damaged"); err != nil {
		t.Error(err)
	}
}
