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
	"maps"
	"slices"
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

// ErrArtifact: what was pushed is stored, but is nothing to run: a signature, a bill of materials, a chart.
var ErrArtifact = fmt.Errorf("%w: there is nothing to run in it", flatten.ErrImage)

// Time is what one import has from its beginning, beside a second for each slowest bytes of its layers as they were pushed: an image of
// many gigabytes takes long on a machine that has much else to do, and is no failure.
const (
	Time    = 10 * time.Minute
	slowest = 128 << 10
)

// timeFor is the deadline of an import of so many bytes of layers.
func timeFor(packed int64) time.Duration { return Time + time.Duration(packed/slowest)*time.Second }

// Importer imports images, several at once as far as memory allows (lanes.go).
type Importer struct {
	Source  Source
	Catalog *catalog.Catalog
	Limits  flatten.Limits
	States  *States
	Log     *slog.Logger
	Now     func() time.Time

	lanes   lanes
	flights flights
	record  sync.Mutex // held while it is looked where a name points to and the template is recorded: the last push wins
}

// Import makes the template name of the image pushed under that name. An image that was imported already is not read again.
func (im *Importer) Import(ctx context.Context, name wire.TemplateName) (host.Template, error) {
	return im.imported(ctx, name, pushed)
}

// Found is Import for a name that was pushed in an earlier life of the registry, and in most cases imported too.
func (im *Importer) Found(ctx context.Context, name wire.TemplateName) (host.Template, error) {
	return im.imported(ctx, name, found)
}

// Tagged is Import for another name of an image, which in most cases was imported by the first.
func (im *Importer) Tagged(ctx context.Context, name wire.TemplateName) (host.Template, error) {
	return im.imported(ctx, name, tagged)
}

// Mend is Import for a person who asks for it: an image that was imported already is read, and made anew if the disk has damaged it.
func (im *Importer) Mend(ctx context.Context, name wire.TemplateName) (host.Template, error) {
	return im.imported(ctx, name, asked)
}

func (im *Importer) imported(ctx context.Context, name wire.TemplateName, why cause) (t host.Template, err error) {
	e, end := im.States.begin(name, why)
	defer func() {
		if end(t, err); err != nil {
			err = fmt.Errorf("import %q: %w", name, err)
		}
	}()
	for mend := why == asked; ; {
		d, err := im.Source.Resolve(ctx, name)
		if err != nil {
			return t, err
		}
		im.States.resolved(e, why, d)
		other, land := im.flights.join(d)
		if land != nil {
			t, err := im.once(ctx, &task{name: name, why: why, e: e}, d, mend)
			land(err)
			if errors.Is(err, errPushed) {
				continue
			}
			return t, err
		}
		select {
		case <-other.done:
		case <-ctx.Done():
			return t, ctx.Err()
		}
		if errors.Is(other.err, flatten.ErrImage) {
			return t, other.err
		}
		mend = mend && other.err != nil // it was made a moment ago
	}
}

// errPushed: meanwhile the name points to another image.
var errPushed = errors.New("another image was pushed under the name meanwhile")

// task is the import of one name, and why it is.
type task struct {
	name wire.TemplateName
	why  cause
	e    *state
}

// once imports d; nobody else does at the same time.
func (im *Importer) once(ctx context.Context, of *task, d wire.Digest, mend bool) (host.Template, error) {
	log := logging.Or(im.Log).With("template", of.name)
	if t, ok := im.Catalog.ByOCI(d); ok {
		var err error
		if mend {
			err = im.Catalog.Check(ctx, t.Digest)
		}
		switch {
		case errors.Is(err, catalog.ErrDamaged), errors.Is(err, catalog.ErrNone):
			log.Error("image is made anew", logging.Err, err)
		case err != nil || t.Name == of.name:
			return t, err
		default:
			im.States.worked(of.e, of.why)
			t.Name = of.name
			if err := im.put(ctx, t); err == nil {
				log.Info("template has the image of another", "digest", t.Digest)
				return t, nil
			} else if !errors.Is(err, catalog.ErrNone) { // else it was deleted at this moment
				return t, err
			}
		}
	}
	start := time.Now()
	t, err := im.make(ctx, of, d)
	if err == nil {
		err = im.put(ctx, t)
	}
	if err != nil {
		return host.Template{}, err
	}
	log.Info("template imported", "digest", t.Digest, "bytes", t.Bytes, "notes", len(t.Notes), logging.Took, time.Since(start))
	return t, nil
}

// put records t, unless its name points to another image by now.
func (im *Importer) put(ctx context.Context, t host.Template) error {
	im.record.Lock()
	defer im.record.Unlock()
	if d, err := im.Source.Resolve(ctx, t.Name); err != nil || d != t.OCI {
		return errors.Join(err, errPushed)
	}
	return im.Catalog.Put(t)
}

// job is one import with what it may take.
type job struct {
	src    Source
	name   wire.TemplateName
	limits flatten.Limits
	window uint64
	seen   func(int)
}

// make imports d in the lane for small images, or in that for large ones when its size says so, or when the small limits turn out too
// small.
func (im *Importer) make(ctx context.Context, of *task, d wire.Digest) (host.Template, error) {
	packed := int64(0)
	in := func(large bool, work func(context.Context, *job) (host.Template, error)) (host.Template, error) {
		leave, err := im.lanes.enter(ctx, large)
		if err != nil {
			return host.Template{}, err
		}
		defer leave()
		j := &job{src: im.Source, name: of.name, limits: im.Limits, window: maxZstdFrame}
		if !large {
			j.limits, j.window = small(im.Limits), smallWindow
		}
		return work(ctx, j)
	}
	work := func(ctx context.Context, j *job) (host.Template, error) {
		loading, cancel := context.WithTimeout(ctx, Time)
		defer cancel()
		img, err := loadImage(loading, im.Source, of.name, d)
		if err != nil {
			return host.Template{}, err
		}
		for _, l := range img.layers {
			packed += l.size
		}
		if packed > smallPacked && j.window == smallWindow {
			return host.Template{}, flatten.ErrLimit
		}
		ctx, cancel = context.WithTimeout(ctx, timeFor(packed))
		defer cancel()
		seen, ended := im.States.making(of.e, of.why, packed)
		defer ended()
		j.seen = seen
		return im.build(ctx, j, img, d)
	}
	t, err := in(false, work)
	if errors.Is(err, flatten.ErrLimit) {
		packed = 0
		t, err = in(true, work)
	}
	return t, err
}

func (im *Importer) build(ctx context.Context, j *job, img *image, d wire.Digest) (host.Template, error) {
	tree := flatten.New(j.limits)
	budget := &budget{j.limits.Archive, j.limits.Archive}
	for _, l := range img.layers {
		if err := l.read(ctx, j, budget, func(r io.Reader) error { return tree.AddLayer(ctx, r) }); err != nil {
			return host.Template{}, err
		}
	}
	t, err := describe(img.config.Config)
	if err != nil {
		return host.Template{}, err
	}
	// A program counts on the directories of its volumes (OCI image-spec, config.md, "Volumes"), whether or not a layer has them.
	for _, v := range slices.Sorted(maps.Keys(img.config.Config.Volumes)) {
		if err := tree.Directory(v); err != nil {
			return host.Template{}, fmt.Errorf("volume %.200q: %w", v, err)
		}
	}
	plan, err := erofs.Lay(tree.Root())
	if err != nil {
		return host.Template{}, fmt.Errorf("%w: %v", flatten.ErrImage, err)
	}
	if plan.Size() > j.limits.Bytes {
		return host.Template{}, fmt.Errorf("%w: has %d bytes unpacked, at most %d are allowed", flatten.ErrImage, plan.Size(),
			j.limits.Bytes)
	}
	t.Name, t.OCI, t.Bytes, t.Imported, t.Notes = j.name, d, plan.Size(), im.Now().UTC().Truncate(time.Second), tree.Notes()
	t.Digest, err = im.Catalog.Build(ctx, plan.Size(), func(w catalog.Image) error {
		if err := im.fill(ctx, j, img, plan, d, w); err != nil {
			return err
		}
		return (&inside{tree, plan, w}).complete(img.config.Config, &t)
	})
	return t, err
}

// fill reads all layers again and writes the image.
func (im *Importer) fill(ctx context.Context, j *job, img *image, plan *erofs.Plan, d wire.Digest, w io.WriterAt) error {
	fill, budget, buf := flatten.NewFill(plan), &budget{j.limits.Archive, j.limits.Archive}, make([]byte, 256<<10)
	for _, l := range img.layers {
		err := l.read(ctx, j, budget, func(r io.Reader) error {
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
