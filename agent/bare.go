package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"time"

	"hardnode.dev/agent/consoleapi"
	"hardnode.dev/agent/container"
	"hardnode.dev/agent/container/command"
	"hardnode.dev/agent/facts"
	"hardnode.dev/agent/hostlog"
	"hardnode.dev/agent/localapi"
	"hardnode.dev/agent/support"
	"hardnode.dev/agent/vault"
	"hardnode.dev/internal/build"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/console"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/upkeep"
)

// served is all that an agent does until ctx ends.
type served = func(ctx context.Context, log *slog.Logger, state, data string) error

// instead makes the flags that have the agent do something else than its work.
func instead(work *served) {
	set := func(f served) func(string) error { return func(string) error { *work = f; return nil } }
	flag.BoolFunc("setup", "serve the terminals of a host that has no configuration yet, and nothing else", set(serveSetup))
	flag.Func("unlock", "open the encrypted STATE on a `partition` by the TPM, say how that went, and end", func(p string) error {
		*work = func(context.Context, *slog.Logger, string, string) error { return unlock(vault.Of(p)) }
		return nil
	})
	flag.BoolFunc("forget", "take the configuration away from the disks that this host is installed on, and end",
		set(forget))
	flag.BoolFunc("rescue", "serve the terminals and the local API of the rescue system, and nothing else", set(serveRescue))
}

// bare is what the program at the terminals is given by an agent that runs no containers; none says why.
func (a *agent) bare(none error, status func(context.Context) boot.AgentStatus) consoleapi.Options {
	none = fmt.Errorf("%w: %v", container.ErrNotFound, none)
	show := func(ctx context.Context, what upkeep.Show, w io.Writer) error {
		return document(ctx, support.Source{Version: build.Version, Logs: hostlog.Logs{}.Read, Ask: facts.Ask, Now: time.Now,
			Config: a.configInForce, Status: func(ctx context.Context) any { return status(ctx) }, Gossip: func() any { return nil },
			Machine: func() any { return a.machine() },
			Secrets: func() []string { return nil }}, what, w)
	}
	return consoleapi.Options{Status: status, Host: a.machine, Network: a.networkNow, Install: a.install.Status, Slots: a.slots.Status,
		Containers: func(context.Context) []console.Container { return []console.Container{} },
		Logs:       func(context.Context, wire.CTID, host.LogsSpec, func(bool, []byte) error) error { return none },
		HostLogs:   hostlog.Logs{}.Read, Guard: a.guard(), Restart: func(context.Context, wire.CTID) error { return none },
		ChangeSlots: a.slots.Do, StartInstall: a.install.Start, Leave: leaveMachine, ChangeNetwork: facts.ChangeNetwork,
		Reset: func(context.Context, string) error { return none }, User: boot.ConsoleUser, Log: a.log,
		Show: show, Stick: func(ctx context.Context) (console.Stick, error) { return toStick(ctx, status(ctx).Name, show) }}
}

// bareAPI is the local API of such an agent.
func (a *agent) bareAPI(o consoleapi.Options) localapi.Options {
	return localapi.Options{Status: o.Status, Install: a.install, Slots: a.slots, Show: o.Show, Logs: o.Logs, Log: a.log,
		Exec: func(ctx context.Context, id wire.CTID, _ host.ExecSpec, _ command.Stdio) (host.Exit, error) {
			return host.Exit{}, o.Restart(ctx, id)
		},
		Collect: func(context.Context) ([]wire.Digest, error) {
			return nil, fmt.Errorf("%w: no images are kept", container.ErrNotFound)
		}}
}
