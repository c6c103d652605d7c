package importer

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"runtime"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"hardnode.dev/internal/wire"
	"hardnode.dev/orchestrator/registry/flatten"
)

// Limits of an image's parts.
const (
	maxManifest  = 4 << 20
	maxConfig    = 8 << 20
	maxLayers    = 127
	maxLevels    = 4 // indexes within indexes
	maxZstdFrame = 128 << 20
)

// image is a manifest with its configuration.
type image struct {
	config v1.ConfigFile
	layers []layer
}

type layer struct {
	digest wire.Digest
	size   int64
	media  types.MediaType
	diffID wire.Digest
}

func bad(format string, args ...any) error {
	return fmt.Errorf("%w: %v", flatten.ErrImage, fmt.Sprintf(format, args...))
}

// loadImage reads manifest and configuration; of an index, the manifest for this machine's architecture.
func loadImage(ctx context.Context, src Source, name wire.TemplateName, d wire.Digest) (*image, error) {
	m, err := loadManifest(ctx, src, name, d, maxLevels)
	if err != nil {
		return nil, err
	}
	if m.Config.Size > maxConfig || len(m.Layers) > maxLayers {
		return nil, bad("configuration of %d bytes (at most %d), %d layers (at most %d)", m.Config.Size, maxConfig,
			len(m.Layers), maxLayers)
	}
	img := &image{}
	cfg := layer{digest: wire.Digest(m.Config.Digest.String()), size: m.Config.Size}
	err = cfg.verified(ctx, src, name, nil, func(r io.Reader) error {
		if err := json.NewDecoder(r).Decode(&img.config); err != nil {
			return bad("configuration %s: %v", cfg.digest, err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if c := img.config; c.OS != "linux" || c.Architecture != runtime.GOARCH {
		return nil, bad("is for %s/%s, this cluster runs linux/%s", cmp.Or(c.OS, "an unnamed system"),
			cmp.Or(c.Architecture, "an unnamed processor"), runtime.GOARCH)
	}
	if len(img.config.RootFS.DiffIDs) != len(m.Layers) {
		return nil, bad("manifest has %d layers, configuration %d", len(m.Layers), len(img.config.RootFS.DiffIDs))
	}
	for i, l := range m.Layers {
		img.layers = append(img.layers,
			layer{wire.Digest(l.Digest.String()), l.Size, l.MediaType, wire.Digest(img.config.RootFS.DiffIDs[i].String())})
	}
	return img, nil
}

// loadManifest reads the manifest d; of an index, of however many levels, that of the image for this machine's platform (OCI image-index).
func loadManifest(ctx context.Context, src Source, name wire.TemplateName, d wire.Digest, levels int) (*v1.Manifest, error) {
	raw, err := src.Manifest(ctx, name, d)
	if err != nil {
		return nil, err
	}
	if len(raw) > maxManifest || wire.DigestOf(sha256.Sum256(raw)) != d {
		return nil, bad("manifest %s: its %d bytes don't match the digest or are more than %d", d, len(raw), maxManifest)
	}
	var m struct {
		v1.Manifest
		ArtifactType string           `json:"artifactType"`
		Subject      *v1.Descriptor   `json:"subject"`
		Manifests    *[]v1.Descriptor `json:"manifests"`
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, bad("manifest %s: %v", d, err)
	}
	if m.Manifests == nil {
		if kind, is := artifact(&m.Manifest, m.ArtifactType, m.Subject != nil); is {
			return nil, fmt.Errorf("%w: manifest %s: holds an artifact of type %q", ErrArtifact, d, kind)
		}
		return &m.Manifest, nil
	}
	if m.ArtifactType != "" || m.Subject != nil {
		return nil, fmt.Errorf("%w: index %s: holds artifacts of type %q", ErrArtifact, d, cmp.Or(m.ArtifactType, "unknown"))
	}
	var has []string
	for _, e := range *m.Manifests {
		if e.ArtifactType != "" || e.Annotations["vnd.docker.reference.type"] != "" { // an attestation beside an image
			continue
		}
		index := e.MediaType.IsIndex()
		switch {
		case e.Platform == nil && !index && len(*m.Manifests) > 1:
			has = append(has, "one without a platform")
			continue
		case e.Platform != nil && (e.Platform.OS != "linux" || e.Platform.Architecture != runtime.GOARCH):
			has = append(has, e.Platform.String())
			continue
		case index && levels == 0:
			return nil, bad("index %s: has more than %d levels of indexes", d, maxLevels)
		}
		found, err := loadManifest(ctx, src, name, wire.Digest(e.Digest.String()), levels-1)
		var none *noPlatform
		if errors.As(err, &none) { // another index may have it
			has = append(has, none.has...)
			continue
		}
		if errors.Is(err, ErrNone) {
			return nil, bad("index %s: its manifest %s for linux/%s is not in the registry: push the image with all its parts", d, e.Digest,
				runtime.GOARCH)
		}
		return found, err
	}
	return nil, &noPlatform{d, has}
}

// artifact tells whether a manifest is something else than an image to run, and what: a signature, a bill of materials, a chart. Older
// tools sign with an image's configuration type and layers of their own (OCI image-spec, "Guidelines for Artifact Usage").
func artifact(m *v1.Manifest, of string, subject bool) (kind string, is bool) {
	kind = cmp.Or(of, string(m.Config.MediaType), "unknown")
	if of != "" || subject || !m.Config.MediaType.IsConfig() {
		return kind, true
	}
	for _, l := range m.Layers {
		media := string(l.MediaType)
		if l.MediaType.IsLayer() || strings.Contains(media, ".image.") || !strings.HasPrefix(media, "application/vnd.") {
			return "", false
		}
		kind = media
	}
	return kind, len(m.Layers) > 0
}

// noPlatform says that an index has no image for this machine.
type noPlatform struct {
	index wire.Digest
	has   []string
}

func (e *noPlatform) Error() string {
	have := "it is empty"
	if len(e.has) > 0 {
		have = "it has " + strings.Join(e.has[:min(len(e.has), 10)], ", ")
	}
	return bad("index %s: has no image for linux/%s: %.500s", e.index, runtime.GOARCH, have).Error()
}

func (e *noPlatform) Unwrap() error { return flatten.ErrImage }

// verified gives the blob's bytes to use, all of which must hash to its digest; seen, if there is one, is told how many were read.
func (l layer) verified(ctx context.Context, src Source, name wire.TemplateName, seen func(int), use func(io.Reader) error) error {
	if err := l.digest.Validate(); err != nil {
		return bad("%v", err)
	}
	f, err := src.Blob(ctx, name, l.digest)
	if err != nil {
		return fmt.Errorf("open blob %s: %w", l.digest, err)
	}
	defer f.Close()
	h := sha256.New()
	n := &counted{r: io.LimitReader(f, l.size+1), seen: seen}
	r := io.TeeReader(n, h)
	if err := use(r); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, r); err != nil {
		return fmt.Errorf("read blob %s: %w", l.digest, err)
	}
	if n.n != l.size {
		return bad("blob %s: its descriptor says %d bytes, it has %s%d", l.digest, l.size,
			map[bool]string{true: "at least "}[n.n > l.size], n.n)
	}
	return l.match("blob", l.digest, h)
}

// counted counts what is read.
type counted struct {
	r    io.Reader
	n    int64
	seen func(int) // may be nil
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	if c.n += int64(n); c.seen != nil {
		c.seen(n)
	}
	return n, err
}

func (l layer) match(what string, want wire.Digest, h hash.Hash) error {
	if got := wire.DigestOf([32]byte(h.Sum(nil))); got != want {
		return bad("%s %s: its content hashes to %s", what, want, got)
	}
	return nil
}

// read gives the unpacked layer to use and checks both digests.
func (l layer) read(ctx context.Context, j *job, b *budget, use func(io.Reader) error) error {
	return l.verified(ctx, j.src, j.name, j.seen, func(packed io.Reader) error {
		r, done, err := unpack(l.media, packed, j.window)
		if err != nil {
			return fmt.Errorf("layer %s: %w", l.digest, err)
		}
		defer done()
		h := sha256.New()
		tee := io.TeeReader(&limited{r, b}, h)
		if err := use(tee); err != nil {
			return fmt.Errorf("layer %s: %w", l.digest, err)
		}
		if _, err := io.Copy(io.Discard, tee); err != nil { // padding behind the archive
			return fmt.Errorf("layer %s: %w", l.digest, err)
		}
		return l.match("layer", l.diffID, h)
	})
}

// unpack undoes a layer's compression. A zstd frame may refer to so many bytes behind it: they are kept in memory.
func unpack(media types.MediaType, r io.Reader, window uint64) (io.Reader, func(), error) {
	switch media {
	case types.OCIUncompressedLayer, types.DockerUncompressedLayer:
		return r, func() {}, nil
	case types.OCILayer, types.DockerLayer:
		z, err := gzip.NewReader(r)
		if err != nil {
			return nil, nil, bad("gzip: %v", err)
		}
		return faulty{z}, func() { z.Close() }, nil
	case types.OCILayerZStd, "application/vnd.docker.image.rootfs.diff.tar.zstd":
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(window), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, nil, bad("zstd: %v", err)
		}
		return faulty{z}, z.Close, nil
	}
	if strings.Contains(string(media), "nondistributable") || strings.Contains(string(media), "foreign") {
		return nil, nil, bad("media type %s: its content is not in the registry", media)
	}
	return nil, nil, bad("media type %q is not known", media)
}

// faulty marks the errors of a decompressor as the image's.
type faulty struct{ r io.Reader }

func (f faulty) Read(b []byte) (int, error) {
	n, err := f.r.Read(b)
	switch {
	case errors.Is(err, zstd.ErrWindowSizeExceeded) || errors.Is(err, zstd.ErrDecoderSizeExceeded):
		err = flatten.Over("unpack: %v", err)
	case err != nil && err != io.EOF:
		err = bad("unpack: %v", err)
	}
	return n, err
}

// budget is how many more bytes an image's layers may unpack to. There is no bound on the ratio: a hole packs to almost nothing.
type budget struct{ left, of int64 }

type limited struct {
	r io.Reader
	b *budget
}

func (l *limited) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	if l.b.left -= int64(n); l.b.left < 0 {
		return 0, flatten.Over("its layers unpack to more than %d bytes", l.b.of)
	}
	return n, err
}
