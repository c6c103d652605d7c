// Package blobs is the OCI distribution API over a folder: the embedded distribution registry (OCI distribution-spec 1.1).
//
// Owns: how that registry is set up, and reading back what was pushed.
// In: a folder; HTTP requests below /v2/ that were let in already.
// Out: the HTTP handler; an error as the API words it (Refuse); manifests and blobs as importer.Source; what a deletion and a collection
// removed.
// Never: checks who asks (package serve does), removes what a tag reaches or a push under way may need, or redirects.
package blobs

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/distribution/distribution/v3"
	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"
	"github.com/distribution/distribution/v3/registry/storage"
	"github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	"github.com/sirupsen/logrus"

	"hardnode.dev/internal/wire"
	"hardnode.dev/orchestrator/registry/importer"
)

// Store is the registry's content.
type Store struct {
	dir    string
	app    *handlers.App
	ns     distribution.Namespace
	driver driver.StorageDriver
	flight *flight
	now    func() time.Time
	step   func(string) error // tests end the program here; nil: nobody does

	// commit is held for reading while a manifest is stored, for writing while it is decided what nothing needs, and that is removed.
	commit sync.RWMutex
}

// Open sets the registry up over dir.
func Open(ctx context.Context, dir string) (*Store, error) {
	logrus.SetLevel(logrus.WarnLevel) // the library logs each request otherwise
	config := &configuration.Configuration{
		Storage: configuration.Storage{
			"filesystem":  {"rootdirectory": dir},
			"maintenance": {"uploadpurging": map[any]any{"enabled": true, "age": "24h", "interval": "6h", "dryrun": false}},
			"redirect":    {"disable": true},
		},
	}
	// Layers that are not to be distributed say where they are (OCI image-spec, layer.md): the registry only stores the address. The
	// importer refuses them: a template is whole.
	config.Validation.Manifests.URLs.Allow = []string{"^https?://"}
	config.HTTP.Secret = rand.Text() // signs upload state; no other registry shares it
	app, err := open(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("open registry at %q: %v", dir, err)
	}
	files := filesystem.New(filesystem.DriverParameters{RootDirectory: dir, MaxThreads: 100})
	ns, err := storage.NewRegistry(ctx, files, storage.EnableDelete)
	if err != nil {
		return nil, fmt.Errorf("open registry at %q: %v", dir, err)
	}
	return &Store{dir: dir, app: app, ns: ns, driver: files, flight: newFlight(time.Now()), now: time.Now}, nil
}

// open turns the library's panics over its configuration into errors.
func open(ctx context.Context, config *configuration.Configuration) (app *handlers.App, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	return handlers.NewApp(ctx, config), nil
}

// Close ends the library's background work.
func (s *Store) Close() error { return s.app.Shutdown() }

func (s *Store) repository(ctx context.Context, name wire.TemplateName) (distribution.Repository, string, error) {
	named, err := reference.WithName(repositoryOf(name))
	if err != nil {
		return nil, "", fmt.Errorf("open repository %q: %w: %v", name, importer.ErrNone, err)
	}
	repo, err := s.ns.Repository(ctx, named)
	if err != nil {
		return nil, "", fmt.Errorf("open repository %q: %v", name, err)
	}
	return repo, tagOf(name), nil
}

// Resolve is the digest of the manifest that name (repository:tag, no tag is latest) points to.
func (s *Store) Resolve(ctx context.Context, name wire.TemplateName) (wire.Digest, error) {
	repo, tag, err := s.repository(ctx, name)
	if err != nil {
		return "", err
	}
	d, err := repo.Tags(ctx).Get(ctx, tag)
	if err != nil {
		return "", known(err)
	}
	return wire.Digest(d.Digest), wire.Digest(d.Digest).Validate()
}

// Manifest is a manifest's bytes.
func (s *Store) Manifest(ctx context.Context, name wire.TemplateName, d wire.Digest) ([]byte, error) {
	repo, _, err := s.repository(ctx, name)
	if err != nil {
		return nil, err
	}
	ms, err := repo.Manifests(ctx)
	if err != nil {
		return nil, fmt.Errorf("read manifest %s: %v", d, err)
	}
	m, err := ms.Get(ctx, digest.Digest(d))
	if err != nil {
		return nil, known(err)
	}
	_, raw, err := m.Payload()
	return raw, err
}

// Blob opens a layer or configuration.
func (s *Store) Blob(ctx context.Context, name wire.TemplateName, d wire.Digest) (io.ReadCloser, error) {
	repo, _, err := s.repository(ctx, name)
	if err != nil {
		return nil, err
	}
	f, err := repo.Blobs(ctx).Open(ctx, digest.Digest(d))
	if err != nil {
		return nil, known(err)
	}
	return f, nil
}

// Names are all repository:tag pairs that can be templates.
func (s *Store) Names(ctx context.Context) ([]wire.TemplateName, error) {
	repos, err := s.repositories(ctx)
	if err != nil {
		return nil, fmt.Errorf("list repositories: %v", err)
	}
	var out []wire.TemplateName
	for _, repo := range repos {
		tags, err := s.tagsOf(ctx, repo)
		if err != nil && !errors.Is(err, importer.ErrNone) {
			return nil, fmt.Errorf("list tags of %q: %v", repo, err)
		}
		for _, tag := range tags {
			if n := wire.TemplateName(repo + ":" + tag); n.Validate() == nil {
				out = append(out, n)
			}
		}
	}
	return out, nil
}
