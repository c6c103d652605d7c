package system

import (
	"context"
	"errors"
	"fmt"
	"os"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/release/trust"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/release"
)

// Vet says why this host, which was booted from the network, must not be a part of its cluster: it runs another image than the one that
// both repositories name for its release. A Problem says so; any other error is one of asking, and to be asked again.
//
// What can't be known keeps no host away: a release that is not named any more, metadata that ended or is refused (it has a say in what is
// to run, never in what runs), a configuration without trust roots.
func (s *System) Vet(ctx context.Context) error {
	if !s.o.Net {
		return nil
	}
	root, err := s.image()
	if err != nil { // measure says it
		return nil
	}
	if err := os.MkdirAll(s.path(""), 0o700); err != nil {
		return fmt.Errorf("open what is kept of the system: %v", err)
	}
	var failed error
	m, named, err := s.named(ctx, func(ctx context.Context, path string) ([]byte, error) {
		raw, err := s.o.Get(ctx, path)
		var p *operator.Problem
		if err != nil && (!errors.As(err, &p) || p.Code == operator.Unavailable) {
			failed = err
		}
		return raw, err
	})
	switch {
	case failed != nil:
		return fmt.Errorf("ask whether this image is that of release %s: %w", s.o.Version, failed)
	case err != nil || !named:
		s.log.Warn("it is not known whether this image is the release's own", "release", s.o.Version, logging.Err, err)
		return nil
	}
	if it, said := m.Carries(root); it || !said {
		return nil
	}
	return operator.NewProblem(operator.Denied, "system",
		fmt.Sprintf("the network gave this machine another image than that of release %s, which both repositories name: %s", s.o.Version,
			root),
		"find out which server it booted from (hnctl cluster netboot show), and boot it again")
}

// named is the manifest of the release that runs; false where the repositories name none.
func (s *System) named(ctx context.Context, get Get) (m release.Manifest, ok bool, err error) {
	v, err := s.believe(ctx, get)
	if err != nil {
		return m, false, err
	}
	file, ok := trust.Find(v.Agreed, s.o.Version+"/"+release.ManifestFile)
	if !ok {
		return m, false, nil
	}
	m, err = manifest(ctx, get, file)
	return m, err == nil, err
}
