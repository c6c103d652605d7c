package system

import (
	"context"
	"errors"
	"fmt"
	"time"

	"hardnode.dev/internal/keep"
	"hardnode.dev/internal/release/trust"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/release"
)

// believed is the file trust.json: what was believed of both repositories. It lies in STATE, which no update replaces.
type believed struct {
	State trust.State `json:"state"`
	// Latest is the time of the last look that was believed, Unix seconds: a clock that is behind it is wrong. It is never later than the
	// metadata was good for.
	Latest int64 `json:"latest,omitempty"`
}

// chosen is what a look came to.
type chosen struct {
	target
	uki, index trust.Target // index: Path "" where there is none
}

// metadata is a repository as the orchestrator serves it: a mirror that nobody trusts.
type metadata struct {
	get  Get
	name trust.Name
}

// Get implements trust.Source.
func (m metadata) Get(ctx context.Context, name string, limit int64) ([]byte, error) {
	raw, err := m.get(ctx, host.PathReleases+string(m.name)+"/"+name)
	var p *operator.Problem
	switch {
	case errors.As(err, &p) && p.Code == operator.NotFound:
		return nil, trust.ErrAbsent
	case err != nil:
		return nil, err
	case int64(len(raw)) > limit:
		return nil, &trust.Refusal{Kind: trust.Endless, Reason: fmt.Sprintf("%s has more than the %d bytes it may have", name, limit),
			Next: "tell whoever runs the orchestrator"}
	}
	return raw, nil
}

// look looks at both repositories for the release that is wanted, as a host that runs another one.
func (s *System) look(ctx context.Context, want, running string) (c chosen, err error) {
	v, err := s.believe(ctx, s.o.Get)
	if err != nil {
		return c, err
	}
	r, err := trust.Choose(v.Agreed, trust.Have{Running: running, Want: want, Arch: release.Arch})
	if err != nil {
		return c, err
	}
	return s.pick(ctx, r)
}

// believe is what both repositories say, as far as it is believed, which is durable when it returns.
func (s *System) believe(ctx context.Context, get Get) (v trust.View, err error) {
	s.looking.Lock()
	defer s.looking.Unlock()
	anchors, err := s.o.Anchors()
	if err != nil {
		return v, err
	}
	doc := keep.Doc[believed]{Path: s.path("trust.json"), Version: 1}
	b, _, err := doc.Renew()
	if err != nil {
		if !errors.Is(err, keep.ErrDamaged) {
			return v, err
		}
		s.log.Error("what was believed of releases is damaged: it begins anew", "err", err)
	}
	now := s.o.Now()
	if latest := time.Unix(b.Latest, 0); now.Before(latest) {
		now = latest
	}
	v, next, lookErr := trust.Look(ctx, metadata{get, trust.Image}, metadata{get, trust.Director}, anchors, b.State, now)
	b.State = next
	if lookErr == nil {
		b.Latest = now.Unix()
	}
	if err := doc.Save(b); err != nil {
		return v, fmt.Errorf("keep what was believed of releases: %w", err)
	}
	return v, lookErr
}

// pick finds the file of a release that this machine boots.
func (s *System) pick(ctx context.Context, r trust.Release) (c chosen, err error) {
	file, ok := trust.Find(r.Files, r.Version+"/"+release.ManifestFile)
	if !ok {
		return c, damaged("release %s has no %s for this machine", r.Version, release.ManifestFile)
	}
	m, err := manifest(ctx, s.o.Get, file)
	if err != nil {
		return c, err
	}
	a, ok := m.For(release.UKI, s.o.Target, s.o.Profile)
	if !ok {
		return c, &trust.Refusal{Kind: trust.Architecture, Reason: fmt.Sprintf("release %s has no system for a machine of kind %s and "+
			"profile %s", r.Version, s.o.Target, s.o.Profile), Next: "have a release for it assigned"}
	}
	if c.uki, ok = trust.Find(r.Files, m.Path(a)); !ok || string(m.Release) != r.Version {
		return c, damaged("%s names %s of release %s, which is not signed as a part of it", file.Path, a.Name, m.Release)
	}
	if x := c.uki.Custom.Index; x != "" {
		if c.index, ok = trust.Find(r.Files, x); !ok {
			return c, damaged("the block index %s of %s is not named", x, c.uki.Path)
		}
	}
	c.target = target{Release: r.Version, Over: r.Over, Digest: c.uki.Digest, Bytes: c.uki.Length}
	return c, nil
}

// manifest reads the manifest of a release.
func manifest(ctx context.Context, get Get, file trust.Target) (m release.Manifest, err error) {
	raw, err := whole(ctx, get, file, release.MaxBytes)
	if err != nil {
		return m, err
	}
	if m, err = release.Decode(raw); err != nil {
		return m, damaged("%s: %v", file.Path, err)
	}
	return m, nil
}

func damaged(format string, args ...any) error {
	return &trust.Refusal{Repository: trust.Image, Kind: trust.Damaged, Reason: fmt.Sprintf(format, args...),
		Next: "tell whoever signs the repository"}
}
