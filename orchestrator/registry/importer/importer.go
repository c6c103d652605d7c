// Package importer makes a template of a pushed OCI image: one erofs file and a record of what it runs.
//
// Owns: the order of an import: manifest, configuration, names of all layers, layout, contents, record; and its limits.
// In: a template's name, an image's parts by digest (Source).
// Out: a Template in the catalog; an error that wraps flatten.ErrImage when the image itself is at fault.
// Never: unpacks onto a file system, runs what is in the image, or trusts a size or digest it has not checked.
package importer

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/orchestrator/registry/catalog"
	"hardnode.dev/orchestrator/registry/erofs"
	"hardnode.dev/orchestrator/registry/flatten"
)

// ErrNone: no such image was pushed.
var ErrNone = errors.New("no such image was pushed")

// Source gives the parts of pushed images. name is repository:tag.
type Source interface {
	// Resolve is the digest of the manifest that name points to; ErrNone if there is none.
	Resolve(ctx context.Context, name wire.TemplateName) (wire.Digest, error)
	// Manifest is a manifest's bytes, which hash to d.
	Manifest(ctx context.Context, name wire.TemplateName, d wire.Digest) ([]byte, error)
	// Blob opens a layer or configuration.
	Blob(ctx context.Context, name wire.TemplateName, d wire.Digest) (io.ReadCloser, error)
}

// Importer imports one image at a time.
type Importer struct {
	Source  Source
	Catalog *catalog.Catalog
	Limits  flatten.Limits
	Log     *slog.Logger
	Now     func() time.Time

	mu sync.Mutex // held for one import
}

// Import makes the template name of the image pushed under that name. An image that was imported already is not read again.
func (im *Importer) Import(ctx context.Context, name wire.TemplateName) (host.Template, error) {
	im.mu.Lock()
	defer im.mu.Unlock()
	return im.imported(ctx, name)
}

// Mend is Import for a person who asks for it: an image that was imported already is read, and made anew if the disk has damaged it.
func (im *Importer) Mend(ctx context.Context, name wire.TemplateName) (host.Template, error) {
	im.mu.Lock()
	defer im.mu.Unlock()
	d, err := im.Source.Resolve(ctx, name)
	if err != nil {
		return host.Template{}, fmt.Errorf("import %q: %w", name, err)
	}
	if t, ok := im.Catalog.ByOCI(d); ok {
		err := im.Catalog.Check(ctx, t.Digest)
		if errors.Is(err, catalog.ErrDamaged) || errors.Is(err, catalog.ErrNone) {
			logging.Or(im.Log).Error("image is made anew", "template", name, logging.Err, err)
			if t, err = im.make(ctx, name, d); err == nil {
				err = im.Catalog.Put(t)
			}
		}
		if err != nil {
			return host.Template{}, fmt.Errorf("import %q: %w", name, err)
		}
	}
	return im.imported(ctx, name)
}

func (im *Importer) imported(ctx context.Context, name wire.TemplateName) (host.Template, error) {
	log := logging.Or(im.Log).With("template", name)
	d, err := im.Source.Resolve(ctx, name)
	if err != nil {
		return host.Template{}, fmt.Errorf("import %q: %w", name, err)
	}
	if t, ok := im.Catalog.ByOCI(d); ok {
		if t.Name == name {
			return t, nil
		}
		t.Name = name
		if err := im.Catalog.Put(t); err != nil {
			return host.Template{}, err
		}
		log.Info("template has the image of another", "digest", t.Digest)
		return t, nil
	}
	start := time.Now()
	t, err := im.make(ctx, name, d)
	if err != nil {
		return host.Template{}, fmt.Errorf("import %q: %w", name, err)
	}
	if err := im.Catalog.Put(t); err != nil {
		return host.Template{}, fmt.Errorf("import %q: %w", name, err)
	}
	log.Info("template imported", "digest", t.Digest, "bytes", t.Bytes, "notes", len(t.Notes), logging.Took, time.Since(start))
	return t, nil
}

func (im *Importer) make(ctx context.Context, name wire.TemplateName, d wire.Digest) (host.Template, error) {
	img, err := loadImage(ctx, im.Source, name, d)
	if err != nil {
		return host.Template{}, err
	}
	tree := flatten.New(im.Limits)
	budget := &budget{im.Limits.Archive, im.Limits.Archive}
	for _, l := range img.layers {
		if err := l.read(ctx, im.Source, name, budget, func(r io.Reader) error { return tree.AddLayer(ctx, r) }); err != nil {
			return host.Template{}, err
		}
	}
	t, err := describe(img.config.Config)
	if err != nil {
		return host.Template{}, err
	}
	plan, err := erofs.Lay(tree.Root())
	if err != nil {
		return host.Template{}, fmt.Errorf("%w: %v", flatten.ErrImage, err)
	}
	if plan.Size() > im.Limits.Bytes {
		return host.Template{}, fmt.Errorf("%w: has %d bytes unpacked, at most %d are allowed", flatten.ErrImage, plan.Size(), im.Limits.Bytes)
	}
	t.Name, t.OCI, t.Bytes, t.Imported, t.Notes = name, d, plan.Size(), im.Now().UTC().Truncate(time.Second), tree.Notes()
	t.Digest, err = im.Catalog.Build(ctx, plan.Size(), func(w catalog.Image) error {
		if err := im.fill(ctx, name, img, plan, d, w); err != nil {
			return err
		}
		return (&inside{tree, plan, w}).complete(img.config.Config, &t)
	})
	return t, err
}

// fill reads all layers again and writes the image.
func (im *Importer) fill(ctx context.Context, name wire.TemplateName, img *image, plan *erofs.Plan, d wire.Digest, w io.WriterAt) error {
	fill, budget, buf := flatten.NewFill(plan), &budget{im.Limits.Archive, im.Limits.Archive}, make([]byte, 256<<10)
	for _, l := range img.layers {
		err := l.read(ctx, im.Source, name, budget, func(r io.Reader) error {
			return fill.Layer(ctx, r, func(n *erofs.Node, e erofs.Extent, r io.Reader) error { return plan.WriteExtent(w, n, e, r, buf) })
		})
		if err != nil {
			return err
		}
	}
	if err := fill.Done(); err != nil {
		return err
	}
	sum := sha256.Sum256([]byte("hardnode template " + string(d)))
	return plan.WriteMeta(w, [16]byte(sum[:16]))
}
