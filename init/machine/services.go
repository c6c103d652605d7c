package machine

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"hardnode.dev/init/supervise"
	"hardnode.dev/init/sys"
	"hardnode.dev/internal/wire/boot"
)

const programs = "/usr/lib/hardnode/"

// services is every program init keeps, by name. console and netd start before the rest: one shows why a host waits, the other finds out what it is.
var services = map[string]supervise.Service{
	"console": {Argv: []string{programs + "console"}, Stop: 2 * time.Second},
	// netd waits for a person when there is no configuration: no deadline for its readiness.
	"netd": {Argv: []string{programs + "netd"}, Stop: 5 * time.Second},
	// spawner holds every container: without it nothing can be started or reaped. It keeps its descriptors here.
	"spawner": {Argv: []string{programs + "spawner"}, Ready: 30 * time.Second, Vital: true, Stop: 10 * time.Second},
	"agent":   {Argv: []string{programs + "agent"}, Ready: 2 * time.Minute, Stop: 10 * time.Second},
}

// start keeps one service, if the image carries it.
func (m *Machine) start(name string) (*supervise.Handle, error) {
	s := services[name]
	s.Name = name
	if _, err := os.Stat(s.Argv[0]); err != nil {
		return nil, fmt.Errorf("service %s: not in this image", name)
	}
	h := m.sup.Keep(context.Background(), s) // stopped by end, in order
	m.services[name] = h
	return h, nil
}

func (m *Machine) stepConsole(context.Context) (string, error) {
	_, err := m.start("console")
	return "", err
}

// stepConfig starts netd and waits for the configuration.
func (m *Machine) stepConfig(ctx context.Context) (string, error) {
	netd, err := m.start("netd")
	if err != nil {
		return "", err
	}
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for waiting := true; waiting; {
		select {
		case <-netd.Ready():
			waiting = false
		case <-tick.C:
			m.setProblem(netd.Words())
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
	m.setProblem("")
	raw, err := os.ReadFile(boot.ConfigFile)
	if err != nil {
		return "", fmt.Errorf("read the configuration: %w", err)
	}
	if err := json.Unmarshal(raw, &m.config); err != nil {
		return "", fmt.Errorf("read the configuration %q: %w", boot.ConfigFile, err)
	}
	if err := sys.SetHostname(m.config.Name); err != nil {
		return "", err
	}
	note := fmt.Sprintf("host %s, role %s", m.config.Name, m.config.Role)
	if ttys := m.config.Console.TTYs; len(ttys) > 0 {
		note += ", consoles " + m.useConsoles(ttys)
	}
	return note, nil
}

// agentPatience is how long the boot waits for the agent. Without it the boot goes on: supervision starts it again and again, and what
// already runs in containers is better off than after a reboot.
const agentPatience = 45 * time.Second

// stepServices starts the spawner, waits for it, and starts the agent: the spawner must be there to be asked.
func (m *Machine) stepServices(ctx context.Context) (string, error) {
	var notes []string
	for _, name := range []string{"spawner", "agent"} {
		h, err := m.start(name)
		if err != nil {
			notes = append(notes, err.Error())
			continue
		}
		late := time.NewTimer(agentPatience)
		defer late.Stop()
		patience := late.C
		if services[name].Vital {
			patience = nil // the row's own deadline
		}
		select {
		case <-h.Ready():
			notes = append(notes, name+" ready")
		case <-patience:
			notes = append(notes, name+" not ready yet")
		case <-ctx.Done():
			return "", fmt.Errorf("service %s: not ready in time", name)
		}
	}
	return strings.Join(notes, ", "), nil
}
