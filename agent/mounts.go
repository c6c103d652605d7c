package main

import (
	"os"

	"hardnode.dev/agent/container"
	"hardnode.dev/agent/mount"
	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// newRuntime makes what runs containers, and what mounts volumes of other hosts into them and serves this one's.
func (a *agent) newRuntime(data string, n *notify) (*container.Runtime, error) {
	a.mounts = mount.New(mount.Options{Work: a.store.Work, Peers: a.store.Peers, Self: a.self,
		Trust: func() identity.Trust { return a.link.Trust() }, Holder: func() *identity.Holder { return a.link.Holder() },
		Volume: func(id wire.CTID, name string) (*os.File, error) { return a.runtime.Volume(id, name) },
		Boot:   a.boot, Keeper: n, Kept: n.kept, Port: host.MountPort, Log: a.log})
	return container.New(container.Options{DataDir: data, JEM: beside("jem"), Mounts: a.mounts, Log: a.log})
}
