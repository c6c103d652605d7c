package blobs

import (
	"context"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"

	"hardnode.dev/orchestrator/registry/importer"
)

// ErrTaken: the tag is another manifest's.
var ErrTaken = errors.New("the tag is another image's")

// Tag gives what repo:ref or repo@ref is another tag; importer.ErrNone: there is no such. A tag that is another manifest's is taken away
// from that only with move, else ErrTaken.
func (s *Store) Tag(ctx context.Context, repo, ref, tag string, move bool) error {
	s.commit.RLock() // nothing is collected meanwhile
	defer s.commit.RUnlock()
	r, ms, err := s.open(ctx, repo)
	if err != nil {
		return err
	}
	d := digest.Digest(ref)
	if d.Validate() != nil {
		to, err := r.Tags(ctx).Get(ctx, ref)
		if err != nil {
			return fmt.Errorf("tag %s:%s: %w", repo, ref, known(err))
		}
		d = to.Digest
	}
	if _, err := ms.Get(ctx, d); err != nil {
		return fmt.Errorf("tag %s@%s: %w", repo, d, known(err))
	}
	was, err := r.Tags(ctx).Get(ctx, tag)
	switch err = known(err); {
	case errors.Is(err, importer.ErrNone):
	case err != nil:
		return fmt.Errorf("tag %s:%s: %w", repo, tag, err)
	case was.Digest == d:
		return nil
	case !move:
		return fmt.Errorf("tag %s:%s: %w", repo, tag, ErrTaken)
	}
	was.Digest = d // the library keeps no more of a tag than that
	if err := r.Tags(ctx).Tag(ctx, tag, was); err != nil {
		return fmt.Errorf("tag %s:%s: %w", repo, tag, known(err))
	}
	s.landed(ctx, repo, d)
	return nil
}
