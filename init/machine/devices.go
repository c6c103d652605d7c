package machine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"
	"time"

	"hardnode.dev/init/modules"
	"hardnode.dev/init/sys"
	"hardnode.dev/internal/run"
)

// stepDevices loads the drivers of the devices that are there, and from then on of those that come.
func (m *Machine) stepDevices(ctx context.Context) (string, error) {
	dir, err := modulesDir()
	if err != nil {
		return "", err
	}
	if m.loader, err = modules.Open(dir, m.loadModule); err != nil {
		return "", err
	}
	// Listen first: a device that a driver brings up during the walk is seen by one or the other.
	m.tasks <- run.Task{Name: "devices", Run: func(ctx context.Context) error {
		return m.loader.Uevents(ctx, func(err error) { m.con.Log(err.Error()) })
	}}
	devices, late, problems := m.loader.Coldplug(ctx, "/sys/devices")
	m.tasks <- run.Task{Name: "slow devices", Run: func(context.Context) error {
		defer close(m.slow)
		for _, name := range late {
			if err := m.loader.Add(name, ""); err != nil {
				m.con.Line("%v", err)
			}
		}
		return nil
	}}
	for _, p := range problems {
		m.con.Log(p.Error())
	}
	m.tasks <- run.Task{Name: "power button", Run: m.button}
	if len(problems) > 0 {
		return fmt.Sprintf("%d devices; %d drivers would not load, the first: %v", devices, len(problems), problems[0]), nil
	}
	return fmt.Sprintf("%d devices", devices), nil
}

// slowModule is how long a module may take before the log says so: drivers that measure the machine or wait for it hide there.
const slowModule = 100 * time.Millisecond

func (m *Machine) loadModule(path, params string) error {
	began := sys.Uptime()
	err := sys.LoadModule(path, params)
	if took := sys.Uptime() - began; took > slowModule {
		m.con.Log(fmt.Sprintf("module %s took %d ms", filepath.Base(path), took.Milliseconds()))
	}
	return err
}

// stepModules loads what the kernel would ask modprobe for while the host comes up; there is no modprobe.
func (m *Machine) stepModules(ctx context.Context) (string, error) {
	names := m.loader.Preload()
	return fmt.Sprintf("%d loaded", len(names)), m.loader.AddAll(ctx, names)
}

// stepContainerModules loads the rest of what the kernel would ask modprobe for, and says so to whoever waits (GET /v1/loaded). Later
// nothing asks.
func (m *Machine) stepContainerModules(ctx context.Context) (string, error) {
	if m.rescue {
		m.loaded.settle(errors.New("this is the rescue system, which runs no containers"))
		return "none: the rescue system runs no containers", nil
	}
	names := m.loader.Container()
	err := m.loader.AddAll(ctx, names)
	m.loaded.settle(err)
	return fmt.Sprintf("%d loaded", len(names)), err
}

// outcome is one error, or nil, that others wait for. Only the first settle counts.
type outcome struct {
	once sync.Once
	over chan struct{}
	err  error
}

func newOutcome() *outcome { return &outcome{over: make(chan struct{})} }

func (o *outcome) settle(err error) {
	o.once.Do(func() {
		o.err = err
		close(o.over)
	})
}

// wait returns what was settled, or ctx's error.
func (o *outcome) wait(ctx context.Context) error {
	select {
	case <-o.over:
		return o.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// need loads a module a step asks for by name; one built into the kernel is there already.
func (m *Machine) need(name, params string) error {
	if err := m.loader.Add(name, params); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
