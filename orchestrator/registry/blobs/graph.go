package blobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"

	"hardnode.dev/orchestrator/registry/importer"
)

// links are what a manifest names (OCI image-spec, manifest.md and image-index.md).
type links struct {
	MediaType    string            `json:"mediaType"`
	ArtifactType string            `json:"artifactType"`
	Annotations  map[string]string `json:"annotations"`
	Config       link              `json:"config"`
	Layers       []link            `json:"layers"`
	Manifests    []link            `json:"manifests"`
	Blobs        []link            `json:"blobs"`
	Subject      link              `json:"subject"`

	size int64
}

type link struct {
	MediaType string        `json:"mediaType"`
	Digest    digest.Digest `json:"digest"`
}

// below are the digests of a manifest's parts: the manifest is of no use without them.
func (l links) below() (out []digest.Digest) {
	for _, all := range [][]link{{l.Config}, l.Layers, l.Manifests, l.Blobs} {
		for _, one := range all {
			if one.Digest != "" {
				out = append(out, one.Digest)
			}
		}
	}
	return out
}

// graph is one repository: its manifests, and the tags that point to them.
type graph struct {
	name      string
	manifests map[digest.Digest]links
	tags      map[string]digest.Digest
	dead      []string // tags that point nowhere: making or deleting one was interrupted
}

// graph reads a repository. A manifest that can't be read is an error: nothing may be concluded then.
func (s *Store) graph(ctx context.Context, name string) (*graph, error) {
	repo, _, err := s.open(ctx, name)
	if err != nil {
		return nil, err
	}
	g := &graph{name: name, manifests: map[digest.Digest]links{}, tags: map[string]digest.Digest{}}
	var broken error
	err = s.manifests(ctx, name, func(d string) error {
		var l links
		if l, broken = s.links(ctx, name, digest.Digest(d)); broken != nil {
			return broken
		}
		g.manifests[digest.Digest(d)] = l
		return nil
	})
	if err = errors.Join(broken, err); err != nil {
		return nil, fmt.Errorf("read repository %q: %w", name, err)
	}
	tags, err := repo.Tags(ctx).All(ctx)
	if err = known(err); err != nil && !errors.Is(err, importer.ErrNone) {
		return nil, fmt.Errorf("read tags of %q: %w", name, err)
	}
	for _, tag := range tags {
		d, err := repo.Tags(ctx).Get(ctx, tag)
		switch err = known(err); {
		case errors.Is(err, importer.ErrNone):
			g.dead = append(g.dead, tag)
		case err != nil:
			return nil, fmt.Errorf("read tag %s:%s: %w", name, tag, err)
		default:
			g.tags[tag] = d.Digest
		}
	}
	return g, nil
}

// links reads one manifest.
func (s *Store) links(ctx context.Context, name string, d digest.Digest) (links, error) {
	_, ms, err := s.open(ctx, name)
	if err != nil {
		return links{}, err
	}
	m, err := ms.Get(ctx, d)
	if err != nil {
		return links{}, fmt.Errorf("manifest %s: %w", d, known(err))
	}
	_, raw, err := m.Payload()
	if err != nil {
		return links{}, fmt.Errorf("manifest %s: %v", d, err)
	}
	l := links{size: int64(len(raw))}
	if err := json.Unmarshal(raw, &l); err != nil {
		return links{}, fmt.Errorf("manifest %s: %v", d, err)
	}
	return l, nil
}

// reach are the roots and all that they need: the parts of manifests, and what is said of a manifest that is reached (its subject).
func (g *graph) reach(roots ...digest.Digest) map[digest.Digest]bool {
	seen, of := map[digest.Digest]bool{}, map[digest.Digest][]digest.Digest{}
	for d, m := range g.manifests {
		if m.Subject.Digest != "" {
			of[m.Subject.Digest] = append(of[m.Subject.Digest], d)
		}
	}
	for todo := slices.Clone(roots); len(todo) > 0; {
		d := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if seen[d] {
			continue
		}
		seen[d] = true
		if m, ok := g.manifests[d]; ok {
			todo = append(todo, m.below()...)
		}
		todo = append(todo, of[d]...)
	}
	return seen
}
