package system

import (
	"context"
	"fmt"
	"slices"

	"hardnode.dev/internal/release/trust"
	"hardnode.dev/internal/wire/host"
)

// Component finds the image of a component of the platform among what both repositories name, and gives what reads it from the mirror: as
// many bytes as are asked for. What it reads is not verified. The platform's components decide over all hosts: like a host's system, none
// is run on one program's word.
func (s *System) Component(ctx context.Context,
	img host.Image) (func(ctx context.Context, offset int64, length int) ([]byte, error), error) {
	v, err := s.believe(ctx, s.o.Get)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(v.Agreed, func(t trust.Target) bool { return t.Digest == img.Digest && t.Length == img.Bytes }) {
		return nil, &trust.Refusal{Kind: trust.Disagree, Reason: fmt.Sprintf("no release that both repositories name has the image %s of "+
			"component %s", img.Digest, img.Name), Next: "import the release again: hnctl release import"}
	}
	return func(ctx context.Context, offset int64, length int) ([]byte, error) {
		return ranged(ctx, s.o.Get, img.Digest, offset, length)
	}, nil
}
