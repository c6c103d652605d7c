package volume

import (
	"path/filepath"

	"hardnode.dev/agent/sys"
	"hardnode.dev/internal/disk/btrfs"
	"hardnode.dev/internal/wire"
)

// SetLayerQuota changes a layer's quota.
func (s *Store) SetLayerQuota(id wire.CTID, generation, bytes int64) error {
	d, err := sys.OpenDir(filepath.Join(s.Home(id), LayerName(generation)))
	if err != nil {
		return err
	}
	defer d.Close()
	return btrfs.LimitSubvolume(d, bytes)
}

// LayerQuota is a layer's quota in bytes; 0 is none.
func (s *Store) LayerQuota(id wire.CTID, generation int64) (int64, error) {
	d, err := sys.OpenDir(filepath.Join(s.Home(id), LayerName(generation)))
	if err != nil {
		return 0, err
	}
	defer d.Close()
	q, err := btrfs.SubvolumeQuota(d)
	if err != nil {
		return 0, err
	}
	return q.Limit()
}

// Space is a layer or volume that has a quota.
type Space struct {
	FSID  uint64 // as statfs(2) names it
	Block int64  // bytes of a block that statfs counts in
	Limit int64  // bytes
	Quota btrfs.Quota
}

// LayerUse is how much of a layer's quota is used, and the quota, in bytes; limit 0 is none.
func (s *Store) LayerUse(id wire.CTID, generation int64) (used, limit int64, err error) {
	sp, err := space(filepath.Join(s.Home(id), LayerName(generation)))
	if err != nil || sp.Limit <= 0 {
		return 0, 0, err
	}
	used, err = sp.Quota.Held()
	return used, sp.Limit, err
}

// Spaces are a container's layers and volumes with a quota. What can't be asked is left out.
func (s *Store) Spaces(c Contents) (list []Space) {
	for _, n := range c.names() {
		if sp, err := space(filepath.Join(s.Home(c.CTID), n)); err == nil && sp.Limit > 0 {
			list = append(list, sp)
		}
	}
	return list
}

func space(path string) (sp Space, err error) {
	d, err := sys.OpenDir(path)
	if err != nil {
		return sp, err
	}
	defer d.Close()
	if sp.FSID, sp.Block, err = sys.FileSystem(d); err != nil {
		return sp, err
	}
	if sp.Quota, err = btrfs.SubvolumeQuota(d); err != nil {
		return sp, err
	}
	sp.Limit, err = sp.Quota.Limit()
	return sp, err
}
