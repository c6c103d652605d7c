package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/container/kept"
	"hardnode.dev/agent/volume"
	"hardnode.dev/agent/volume/fill"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/snapshot"
)

// succeed prepares the first start of a generation where there was another one: what was there is kept as a snapshot if it may come back,
// and what the generation shall begin with takes its place. carry fills a new layer with what stays of the one before; nil: there is none.
// None of it is done twice, wherever an agent ended.
func (s *start) succeed(ctx context.Context) (carry func(upper *os.File) error, err error) {
	c, err := s.data.Contents(s.CTID)
	if err != nil || slices.Contains(c.Layers, s.Generation) {
		return nil, err
	}
	h := &Hold{r: s.Runtime, id: s.CTID, disk: c}
	before := h.Generation()
	snaps, err := s.snaps.List(s.CTID)
	if err != nil {
		s.log.Warn("snapshots of before can't be read", logging.Container, s.CTID, logging.Err, err) // the others count
	}
	has := func(generation int64) int {
		return slices.IndexFunc(snaps, func(x snapshot.Snapshot) bool { return x.Former && x.Generation == generation })
	}
	if f := s.former(before); f != nil && has(before) < 0 {
		taken, err := s.keep(h, snapshot.Snapshot{Former: true, Generation: before, Image: f.Image.Digest,
			Note: "before its redeploy to " + string(s.Image.Name)})
		if err != nil {
			return nil, err
		}
		snaps = append(snaps, taken)
	}
	if b := s.Begins; b != nil {
		if i := has(b.Generation); i >= 0 {
			return nil, s.bringBack(h, snaps[i])
		}
		s.log.Warn("what the container was before is not here: it begins with its image, and with the files that are listed",
			logging.Container, s.CTID, "generation", b.Generation)
	}
	if before == 0 {
		return nil, nil
	}
	return func(upper *os.File) error { return s.carry(ctx, before, upper) }, nil
}

// former is what says that a generation may come back; nil: nothing does.
func (s *start) former(generation int64) *host.Former {
	if generation == 0 {
		return nil
	}
	for _, f := range s.Formers {
		if f.Generation == generation {
			return &f
		}
	}
	if b := s.Begins; b != nil && b.Generation == generation { // it never was another one
		return &host.Former{Generation: generation, Image: s.Image}
	}
	return nil
}

// keep takes a snapshot of what is there. Nothing of the container runs.
func (s *start) keep(h *Hold, meta snapshot.Snapshot) (snapshot.Snapshot, error) {
	parts, end, err := h.Parts()
	if err != nil {
		return meta, err
	}
	defer end()
	taken, err := s.snaps.Take(s.CTID, meta, parts, nil, time.Now())
	if err == nil {
		s.log.Info("snapshot taken", logging.Container, s.CTID, "snapshot", taken.ID, logging.Reason, meta.Note)
	}
	return taken, err
}

// bringBack has the generation begin with what a snapshot has: its layer, and its volumes too if that is said; what these have now is then
// another snapshot.
func (s *start) bringBack(h *Hold, of snapshot.Snapshot) error {
	if s.Begins.Volumes && len(h.Volumes()) > 0 {
		note := fmt.Sprintf("before its redeploy to %s was undone with its volumes", s.Image.Name)
		if _, err := s.keep(h, snapshot.Snapshot{Generation: h.Generation(), Before: of.ID, Note: note}); err != nil {
			return err
		}
	}
	as := func(name string) string {
		switch vol, is := strings.CutPrefix(name, volume.VolumeName("")); {
		case name == volume.LayerName(of.Generation):
			return volume.LayerName(s.Generation)
		case is && s.Begins.Volumes && slices.ContainsFunc(s.Volumes, func(v host.Volume) bool { return v.Name == vol }):
			return name
		}
		return ""
	}
	home := s.data.Home(s.CTID)
	if err := s.snaps.Prepare(s.CTID, s.CTID, of.ID, home, as); err != nil {
		return err
	}
	if err := s.snaps.Ready(s.CTID); err != nil {
		return err
	}
	if err := s.snaps.Settle(s.CTID, home); err != nil {
		return err
	}
	s.log.Info("container is what it was before", logging.Container, s.CTID, "snapshot", of.ID, "generation", s.Generation)
	return nil
}

// carry copies into a new upper directory what stays of the layer of an earlier generation. What can't be kept makes the start fail, and
// leaves that layer as it is.
func (s *start) carry(ctx context.Context, before int64, to *os.File) error {
	layer, err := s.data.OpenLayer(s.CTID, before)
	if err != nil {
		return err
	}
	defer layer.Close()
	from, err := volume.Upper(layer)
	if err != nil {
		return err
	}
	defer from.Close()
	wrong := func(err error) error { return fmt.Errorf("%w: what stays in a redeploy: %v", ErrInvalid, err) }
	paths, err := kept.Paths(s.image, from)
	if err != nil {
		return wrong(err)
	}
	for _, p := range paths {
		there, err := fill.Carry(ctx, from, to, s.image, p, fill.Options{Bytes: s.Limits.DiskBytes, Has: s.Image.Has})
		if ctx.Err() != nil || errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EIO) || errors.Is(err, unix.ENOMEM) {
			return err // the host's
		}
		if err != nil {
			return wrong(err)
		}
		if there {
			s.log.Info("kept in a redeploy", logging.Container, s.CTID, "path", p)
		}
	}
	return nil
}
