package container

import (
	"context"
	"fmt"
	"path/filepath"

	"hardnode.dev/agent/container/cgroup"
	"hardnode.dev/agent/container/profile"
	"hardnode.dev/agent/sys"
	"hardnode.dev/internal/wire"
)

// A container's cgroup has two levels (kernel: Documentation/admin-guide/cgroup-v2, "Delegation"):
//
//	<ctid>      root's: every limit, device rules, what Observe counts; has no processes of its own
//	<ctid>/p    PID 1 and what it starts; root of the container's cgroup namespace. The limits that runtimes look for (Go, JVM, .NET,
//	            Node, Python) are set here a second time, so that /sys/fs/cgroup shows them; the files are root's. The container's
//	            root may divide it, not raise it.
//
// The cgroups of commands are in group.go.

func (r *Runtime) cgroup(id wire.CTID) string { return filepath.Join(r.opts.Cgroup, id.String()) }

func (r *Runtime) deviceProgram() (*sys.DeviceProgram, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.devices == nil {
		p, err := sys.LoadDevices(profile.Devices)
		if err != nil {
			return nil, err
		}
		r.mu.devices = p
	}
	return r.mu.devices, nil
}

// emptyCgroup kills all processes of a container and waits until they are gone. A container without a cgroup is empty.
func (r *Runtime) emptyCgroup(ctx context.Context, id wire.CTID) error {
	if err := cgroup.KillAll(ctx, r.cgroup(id)); err != nil {
		return fmt.Errorf("end the processes of container %s: %w", id, err)
	}
	return nil
}
