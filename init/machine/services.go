package machine

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"hardnode.dev/init/supervise"
	"hardnode.dev/init/sys"
	"hardnode.dev/init/view"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/boot"
)

const programs = "/usr/lib/hardnode/"

// services is every program init keeps, by name. netd and agent come first: without them nobody hears of the host.
var services = map[string]supervise.Service{
	// console asks for little, but soon: it shows what becomes of a host that is coming up, or has too much to do.
	"console": {Argv: []string{programs + "console"}, Stop: 2 * time.Second, CPUWeight: 1000, User: boot.ConsoleUser},
	// netd waits for a person when there is no configuration: no deadline for its readiness.
	"netd": {Argv: []string{programs + "netd"}, Stop: 5 * time.Second},
	// spawner holds every container: without it nothing can be started or reaped. It keeps its descriptors here.
	"spawner": {Argv: []string{programs + "spawner"}, Ready: 30 * time.Second, Vital: true, Stop: 10 * time.Second, MemoryMin: 16 << 20},
	// procview answers what containers read of themselves: whoever reads waits for it. It keeps nothing, and what it answers with is held
	// here (init/view), so that a hung one is ended sooner than any other.
	"procview": {Argv: []string{programs + "console", "-procview"}, Ready: 10 * time.Second, Watchdog: 400 * time.Millisecond,
		Stop: time.Second, MemoryMin: 8 << 20, CPUWeight: 1000, User: boot.ViewUser},
	// agent renews the host's link: the others' work, starting containers above all, must not hold that up.
	// It stops the containers when the machine is left, and asks for the time that takes.
	"agent": {Argv: []string{programs + "agent"}, Ready: 2 * time.Minute, Stop: 10 * time.Second,
		StopMost: boot.StopContainers + 20*time.Second, MemoryMin: 48 << 20, CPUWeight: 1000},
}

// setup is the agent of a host without a configuration: it serves the program at the terminals, by which the host may be given one.
var setup = supervise.Service{Name: "setup", Argv: []string{programs + "agent", "-setup"}, Stop: 5 * time.Second}

// rescue is the agent of the rescue system: the local API and the program at the terminals, and nothing that a container needs.
var rescue = supervise.Service{Name: "agent", Argv: []string{programs + "agent", "-rescue"}, Ready: 2 * time.Minute, Stop: 5 * time.Second,
	CPUWeight: 1000}

// showSetup starts setup once a host has waited for its configuration for a while.
func (m *Machine) showSetup(waited time.Duration) {
	if waited > consolePatience && m.services[setup.Name] == nil {
		m.services[setup.Name] = m.sup.Keep(context.Background(), setup) // stopped when there is a configuration, or by end
	}
}

// start keeps one service, if the image carries it.
func (m *Machine) start(name string) (*supervise.Handle, error) {
	return m.keep(name, services[name])
}

// keep is start for a service that is known only now.
func (m *Machine) keep(name string, s supervise.Service) (*supervise.Handle, error) {
	s.Name = name
	if _, err := os.Stat(s.Argv[0]); err != nil {
		return nil, fmt.Errorf("service %s: not in this image", name)
	}
	h := m.sup.Keep(context.Background(), s) // stopped by end, in order
	m.services[name] = h
	return h, nil
}

// await waits for a service to be ready: true; false when patience (0: none is lost) or ctx ends first. meanwhile is called now and then.
// A boot that takes long gets its console early, to show why.
func (m *Machine) await(ctx context.Context, h *supervise.Handle, patience time.Duration, meanwhile func()) bool {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	began := sys.Uptime()
	for {
		select {
		case <-h.Ready():
			return true
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
		waited := sys.Uptime() - began
		if waited > consolePatience {
			m.showConsole()
		}
		if patience > 0 && waited > patience {
			return false
		}
		meanwhile()
	}
}

// consolePatience is how long a step may take before a person is to see what it waits for.
const consolePatience = 3 * time.Second

// showConsole starts the console's program, once.
func (m *Machine) showConsole() {
	if m.shown {
		return
	}
	m.shown = true
	if _, err := m.start("console"); err != nil {
		m.con.Line("%v", err)
	}
}

func (m *Machine) stepConsole(context.Context) (string, error) {
	m.showConsole()
	return "", nil
}

// rescuePatience is how long the rescue system looks for a configuration. One that netd finds later gives it a network all the same.
const rescuePatience = 20 * time.Second

// stepConfig starts netd and waits for the configuration.
func (m *Machine) stepConfig(ctx context.Context) (string, error) {
	netd, err := m.start("netd")
	if err != nil {
		return "", err
	}
	if m.rescue && !m.await(ctx, netd, rescuePatience, func() { m.setProblem(netd.Words()) }) {
		return "not found; the rescue system goes on without", ctx.Err()
	}
	began := sys.Uptime()
	if !m.await(ctx, netd, 0, func() { m.setProblem(netd.Words()); m.showSetup(sys.Uptime() - began) }) {
		return "", ctx.Err()
	}
	m.stop(setup.Name)
	m.setProblem("")
	raw, err := os.ReadFile(boot.ConfigFile)
	if err != nil {
		return "", fmt.Errorf("read the configuration: %w", err)
	}
	if err := json.Unmarshal(raw, &m.config); err != nil {
		return "", fmt.Errorf("read the configuration %q: %w", boot.ConfigFile, err)
	}
	m.mu.Lock()
	m.mu.name = cmp.Or(m.config.Name, "unnamed")
	m.mu.Unlock()
	if err := sys.SetHostname(cmp.Or(m.config.Name, "hardnode")); err != nil {
		return "", err
	}
	note := fmt.Sprintf("host %s, role %s", cmp.Or(m.config.Name, "without a name yet"), m.config.Role)
	if ttys := m.config.Console.TTYs; len(ttys) > 0 {
		note += ", consoles " + m.useConsoles(ttys)
	}
	return note, nil
}

// agentPatience is how long the boot waits for the agent. Without it the boot goes on: supervision starts it again and again, and what
// already runs in containers is better off than after a reboot.
const agentPatience = 45 * time.Second

// agentLead is how long the agent is alone in coming up. It finds the spawner when that comes.
const agentLead = 2 * time.Second

// stepAgent starts the agent, and the spawner as soon as that is up or has had its lead.
func (m *Machine) stepAgent(ctx context.Context) (string, error) {
	if m.rescue {
		m.services["agent"] = m.sup.Keep(context.Background(), rescue) // stopped by end, as any
		return "the rescue system's, without a spawner", nil
	}
	agent, missing := m.start("agent")
	if missing == nil {
		m.await(ctx, agent, agentLead, func() {})
	}
	_, err := m.start("spawner")
	return "", errors.Join(missing, err)
}

// stepView mounts the containers' view and starts the program that answers there, before there is any container. A machine that can't has
// containers that see its own figures.
func (m *Machine) stepView(context.Context) (string, error) {
	if m.rescue {
		return "none: the rescue system runs no containers", nil
	}
	s := services["procview"]
	if _, err := os.Stat(s.Argv[0]); err != nil {
		return "not in this image", nil
	}
	conn, err := view.Mount(boot.ViewDir)
	if err != nil {
		return "", err
	}
	s.Held, s.Asks = []*os.File{conn.Dev}, conn.Asks()
	h, err := m.keep("procview", s)
	if err != nil {
		return "", err
	}
	m.tasks <- run.Task{Name: "view", Run: func(ctx context.Context) error {
		return conn.StandIn(ctx, func() bool { return h.Status().State == supervise.Ready })
	}}
	return boot.ViewDir, nil
}

// stepServices waits for what stepAgent started.
func (m *Machine) stepServices(ctx context.Context) (string, error) {
	var notes []string
	for _, name := range []string{"spawner", "agent"} {
		h := m.services[name]
		if h == nil {
			continue // not in this image: stepAgent said so
		}
		patience := agentPatience
		if services[name].Vital {
			patience = 0 // the row's own deadline
		}
		switch {
		case m.await(ctx, h, patience, func() {}):
			notes = append(notes, name+" ready")
		case ctx.Err() != nil:
			return "", fmt.Errorf("service %s: not ready in time", name)
		default:
			notes = append(notes, name+" not ready yet")
		}
	}
	return strings.Join(notes, ", "), nil
}
