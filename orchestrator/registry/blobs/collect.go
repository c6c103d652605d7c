package blobs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/distribution/distribution/v3"
	"github.com/distribution/distribution/v3/registry/storage"
	"github.com/opencontainers/go-digest"

	"hardnode.dev/internal/wire"
	"hardnode.dev/orchestrator/registry/importer"
)

// Collected is what a collection removed.
type Collected struct {
	Bytes            int64 // freed
	Blobs, Manifests int
	Later            int64 // bytes that no tag reaches, kept while the push they may belong to may still be under way
}

// Delete removes a tag, or a manifest with all tags that point to it; importer.ErrNone if there is no such. What only they needed goes with
// the next Collect.
func (s *Store) Delete(ctx context.Context, repo, ref string) (tags []string, err error) {
	s.commit.Lock()
	defer s.commit.Unlock()
	g, err := s.graph(ctx, repo)
	if err != nil {
		return nil, err
	}
	r, ms, err := s.open(ctx, repo)
	if err != nil {
		return nil, err
	}
	d := digest.Digest(ref)
	if d.Validate() != nil {
		var ok bool
		if d, ok = g.tags[ref]; !ok {
			return nil, fmt.Errorf("delete %s:%s: %w", repo, ref, importer.ErrNone)
		}
		tags = []string{ref}
	} else if _, ok := g.manifests[d]; !ok {
		return nil, fmt.Errorf("delete %s@%s: %w", repo, ref, importer.ErrNone)
	} else {
		tags = g.pointing(d)
	}
	for _, tag := range tags {
		if err := s.do("untag " + tag); err != nil {
			return nil, err
		}
		if err := r.Tags(ctx).Untag(ctx, tag); err != nil {
			return nil, fmt.Errorf("delete tag %s:%s: %w", repo, tag, known(err))
		}
	}
	if d.String() == ref {
		if err := ms.Delete(ctx, d); err != nil {
			return nil, fmt.Errorf("delete manifest %s@%s: %w", repo, d, known(err))
		}
	}
	s.flight.orphan(g.reach(d))
	return tags, nil
}

// Pointing are the tags of a repository that point to the manifest d, sorted.
func (s *Store) Pointing(ctx context.Context, repo string, d wire.Digest) ([]string, error) {
	g, err := s.graph(ctx, repo)
	if err != nil {
		return nil, err
	}
	return g.pointing(digest.Digest(d)), nil
}

func (g *graph) pointing(d digest.Digest) (tags []string) {
	for tag, to := range g.tags {
		if to == d {
			tags = append(tags, tag)
		}
	}
	slices.Sort(tags)
	return tags
}

// Collect removes what no tag reaches and no push under way may need. It may be killed at any line: manifests go before their parts, and
// what is left over goes the next time.
func (s *Store) Collect(ctx context.Context) (Collected, error) {
	s.commit.Lock()
	defer s.commit.Unlock()
	var out Collected
	repos, err := s.repositoriesLeft(ctx)
	if err != nil {
		return out, fmt.Errorf("list repositories: %w", err)
	}
	kept := map[digest.Digest]bool{}
	var gone []func() error // in order: the links of manifests, then those of their parts
	var parts []func() error
	vacuum := storage.NewVacuum(ctx, s.driver)
	for _, name := range repos {
		g, err := s.graph(ctx, name)
		if err != nil {
			return out, err
		}
		alive := s.alive(g)
		maps.Copy(kept, alive)
		for _, tag := range g.dead {
			gone = append(gone, func() error {
				repo, _, err := s.open(ctx, name)
				if err != nil {
					return err
				}
				return repo.Tags(ctx).Untag(ctx, tag)
			})
		}
		for d := range g.manifests {
			if alive[d] {
				continue
			}
			out.Manifests++
			gone = append(gone, func() error {
				return vacuum.RemoveManifest(name, d, slices.Concat(slices.Collect(maps.Keys(g.tags)), g.dead))
			})
		}
		layers, err := s.layers(ctx, name)
		if err != nil {
			return out, err
		}
		for _, d := range layers {
			switch {
			case alive[d]:
			case !s.flight.over(d, s.written(d), s.now()):
				kept[d] = true
			default:
				parts = append(parts, func() error {
					_, err := s.flight.remove(d, s.written(d), s.now(), func() error { return vacuum.RemoveLayer(name, d) })
					return err
				})
			}
		}
	}
	for _, remove := range append(gone, parts...) {
		if err := errors.Join(ctx.Err(), s.do("remove link")); err != nil {
			return out, err
		}
		if err := known(remove()); err != nil && !errors.Is(err, importer.ErrNone) {
			return out, fmt.Errorf("remove what no tag reaches: %w", err)
		}
	}
	err = s.sweep(ctx, vacuum, kept, &out)
	s.flight.prune(s.now())
	return out, err
}

// alive is what a repository's tags reach, and what its pushes under way may need.
func (s *Store) alive(g *graph) map[digest.Digest]bool {
	roots := slices.Collect(maps.Values(g.tags))
	alive := g.reach(roots...)
	for d := range g.manifests {
		if !alive[d] && !s.flight.over(d, s.written(d), s.now()) {
			roots = append(roots, d)
		}
	}
	return g.reach(roots...)
}

// sweep removes the blobs that nothing names any more.
func (s *Store) sweep(ctx context.Context, vacuum storage.Vacuum, kept map[digest.Digest]bool, out *Collected) error {
	var all []digest.Digest
	err := s.ns.Blobs().Enumerate(ctx, func(d digest.Digest) error { all = append(all, d); return nil })
	if err = known(err); err != nil && !errors.Is(err, importer.ErrNone) {
		return fmt.Errorf("list blobs: %w", err)
	}
	for _, d := range all {
		if kept[d] {
			continue
		}
		if err := errors.Join(ctx.Err(), s.do("remove blob")); err != nil {
			return err
		}
		st, err := os.Stat(s.path(d))
		if err != nil {
			continue // half removed: the rest goes with the folder
		}
		done, err := s.flight.remove(d, st.ModTime(), s.now(), func() error { return vacuum.RemoveBlob(string(d)) })
		if err != nil {
			return fmt.Errorf("remove blob %s: %w", d, err)
		}
		if !done {
			out.Later += st.Size()
			continue
		}
		s.flight.forget(d)
		out.Blobs++
		out.Bytes += st.Size()
	}
	return nil
}

// repositoriesLeft are all repositories, those without a manifest too.
func (s *Store) repositoriesLeft(ctx context.Context) (out []string, err error) {
	e, ok := s.ns.(distribution.RepositoryEnumerator)
	if !ok {
		return nil, errors.New("the registry can't")
	}
	err = e.Enumerate(ctx, func(name string) error { out = append(out, name); return nil })
	if err = known(err); errors.Is(err, importer.ErrNone) {
		err = nil
	}
	return out, err
}

// layers are the blobs that are linked into a repository.
func (s *Store) layers(ctx context.Context, name string) (out []digest.Digest, err error) {
	repo, _, err := s.open(ctx, name)
	if err != nil {
		return nil, err
	}
	e, ok := repo.Blobs(ctx).(distribution.ManifestEnumerator)
	if !ok {
		return nil, errors.New("list layers: the registry can't")
	}
	err = e.Enumerate(ctx, func(d digest.Digest) error { out = append(out, d); return nil })
	if err = known(err); errors.Is(err, importer.ErrNone) {
		err = nil
	}
	return out, err
}

// path is where the library keeps a blob's bytes.
func (s *Store) path(d digest.Digest) string {
	return filepath.Join(s.dir, "docker/registry/v2/blobs", string(d.Algorithm()), d.Encoded()[:2], d.Encoded(), "data")
}

// written is when a blob was; one that isn't there was written long ago.
func (s *Store) written(d digest.Digest) time.Time {
	st, err := os.Stat(s.path(d))
	if err != nil {
		return time.Time{}
	}
	return st.ModTime()
}

// do is where tests end the program.
func (s *Store) do(step string) error {
	if s.step != nil {
		return s.step(step)
	}
	return nil
}
