package importer

import (
	"context"
	"fmt"
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
	"hardnode.dev/orchestrator/registry/catalog"
)

// record is what Runs says, in one line, the oldest first.
func record(s *States) string {
	var out []string
	for _, r := range s.Runs() {
		out = append([]string{strings.TrimSpace(fmt.Sprintf("%s %s %s", r.Name, r.State, r.Code))}, out...)
	}
	return strings.Join(out, ", ")
}

// TestRecord: each way an import comes about and ends has one run, with the reason of its end; what changes nothing has none.
func TestRecord(t *testing.T) {
	web := layerTar("bin/run", "x")
	for _, c := range []struct {
		name string
		do   func(t *testing.T, s *store, im *Importer)
		want string
		says string // by the last run
	}{
		{"push", func(t *testing.T, _ *store, im *Importer) {
			im.States.Waiting("web:1")
			im.Import(t.Context(), "web:1")
		}, "web:1 done", "a template of"},
		{"push, and a tool that asks for the import a moment later", func(t *testing.T, _ *store, im *Importer) {
			im.Import(t.Context(), "web:1")
			im.Mend(t.Context(), "web:1")
		}, "web:1 done", ""},
		{"push of what is there under another name", func(t *testing.T, s *store, im *Importer) {
			im.Import(t.Context(), "web:1")
			s.tags["web:2"] = s.tags["web:1"]
			im.Import(t.Context(), "web:2")
		}, "web:1 done, web:2 done", ""},
		{"pushed again", func(t *testing.T, s *store, im *Importer) {
			im.Import(t.Context(), "web:1")
			s.push("web:1", types.OCILayerZStd, nil, layerTar("bin/run", "y"))
			im.Import(t.Context(), "web:1")
		}, "web:1 done, web:1 done", ""},
		{"asked for much later", func(t *testing.T, _ *store, im *Importer) {
			im.Import(t.Context(), "web:1")
			time.Sleep(time.Hour) // the test's own clock
			im.Mend(t.Context(), "web:1")
		}, "web:1 done, web:1 done", ""},
		{"asked for, and nothing was pushed", func(t *testing.T, _ *store, im *Importer) { im.Mend(t.Context(), "none:1") }, "", ""},
		{"failed", func(t *testing.T, _ *store, im *Importer) { im.Import(t.Context(), "bad:1") }, "bad:1 failed invalid",
			"is for linux/s390x"},
		{"failed, and asked for again", func(t *testing.T, _ *store, im *Importer) {
			im.Import(t.Context(), "bad:1")
			im.Mend(t.Context(), "bad:1")
		}, "bad:1 failed invalid, bad:1 failed invalid", "mend the image"},
		{"failed and mended", func(t *testing.T, s *store, im *Importer) {
			im.Import(t.Context(), "bad:1")
			s.push("bad:1", types.OCILayerZStd, nil, web)
			im.Import(t.Context(), "bad:1")
		}, "bad:1 failed invalid, bad:1 done", ""},
		{"no image", func(t *testing.T, _ *store, im *Importer) { im.Import(t.Context(), "chart:1") }, "chart:1 done",
			"it is stored, and is no template"},
		{"trouble of the machine", func(t *testing.T, _ *store, im *Importer) {
			gone := filepath.Join(t.TempDir(), "gone")
			im.Catalog = mustCatalog(t, gone)
			os.RemoveAll(gone)
			im.Import(t.Context(), "web:1")
		}, "web:1 failed internal", "see its log"},
		{"took too long", func(t *testing.T, _ *store, im *Importer) {
			ctx, cancel := context.WithTimeout(t.Context(), 0)
			defer cancel()
			im.Mend(ctx, "web:1")
		}, "web:1 failed unavailable", "smaller image"},
		{"who asked went", func(t *testing.T, _ *store, im *Importer) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			im.Mend(ctx, "web:1")
		}, "web:1 dropped", "who asked for it went"},
		{"deleted while it waits", func(_ *testing.T, _ *store, im *Importer) {
			im.States.Waiting("web:1")
			im.States.Forget("web:1")
		}, "web:1 dropped", "was deleted"},
		{"deleted while it waits, then its turn comes", func(t *testing.T, s *store, im *Importer) {
			im.States.Waiting("web:1")
			delete(s.tags, "web:1")
			im.Import(t.Context(), "web:1")
		}, "web:1 dropped", "was deleted"},
		{"too many at once", func(_ *testing.T, _ *store, im *Importer) {
			im.States.Waiting("web:1")
			im.States.Missed("web:1")
		}, "web:1 failed exhausted", "push it again"},
		{"a start looks at what is there", func(t *testing.T, _ *store, im *Importer) {
			im.Import(t.Context(), "web:1")
			im.Import(t.Context(), "bad:1")
			for _, n := range []wire.TemplateName{"web:1", "bad:1", "chart:1", "none:1"} {
				im.Found(t.Context(), n)
			}
		}, "web:1 done, bad:1 failed invalid", ""},
		{"a start finds what was never imported", func(t *testing.T, s *store, im *Importer) {
			s.tags["same:1"] = s.tags["web:1"]
			for _, n := range []wire.TemplateName{"web:1", "same:1", "bad:1"} {
				im.Found(t.Context(), n)
			}
		}, "web:1 done, same:1 done, bad:1 failed invalid", ""},
		{"a start has better luck", func(t *testing.T, s *store, im *Importer) {
			im.Import(t.Context(), "bad:1")
			s.push("bad:1", types.OCILayerZStd, nil, web)
			im.Found(t.Context(), "bad:1")
		}, "bad:1 failed invalid, bad:1 done", ""},
		{"a start fails in another way", func(t *testing.T, s *store, im *Importer) {
			im.Import(t.Context(), "bad:1")
			s.push("bad:1", types.OCILayerZStd, func(c *v1.ConfigFile, _ *v1.Manifest) { c.OS = "windows" }, web)
			im.Found(t.Context(), "bad:1")
		}, "bad:1 failed invalid, bad:1 failed invalid", "windows"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStore()
				s.push("web:1", types.OCILayerZStd, nil, web)
				s.push("bad:1", types.OCILayerZStd, func(c *v1.ConfigFile, _ *v1.Manifest) { c.Architecture = "s390x" }, web)
				s.push("chart:1", types.OCILayerZStd, func(_ *v1.ConfigFile, m *v1.Manifest) {
					m.Config.MediaType = "application/vnd.cncf.helm.config.v1+json"
				}, web)
				im, _ := newImporter(t, &slowly{store: s})
				im.States, im.Now = OpenStates(filepath.Join(t.TempDir(), "imports.json"), nil, time.Now), time.Now
				c.do(t, s, im)
				if got := record(im.States); got != c.want {
					t.Errorf("got %q, want %q", got, c.want)
				}
				runs := im.States.Runs()
				if len(runs) > 0 && !strings.Contains(runs[0].Detail+runs[0].Reason+runs[0].Next, c.says) {
					t.Errorf("the last run is %+v, want it to say %q", runs[0], c.says)
				}
				for _, r := range runs {
					if bad := r.State == host.ImportFailed; bad != (r.Code != "") ||
						(bad || r.State == host.ImportDropped) != (r.Reason != "" && r.Next != "") || r.By == "" {
						t.Errorf("unfit run: %+v", r)
					}
				}
			})
		})
	}
}

// slowly is a Source that takes a moment to say where a name points, so that each run begins at another time; it sees a caller that went.
type slowly struct{ *store }

func (s *slowly) Resolve(ctx context.Context, name wire.TemplateName) (wire.Digest, error) {
	time.Sleep(time.Second) // the test's own clock
	return s.store.Resolve(ctx, name)
}

func (s *slowly) Manifest(ctx context.Context, name wire.TemplateName, d wire.Digest) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return s.store.Manifest(ctx, name, d)
}

// TestRecordUnderWay: while it is imported a run says how far it is; when the registry ends in the middle, it goes on under the same id.
func TestRecordUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		for _, n := range []string{"a:1", "b:1"} {
			s.push(wire.TemplateName(n), types.OCILayerZStd, nil, layerTar("bin/run", n))
		}
		g := newGate(s, "a:1", "b:1")
		im, _ := newImporter(t, g)
		path := filepath.Join(t.TempDir(), "imports.json")
		im.States = OpenStates(path, nil, time.Now)
		begin := func(ctx context.Context, do func(context.Context, wire.TemplateName) (host.Template, error)) (wait func()) {
			var all sync.WaitGroup
			for _, n := range []wire.TemplateName{"a:1", "b:1"} {
				all.Go(func() { do(ctx, n) })
			}
			synctest.Wait()
			return all.Wait
		}
		im.States.Waiting("a:1")
		time.Sleep(time.Second) // the test's own clock
		im.States.Waiting("b:1")
		if got := record(im.States); got != "a:1 waiting, b:1 waiting" {
			t.Errorf("pushed: %q", got)
		}
		ctx, cancel := context.WithCancel(t.Context())
		wait := begin(ctx, im.Import)
		cancel()
		wait()
		before := im.States.Runs()
		im.States = OpenStates(path, nil, time.Now)
		if got := record(im.States); got != "a:1 waiting, b:1 waiting" {
			t.Errorf("after a start: %q", got)
		}
		wait = begin(t.Context(), im.Found)
		g.mu.Lock()
		for n := range g.shut { // the configuration is read, the layer is not
			close(g.shut[n])
			g.shut[n] = make(chan struct{})
		}
		g.mu.Unlock()
		synctest.Wait()
		if got := record(im.States); got != "a:1 importing, b:1 importing" {
			t.Errorf("under way: %q", got)
		}
		for _, r := range im.States.Runs() {
			if r.Detail == "" || r.Deadline.Sub(r.Updated) != timeFor(0) || r.Code != "" {
				t.Errorf("under way: %+v", r)
			}
		}
		g.open("a:1")
		g.open("b:1")
		wait()
		after := im.States.Runs()
		if got := record(im.States); got != "a:1 done, b:1 done" || after[0].ID != before[0].ID || after[1].ID != before[1].ID {
			t.Errorf("got %q, %+v, before the start %+v", got, after, before)
		}
	})
}

func mustCatalog(t *testing.T, dir string) *catalog.Catalog {
	t.Helper()
	c, err := catalog.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
