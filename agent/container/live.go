package container

import (
	"hardnode.dev/internal/disk/btrfs"
	"hardnode.dev/internal/wire"
)

// Live is how a container's data is now.
type Live struct {
	Image      wire.Digest // "" when it does not run
	Generation int64
	Has        func(uint32) bool // whether it has a user or group of that number
	Parts      map[string]LivePart
}

// LivePart is its layer, "", or a volume, by name.
type LivePart struct {
	Name  string // of the subvolume
	Limit int64  // bytes; 0 is none
	NoCOW bool
}

// Live looks at what a container has.
func (h *Hold) Live() (Live, error) {
	l := Live{Image: h.Image(), Generation: h.Generation(), Has: h.rec.Container.Image.Has, Parts: map[string]LivePart{}}
	parts, done, err := h.Parts()
	if err != nil {
		return l, err
	}
	defer done()
	for _, p := range parts {
		q, err := btrfs.SubvolumeQuota(p.Dir)
		if err != nil {
			return l, err
		}
		one := LivePart{Name: p.Name}
		if one.Limit, err = q.Limit(); err != nil {
			return l, err
		}
		if one.NoCOW, err = btrfs.NoCOW(p.Dir); err != nil {
			return l, err
		}
		l.Parts[p.Volume] = one
	}
	return l, nil
}
