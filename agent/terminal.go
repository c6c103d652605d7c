package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"hardnode.dev/agent/consoleapi"
	"hardnode.dev/agent/container"
	"hardnode.dev/agent/facts"
	"hardnode.dev/agent/hostlog"
	"hardnode.dev/agent/localapi"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/secret/password"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/console"
	"hardnode.dev/internal/wire/host"
)

// sockets opens the agent's sockets and returns what serves them. They are open before init hears that this agent is ready: whoever waits
// for that may ask at once.
func sockets(api localapi.Options, terminal consoleapi.Options) ([]run.Task, error) {
	local, err := localapi.Open(api)
	if err != nil {
		return nil, err
	}
	console, err := consoleapi.Open(terminal)
	if err != nil {
		return nil, err
	}
	return []run.Task{{Name: "api", Run: local}, {Name: "console", Run: console}}, nil
}

// terminal is what the program at the host's terminals is given.
func (a *agent) terminal() consoleapi.Options {
	return consoleapi.Options{Status: a.status, Host: a.machine, Network: a.networkNow, Containers: a.containers, Install: a.install.Status,
		Slots: a.slots.Status, Logs: a.logs, HostLogs: hostlog.Logs{}.Read, Show: a.show, Guard: a.guard(), Restart: a.restart,
		Storage: a.mirror.Status, Replace: a.mirror.Replace, ChangeSlots: a.slots.Do, StartInstall: a.install.Start, Leave: leaveMachine,
		ChangeNetwork: facts.ChangeNetwork,
		Reset:         a.reset, Stick: func(ctx context.Context) (console.Stick, error) { return toStick(ctx, a.status(ctx).Name, a.show) },
		User: boot.ConsoleUser, Log: a.log}
}

// guard has the console's password and key of the configuration in force.
func (a *agent) guard() *consoleapi.Guard {
	return &consoleapi.Guard{Is: password.Is, Now: time.Now, Known: func() (consoleapi.Known, error) {
		c, _, found, err := a.configInForce()
		return consoleapi.Known{Configured: found, Password: c.Console.Password.Reveal(), Key: c.Console.Key, Host: c.Name}, err
	}}
}

// restart stops a container of this host; the applier starts it again, if it is to run.
func (a *agent) restart(ctx context.Context, id wire.CTID) error {
	if err := a.known(id); err != nil {
		return err
	}
	return a.runtime.Restart(ctx, id)
}

// logs reads what a container of this host wrote.
func (a *agent) logs(ctx context.Context, id wire.CTID, spec host.LogsSpec, line func(stderr bool, text []byte) error) error {
	if err := a.known(id); err != nil {
		return err
	}
	return a.runtime.Logs(ctx, id, spec, line)
}

// known tells whether a container is this host's.
func (a *agent) known(id wire.CTID) error {
	if !slices.ContainsFunc(a.apply.Report().Containers, func(c host.ContainerStatus) bool { return c.CTID == id }) {
		return fmt.Errorf("container %s: %w", id, container.ErrNotFound)
	}
	return nil
}

// machine is the host beside its status.
func (a *agent) machine() console.Host {
	c, _, found, err := a.configInForce()
	h := console.Host{Configured: found || err != nil, Password: c.Console.Password != "", Challenge: c.Console.Key != "",
		Boots: a.facts.Boots(), Protection: a.facts.Protection()}
	if bmc := a.bmc.Load(); bmc != nil {
		h.BMC = *bmc
	}
	h.Sensors = a.facts.Sensors()
	if f := a.figures.Load(); f != nil {
		h.Capacity, h.Load = f.capacity, f.load
	}
	h.Load.Pressure = a.facts.Pressure()
	return h
}

// networkNow is what netd says of the links, and which network is in force.
func (a *agent) networkNow(ctx context.Context) (n console.Network, err error) {
	for path, to := range map[string]any{"/v1/links": &n.Links, "/v1/network": &n.NetworkStatus} {
		raw, err := facts.Ask(ctx, boot.NetdSocket, path)
		if err == nil {
			err = json.Unmarshal(raw, to)
		}
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// containers are those of this host, with what the Assignment calls them.
func (a *agent) containers(ctx context.Context) []console.Container {
	named := map[wire.CTID]host.Container{}
	if work, _ := a.store.Work(); work != nil {
		for _, c := range work.Containers {
			named[c.CTID] = c
		}
	}
	out := []console.Container{}
	for _, s := range a.status(ctx).Containers {
		c := named[s.CTID]
		out = append(out, console.Container{ContainerStatus: s, Env: string(c.Env), Layer: string(c.Layer), Hostname: c.Hostname,
			Component: c.Component, Image: string(c.Image.Name)})
	}
	return out
}
