// Package machine is one boot of one host, from the first mount to the last unmount.
//
// Owns: the table of boot steps, the table of services, and the orderly end.
// In: the kernel as stage 1 left it; the configuration netd finds.
// Out: running services; a status document; a reason in the kernel log whenever the machine is left.
// Never: opens a network socket, reads YAML, speaks TLS, or formats a disk internal/disk has not chosen.
package machine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"hardnode.dev/init/console"
	"hardnode.dev/init/control"
	"hardnode.dev/init/hot"
	"hardnode.dev/init/modules"
	"hardnode.dev/init/proc"
	"hardnode.dev/init/steps"
	"hardnode.dev/init/supervise"
	"hardnode.dev/init/sys"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/run/slim"
	"hardnode.dev/internal/run/socket"
	"hardnode.dev/internal/wallclock"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/upkeep"
)

// Leave is the wish to leave the machine. By is "" when it is the machine's own, or that of who is at it: its reason says so then.
type Leave = upkeep.Leave

// Machine is the host. New makes one; Run is called once.
type Machine struct {
	con    *console.Console
	procs  *proc.Table
	sup    *supervise.Supervisor
	loader *modules.Loader
	steps  *steps.Runner
	hot    *hot.Replacer
	booted chan struct{} // closed when all steps are done and programs may be replaced
	leave  chan Leave
	data   *dataDisk
	dog    *watchdog
	life   keptLife
	// Set while booting, read by later steps only.
	config   boot.HostConfig
	services map[string]*supervise.Handle
	shown    bool // the console has been started
	// partition is the GUID of the partition that the firmware booted from; "": a BIOS, a CD, or a kernel that was handed over
	partition string
	// rescue: this boot is that of the rescue system, which touches no disk and never reboots by itself
	rescue bool
	// background work of the boot: device events, the notification socket, the status socket
	tasks  chan run.Task
	bootID string
	slow   chan struct{} // closed when the drivers of slow hardware are there
	loaded *outcome      // of the modules that containers need
	mu     struct {
		sync.Mutex
		problem string
		name    string   // of the configuration
		ttys    []string // that are there
		level   int      // which of the kernel's messages reach the terminals, but for the quiet ones' time
		quiets  int      // who wants the terminals quiet now
	}
}

// New prepares a machine; nothing is touched yet.
func New() *Machine {
	con := &console.Console{Uptime: sys.Uptime, Known: wallclock.Known}
	m := &Machine{
		con:      con,
		procs:    &proc.Table{},
		leave:    make(chan Leave, 8),
		services: map[string]*supervise.Handle{},
		tasks:    make(chan run.Task, 16),
		slow:     make(chan struct{}),
		loaded:   newOutcome(),
	}
	m.booted, m.hot = make(chan struct{}), hot.New(hot.Options{Services: m.service, Say: con.Line})
	m.steps = &steps.Runner{Uptime: sys.Uptime, Say: con.Line}
	m.sup = &supervise.Supervisor{Procs: m.procs, Socket: boot.NotifySocket, Cgroup: cgroupSystem, LogDir: boot.LogDir, Self: "/sbin/init",
		Group: boot.NotifyGroup, Say: con.Line, Output: m.output, Uptime: sys.Uptime}
	return m
}

// Run boots, serves until somebody wants to leave, and leaves. It does not return while the machine runs.
func (m *Machine) Run() {
	ctx, cancel := context.WithCancel(context.Background())
	background := make(chan error, 1)
	go func() { background <- m.work(ctx) }()
	wish := m.boot(ctx)
	m.end(wish)
	cancel()
	<-background
}

// work runs the tasks that boot steps start, each until ctx ends.
func (m *Machine) work(ctx context.Context) error {
	var all sync.WaitGroup
	defer all.Wait()
	for {
		select {
		case t := <-m.tasks:
			all.Add(1)
			go func() {
				defer all.Done()
				if err := run.Group(ctx, nil, t); err != nil {
					m.con.Line("%v", err)
				}
			}()
		case <-ctx.Done():
			return nil
		}
	}
}

// boot carries out the table and then waits for a wish to leave. A failed boot becomes a wish by itself, after its pause.
func (m *Machine) boot(ctx context.Context) Leave {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	result := make(chan error, 1)
	go func() { result <- m.steps.Run(ctx, m.table()) }()
	for {
		select {
		case wish := <-m.leave:
			cancel()
			return wish
		case err := <-result:
			result = nil
			var failure *steps.Failure
			if errors.As(err, &failure) {
				go m.failed(ctx, failure)
			} else if err := errors.Join(m.kernelLevel(kernelRunning), equal()); err != nil {
				m.con.Line("%v", err)
			}
			if failure == nil && !m.rescue {
				close(m.booted)
				m.tasks <- slim.Task(nil)
			}
		}
	}
}

// failed says why a boot came to nothing, everywhere, and asks for a counted reboot, or stays up when rebooting has not helped.
func (m *Machine) failed(ctx context.Context, f *steps.Failure) {
	m.setProblem(f.Error())
	m.con.Alert(f.Error())
	m.loaded.settle(f) // whoever waits for the modules of containers learns that no more are loaded
	if m.rescue {
		m.con.Line("the rescue system stays up: %v", f)
		m.showConsole()
		return
	}
	pause, again := m.afterFailure(f.Error())
	if !again {
		m.con.Line("boot failed %d times in a row: not rebooting again; %v", maxFailures, f)
		return
	}
	m.con.Line("rebooting in %s: %v", pause, f)
	if run.Wait(ctx, pause) {
		m.Ask(Leave{Reason: f.Error()})
	}
}

// Ask wants to leave; the first wish counts.
func (m *Machine) Ask(l Leave) {
	select {
	case m.leave <- l:
	default:
	}
}

// ended is how a process ended whose parent is gone: above all, a container whose spawner was replaced.
func (m *Machine) ended(pid int) (code int, known bool) {
	e, known := m.procs.Orphan(pid)
	if e.Signal != 0 {
		return 128 + int(e.Signal), known
	}
	return e.Code, known
}

func (m *Machine) setProblem(text string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.problem = text
}

// Status is the document of GET /v1/status.
func (m *Machine) Status() boot.Status {
	m.mu.Lock()
	problem, name, ttys := m.mu.problem, m.mu.name, m.mu.ttys
	m.mu.Unlock()
	return boot.Status{Boot: m.bootID, Steps: m.steps.Account(), Services: m.sup.Status(), Problem: problem, Name: name, TTYs: ttys,
		Hot: m.hot.Status()}
}

// output takes one line a service wrote: into the kernel log always, onto the terminals when a person should see it.
func (m *Machine) output(service, line string) {
	m.con.Log(service + ": " + line)
	if urgent(line) {
		m.con.Show(service, console.WithoutTime(line))
	}
}

// urgent says whether a service's line is for the terminals: a warning or an error, or no log line at all (a panic's trace).
func urgent(line string) bool {
	return !strings.Contains(line, "level=INFO") && !strings.Contains(line, "level=DEBUG")
}

// stepAPI opens init's sockets.
func (m *Machine) stepAPI(context.Context) (string, error) {
	for _, dir := range []string{boot.RunDir, boot.LogDir} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return "", fmt.Errorf("make %q: %w", dir, err)
		}
	}
	if raw, err := os.ReadFile("/proc/sys/kernel/random/boot_id"); err == nil {
		m.bootID = strings.TrimSpace(string(raw))
	}
	if err := m.sup.Listen(); err != nil {
		return "", err
	}
	l, err := socket.Listen(boot.InitSocket, boot.ConsoleUser)
	if err != nil {
		return "", err
	}
	server := control.Server{Status: m.Status, Ended: m.ended, Loaded: m.loaded.wait, Leave: m.Ask, Next: sys.Loaded, Replace: m.replace,
		Keep: m.hot.Keep, Quiet: m.quiet, Say: m.con.Line}
	m.tasks <- run.Task{Name: "control", Run: func(ctx context.Context) error { return server.Serve(ctx, l) }}
	m.tasks <- run.Task{Name: "notifications", Run: m.sup.Notifications}
	m.tasks <- run.Task{Name: "reaper", Run: m.procs.Reap}
	m.tasks <- run.Task{Name: "hot", Run: m.hot.Run}
	m.tasks <- run.Task{Name: "signals", Run: m.signals}
	return "", nil
}

// modulesDir is where image/assemble lays this kernel's modules.
func modulesDir() (string, error) {
	raw, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return "", fmt.Errorf("read the kernel's release: %w", err)
	}
	return filepath.Join("/usr/lib/modules", strings.TrimSpace(string(raw))), nil
}
