package main

import (
	"context"
	"os"

	"hardnode.dev/agent/container"
	"hardnode.dev/agent/mount"
	"hardnode.dev/agent/move"
	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// newRuntime makes what runs containers, what mounts volumes of other hosts into them and serves this one's,
// and what takes them to other hosts.
func (a *agent) newRuntime(data string, n *notify) (*container.Runtime, error) {
	a.mounts = mount.New(mount.Options{Work: a.work, Peers: a.store.Peers, Self: a.self,
		Trust: func() identity.Trust { return a.link.Trust() }, Holder: func() *identity.Holder { return a.link.Holder() },
		Volume: func(id wire.CTID, name string) (*os.File, error) { return a.runtime.Volume(id, name) },
		Boot:   a.boot, Keeper: n, Kept: n.kept, Port: host.MountPort, Moves: func() mount.Moves { return a.moves }, Log: a.log})
	r, err := container.New(container.Options{DataDir: data, JEM: beside("jem"), Mounts: a.mounts, Log: a.log})
	if err != nil {
		return nil, err
	}
	disk, err := move.OpenData(r, data)
	if err != nil {
		return nil, err
	}
	a.moves = move.New(move.Options{Work: a.work, Dial: a.mounts.DialMove, Disk: disk, Log: a.log,
		Closed: func() error { return a.scrub.Closed() }, Sizes: func() move.Sizes { return a.retune },
		Image: func(ctx context.Context, img host.Image) error { _, err := a.images.Ensure(ctx, img); return err }})
	return r, nil
}

// work is what this host shall run; nil: it has not been told.
func (a *agent) work() *host.Work {
	w, _ := a.store.Work()
	return w
}
