package apply

import (
	"context"
	"log/slog"
	"net/netip"
	"os"
	"time"

	"hardnode.dev/agent/container"
	"hardnode.dev/agent/desired"
	"hardnode.dev/agent/network"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/move"
	"hardnode.dev/internal/wire/tune"
)

// Runtime is what apply needs of agent/container.
type Runtime interface {
	Start(ctx context.Context, s container.StartSpec) (container.Observed, error)
	Stop(ctx context.Context, id wire.CTID) error
	Restart(ctx context.Context, id wire.CTID) error
	StopWithin(ctx context.Context, id wire.CTID, limit time.Duration) error
	Remove(ctx context.Context, id wire.CTID, keepVolumes bool) error
	SetLimits(ctx context.Context, id wire.CTID, l host.Limits, cpuMaxMicros int64) error
	SetVolumes(ctx context.Context, id wire.CTID, list []host.Volume) error
	DropVolumes(ctx context.Context, id wire.CTID, names []string) error
	Observe(ctx context.Context) ([]container.Observed, error)
	Logs(ctx context.Context, id wire.CTID, spec host.LogsSpec, line func(stderr bool, text []byte) error) error
	Netns(id wire.CTID) (*os.File, error)
	Exits() <-chan container.Exit
}

// Images is what apply needs of agent/fetch.
type Images interface {
	Path(wire.Digest) (string, bool)
	Ensure(ctx context.Context, img host.Image) (string, error)
	Collect(used map[wire.Digest]bool) ([]wire.Digest, error)
	Low() bool
}

// Network is what apply needs of agent/network.
type Network interface {
	Apply(ctx context.Context, s network.State) error
	Attach(ctx context.Context, e network.Endpoint, ns *os.File) (undo func(), err error)
	Repair(e network.Endpoint, open func(wire.CTID) (*os.File, error)) error
	Sockets(list []host.Socket) ([]*os.File, error)
	Full() *host.Problem
	Refused() []network.Refusal
	Crowded() map[wire.CTID]bool
}

// Servers is what apply needs of agent/retune.
type Servers interface {
	Resizing(c host.Container)
	Resized(c host.Container)
	Starting(c host.Container)
	Started(c host.Container)
	Forget(id wire.CTID)
	Of(id wire.CTID) tune.Tuned
}

// Moves is what apply needs of agent/move.
type Moves interface {
	States() map[wire.CTID]*move.State
	Changed() <-chan struct{}
	Forget(id wire.CTID) error
}

// Options are what an Applier needs. All are required unless said otherwise.
type Options struct {
	Store    *desired.Store
	Runtime  Runtime
	Images   Images
	Network  Network
	Names    func(*host.Peers)                                   // takes what DNS answers from
	Identity func(id wire.CTID) (socket string, err error)       // makes the socket of a component, or finds it
	Servers  Servers                                             // in containers: they follow the size
	Moves    Moves                                               // to other hosts, and from them
	Forget   func(id wire.CTID)                                  // the component is gone: so is its socket
	Root     func() (device string, err error)                   // with the erofs that is this host's root
	Self     func() (wire.HostID, host.Role)                     // "" until the host has joined
	Addrs    func(context.Context) []netip.Addr                  // addresses of the host's own links
	Check    func(context.Context, netip.Addr, host.Check) error // nil is the real one
	Pressure func() host.Pressure                                // on this host now; nil is none
	Closed   func() error                                        // why nothing new is made on this host now; nil is never
	MHz      int64                                               // base frequency of one CPU
	Log      *slog.Logger                                        // nil discards
}
