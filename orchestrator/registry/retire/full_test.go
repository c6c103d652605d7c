package retire

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"hardnode.dev/internal/testkit/full"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/orchestrator/registry/blobs"
	"hardnode.dev/orchestrator/registry/catalog"
	"hardnode.dev/orchestrator/registry/importer"
)

// TestDeleteOnFullDisk: a deletion whose record has no room says so; done again once there is room, it ends what was begun, by tag and by
// digest. Where a collection makes room, it ends at once.
func TestDeleteOnFullDisk(t *testing.T) {
	for _, by := range []string{"tag", "digest", "tag, and a collection makes room"} {
		t.Run(by, func(t *testing.T) {
			dir, disk, now := t.TempDir(), full.Disk(t, 128), time.Now()
			must := func(err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
			}
			store, err := blobs.Open(t.Context(), filepath.Join(dir, "blobs"))
			must(err)
			defer store.Close()
			srv := httptest.NewServer(store)
			defer srv.Close()
			c, err := catalog.Open(disk, nil)
			must(err)
			image := func(text string) wire.Digest {
				d, err := c.Build(t.Context(), int64(len(text)), func(w catalog.Image) error {
					_, err := w.WriteAt([]byte(text), 0)
					return err
				})
				must(err)
				return d
			}
			for _, tag := range []string{"1", "2"} {
				img, err := random.Image(100, 1)
				must(err)
				ref, err := name.ParseReference(strings.TrimPrefix(srv.URL, "http://") + "/web:" + tag)
				must(err)
				must(remote.Write(ref, img))
				oci, err := store.Resolve(t.Context(), wire.TemplateName("web:"+tag))
				must(err)
				must(c.Put(host.Template{Image: host.Image{Name: wire.TemplateName("web:" + tag), Digest: image("image of " + tag),
					Bytes: 10}, OCI: oci, Profile: host.ProfileApp, Process: host.Process{Argv: []string{"x"}}}))
			}
			k := &Keeper{OCI: store, Catalog: c, States: importer.OpenStates(filepath.Join(dir, "imports.json"), nil, time.Now),
				Now: func() time.Time { return now }}
			k.Told(host.Used{})
			ref := "1"
			if by == "digest" {
				d, err := store.Resolve(t.Context(), "web:1")
				must(err)
				ref = string(d)
			}
			room := strings.HasSuffix(by, "room")
			if room { // an image that no template names, and nobody uses
				old := image(strings.Repeat("old", 3000))
				c, err = catalog.Open(disk, nil) // it was not built just now
				must(err)
				k.Catalog = c
				k.since(old, time.Time{})
			}
			free := full.Fill(t, disk, 0)
			freed, err := k.Delete(t.Context(), "web", ref, true)
			if room != (err == nil) || !room && !errors.Is(err, catalog.ErrFull) {
				t.Fatalf("on a full disk: %+v, %v", freed, err)
			}
			if list := c.List(); len(list) == 0 || list[len(list)-1].Name != "web:2" {
				t.Errorf("on a full disk the list is %+v", list)
			}
			free()
			if !room {
				if freed, err = k.Delete(t.Context(), "web", ref, true); err != nil {
					t.Fatalf("with room: %v", err)
				}
			}
			if fmt.Sprint(freed.Names) != "[web:1]" || freed.Images == 0 || len(c.List()) != 1 {
				t.Errorf("got %+v, and the list is %+v", freed, c.List())
			}
			if _, err := k.Delete(t.Context(), "web", ref, true); !errors.Is(err, importer.ErrNone) {
				t.Errorf("deleted once more: %v", err)
			}
			if _, err := store.Resolve(t.Context(), "web:2"); err != nil {
				t.Errorf("what stays: %v", err)
			}
		})
	}
}
