// Package install puts the system of a running host onto one of its disks.
//
// Owns: the way of an installation: look at the disks, plan, write, check, enter it into the firmware, ask for the reboot.
// In: a wish (the configuration's section install, or the local API's request); /sys and /dev; the medium that the host was booted from.
// Out: an installed disk; the status of the way, for people.
// Never: decides which disk it is (internal/disk/pick does), or leaves a disk half made that does not say so.
package install

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"hardnode.dev/agent/vault"
	"hardnode.dev/internal/disk/efi"
	"hardnode.dev/internal/disk/pick"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/install"
)

// Options are what an Installer needs. Empty paths are those of a host.
type Options struct {
	Root   string // "/" but in tests: what /sys, /dev and /proc are below
	State  string // the folder of STATE that the installed disk begins with; "": it begins with none
	Config string // the configuration's text as it was found: it goes onto the ESP; "": there is none
	Early  bool   // the host has no configuration and no DATA yet
	Bundle string // the Day-0 bundle's file, if there is one
	// Reboot asks for the reboot that ends an installation.
	Reboot func(reason string) error
	// Say shows a line to whoever stands at the host.
	Say func(format string, args ...any)
	Log *slog.Logger // nil discards
}

// Installer carries out one installation at a time. Its methods may be called at once.
type Installer struct {
	o   Options
	log *slog.Logger
	mu  struct {
		sync.Mutex
		status install.Status
	}
}

// New makes one.
func New(o Options) *Installer {
	i := &Installer{o: o, log: logging.Or(o.Log)}
	if i.o.Root == "" {
		i.o.Root = "/"
	}
	if i.o.Say == nil {
		i.o.Say = func(string, ...any) {}
	}
	i.mu.status.State = install.None
	return i
}

// ErrBusy: an installation is under way.
var ErrBusy = errors.New("an installation is under way; wait for it (GET /v1/install)")

// again is how often a host that waits for its installation looks whether the disks have changed.
const again = 10 * time.Second

// Status is how far it is, with the disks as they are now.
func (i *Installer) Status() install.Status {
	i.mu.Lock()
	s := i.mu.status
	i.mu.Unlock()
	if s.State == install.Running || s.State == install.Done {
		return s // its disk is not to be looked at meanwhile
	}
	m, found, err := i.look(install.Spec{})
	if err != nil {
		i.log.Warn("look at the disks", logging.Err, err)
		return s
	}
	if m.Installed != "" && s.State == install.None {
		s.State = install.Installed
	}
	s.Disks = nil
	for _, d := range found {
		if d.Refused = pick.Blocked(d, nil, nil); d.Refused == "" && (!m.UEFI || m.Installed != "" || !m.InMemory) {
			_, err := pick.Decide(install.Spec{Disk: install.Rule{Path: d.Path}}, found, m)
			d.Refused = fmt.Sprint(err)
		}
		s.Disks = append(s.Disks, d.Disk)
	}
	return s
}

// Ask is Status, or Start.
func (i *Installer) Ask(ctx context.Context, a install.Ask) (install.Status, error) {
	if a.Do != nil {
		return i.Start(ctx, *a.Do)
	}
	return i.Status(), nil
}

// Start begins an installation, or plans one (DryRun). Its error is a refusal; what fails later is in Status.
func (i *Installer) Start(ctx context.Context, want install.Spec) (install.Status, error) {
	w, err := i.begin(want, false)
	if err != nil || w == nil {
		return i.Status(), err
	}
	go func() { // bounded by the deadlines of what it does; the host reboots at its end
		i.end(w.carry(context.WithoutCancel(ctx)))
	}()
	return i.Status(), nil
}

// Run carries out the configuration's wish until the host reboots or ctx ends: a host that waits for its installation is nothing else.
func (i *Installer) Run(ctx context.Context, want install.Spec) error {
	last := ""
	for {
		w, err := i.begin(want, true)
		if err == nil && w != nil {
			err = w.carry(ctx)
			i.end(err)
		}
		if err != nil && err.Error() != last {
			last = err.Error()
			i.o.Say("install: %v", err)
		}
		if err == nil { // done, or a dry run
			<-ctx.Done()
			return nil
		}
		if !run.Wait(ctx, again) {
			return nil
		}
	}
}

// begin plans and takes the place of the one installation; nil without an error is a dry run.
func (i *Installer) begin(want install.Spec, config bool) (*work, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if s := i.mu.status.State; s == install.Running || s == install.Done {
		return nil, ErrBusy
	}
	w, err := i.plan(want, config)
	if err != nil {
		i.mu.status = install.Status{State: install.Refused, Reason: err.Error()}
		return nil, err
	}
	for _, t := range w.plan.Targets() {
		i.o.Say("install: plan: %s, %s", t.Disk.Path, pick.Size(t.Disk.Bytes))
	}
	for n, s := range w.plan.Steps {
		i.o.Say("install: plan: %d. %s", n+1, s)
	}
	i.mu.status = install.Status{State: install.Planned, Plan: &w.plan}
	if want.DryRun {
		i.o.Say("install: dry run: nothing was written; take dryRun away to carry it out")
		return nil, nil
	}
	i.mu.status.State = install.Running
	return w, nil
}

// plan looks and decides.
func (i *Installer) plan(want install.Spec, config bool) (*work, error) {
	if err := want.Validate(); err != nil {
		return nil, fmt.Errorf("%w: %v", pick.Refusal, err)
	}
	m, found, err := i.look(want)
	if err != nil {
		return nil, fmt.Errorf("look at the disks: %w", err)
	}
	ids := identities(i.o.Config, want)
	if config {
		m.Identity = ids
	}
	src, err := i.source(want)
	if err == nil {
		m.Source, m.Bytes = src.name, src.bytes
	}
	p, refused := pick.Decide(want, found, m)
	if refused != nil {
		if err != nil && m.Installed == "" && m.UEFI && m.InMemory {
			return nil, fmt.Errorf("%w: %v; name a file with the system in install.uki", pick.Refusal, err)
		}
		return nil, refused
	}
	if want.Encrypt != "" {
		if err := vault.Usable(); err != nil {
			return nil, fmt.Errorf("%w: install.encrypt: %v; or take install.encrypt out, and STATE lies in the clear", pick.Refusal, err)
		}
	}
	w := &work{i: i, plan: p, from: src, encrypt: want.Encrypt != ""}
	for n, t := range p.Targets() {
		at := slices.IndexFunc(found, func(d pick.Found) bool { return d.Path == t.Disk.Path })
		w.disks = append(w.disks, target{t, found[at].Content, ids[n]})
	}
	return w, nil
}

// step says what is done now.
func (i *Installer) step(n int, p install.Plan) {
	i.mu.Lock()
	i.mu.status.Step = n
	i.mu.Unlock()
	i.o.Say("install: %d of %d: %s", n, len(p.Steps), p.Steps[n-1])
}

// end settles how it went.
func (i *Installer) end(err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if err == nil {
		i.mu.status.State = install.Done
		return
	}
	i.log.Error("installation failed", logging.Err, err)
	i.mu.status.State, i.mu.status.Reason = install.Failed, err.Error()
}

// vars are the firmware's variables.
func (i *Installer) vars() efi.Vars { return efi.Vars{Dir: i.path(efi.Dir)} }

// Wanted is the configuration's wish, if this host is to be installed before it is anything else.
func Wanted(c boot.HostConfig) *install.Spec {
	if c.Install == nil || !inMemory("/") {
		return nil
	}
	return c.Install
}

// inMemory tells whether DATA lies in memory.
func inMemory(root string) bool {
	device, err := mounted(root, boot.DataDir)
	return err == nil && isRAM(device)
}
