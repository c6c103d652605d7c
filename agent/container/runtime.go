package container

import (
	"context"
	"errors"
	"os"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// Runtime is the one value through which this host's containers are changed. Its methods may be called concurrently; calls for
// one container are put in a row.
type Runtime struct {
	opts  Options
	exits chan Exit
}

var errNotYet = errors.New("not built yet")

// New prepares cgroups, quotas and directories. The spawner may come up later: methods that need it wait for it until ctx ends.
func New(o Options) (*Runtime, error) {
	o.fill()
	return &Runtime{opts: o, exits: make(chan Exit, 64)}, nil
}

// Run forwards exit hints from the spawner until ctx ends: a task of the agent's run.Group.
func (r *Runtime) Run(ctx context.Context) error { <-ctx.Done(); return nil }

// Exits delivers hints while Run runs.
func (r *Runtime) Exits() <-chan Exit { return r.exits }

// Start creates whatever is missing and runs the process; it returns when the program has been executed. On error everything this
// call made is undone (data that was there stays). ErrRunning if it runs already; ErrInvalid if the spec or the image can't work.
func (r *Runtime) Start(ctx context.Context, s StartSpec) (Observed, error) {
	return Observed{}, errNotYet
}

// Stop sends the stop signal, waits for StopAfter, kills what is left and removes cgroup and mounts; data stays.
// Stopping what does not run is no error.
func (r *Runtime) Stop(ctx context.Context, id wire.CTID) error { return errNotYet }

// Remove stops at once and deletes the layer, the log and, unless keepVolumes, the volumes. Removing nothing is no error.
func (r *Runtime) Remove(ctx context.Context, id wire.CTID, keepVolumes bool) error {
	return errNotYet
}

// SetLimits changes a container's limits while it runs; cpuMaxMicros is as in StartSpec.
func (r *Runtime) SetLimits(ctx context.Context, id wire.CTID, l host.Limits, cpuMaxMicros int64) error {
	return errNotYet
}

// Observe lists all containers that exist in any form, ordered by CTID.
func (r *Runtime) Observe(ctx context.Context) ([]Observed, error) { return nil, errNotYet }

// Exec runs a command in a running container with the container's own confinement and waits for its end. The error is set when
// the session could not be set up; a program that can't be executed is Exit.Error with code 126 or 127. When ctx ends the process is killed.
func (r *Runtime) Exec(ctx context.Context, id wire.CTID, spec host.ExecSpec, io Stdio) (host.Exit, error) {
	return host.Exit{}, errNotYet
}

// Logs calls line for each kept line of the container's output, oldest first, then for new ones if Follow is set, until ctx ends.
func (r *Runtime) Logs(ctx context.Context, id wire.CTID, spec host.LogsSpec, line func(stderr bool, text []byte) error) error {
	return errNotYet
}

// Netns opens the network namespace of a running container.
func (r *Runtime) Netns(id wire.CTID) (*os.File, error) { return nil, errNotYet }

// FilesHash is what Observed.FilesHash compares with.
func FilesHash(files []host.File) string { return "" }
