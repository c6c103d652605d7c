package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/facts"
	"hardnode.dev/agent/initctl"
	"hardnode.dev/agent/install"
	"hardnode.dev/agent/kexec"
	"hardnode.dev/agent/lend"
	"hardnode.dev/agent/mirror"
	"hardnode.dev/agent/programs"
	"hardnode.dev/agent/scrub"
	"hardnode.dev/agent/slots"
	"hardnode.dev/agent/smart"
	"hardnode.dev/agent/smoke"
	"hardnode.dev/agent/system"
	"hardnode.dev/agent/volume"
	"hardnode.dev/internal/build"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/release/trust"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/host"
	wish "hardnode.dev/internal/wire/install"
	"hardnode.dev/internal/wire/neighbour"
	"hardnode.dev/internal/wire/release"
	"hardnode.dev/internal/wire/storage"
	"hardnode.dev/internal/wire/upkeep"
)

// installer puts this host onto a disk, with what it has in state ("": with nothing).
func (a *agent) installer(state string) *install.Installer {
	text, err := os.ReadFile(boot.ConfigText)
	if err != nil { // netd writes it before the document that this agent has waited for
		a.log.Warn("the configuration's text is not at hand", "err", err)
	}
	return install.New(install.Options{State: state, Config: string(text), Bundle: boot.BundleFile, Log: a.log,
		Say: func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }, // init shows it to who stands there
		Reboot: func(reason string) error {
			return leaveMachine(context.Background(), upkeep.Leave{By: "installation", Reason: reason})
		}})
}

// toInstall is the configuration's wish when this host is to be installed before it is anything else: a host that joined from memory would
// have used up its token.
func (a *agent) toInstall() (*wish.Spec, boot.HostConfig) {
	raw, err := os.ReadFile(a.config)
	var c boot.HostConfig
	if err != nil || neighbour.Decode(raw, &c) != nil {
		return nil, c // the link waits for the configuration, and says what is wrong with it
	}
	return install.Wanted(c), c
}

// serveInstalling is all that this agent does on a host that is to be installed: it installs, and says how far it is.
func (a *agent) serveInstalling(ctx context.Context, want wish.Spec, c boot.HostConfig) error {
	i := a.installer("")
	a.install, a.slots = i, a.keeper(boot.StateDir)
	none := make(chan struct{})
	close(none)
	terminal := a.bare(errors.New("this host is being installed; it runs no containers"),
		func(context.Context) boot.AgentStatus { return a.installingStatus(c, i.Status()) })
	listening, err := sockets(a.bareAPI(terminal), terminal)
	if err != nil {
		return err
	}
	return run.Group(ctx, a.log, append(listening,
		run.Task{Name: "links", Run: a.links.Keep},
		run.Task{Name: "BMC", Run: a.askBMC},
		run.Task{Name: "install", Run: func(ctx context.Context) error { return i.Run(ctx, want) }},
		run.Task{Name: "notify", Run: newNotify(a.log).running(func() bool { return true }, none, func() int { return 0 })},
	)...)
}

// installingStatus is what the console shows meanwhile.
func (a *agent) installingStatus(c boot.HostConfig, s wish.Status) boot.AgentStatus {
	out := boot.AgentStatus{Name: c.Name, Role: c.Role, Stage: boot.StageUnconfigured, Version: build.Version, Boot: a.boot,
		Link:       "installing",
		Containers: []host.ContainerStatus{}, RSS: a.facts.RSS()}
	for _, addr := range a.links.Addrs() {
		out.Addresses = append(out.Addresses, addr.String())
	}
	switch {
	case s.Reason != "":
		out.Problems = []host.Problem{{Code: "conflict", Object: "install", Reason: s.Reason,
			Next: "correct it; it is looked at again every few seconds, and when the host is booted"}}
	case s.State == wish.Planned:
		out.Problems = []host.Problem{{Code: "unavailable", Object: "install", Reason: "dry run: the plan is shown and nothing was written",
			Next: "take install.dryRun out of the configuration and boot again"}}
	}
	return out
}

// keeper keeps the slots of an installed host.
func (a *agent) keeper(state string) *slots.Keeper {
	return slots.New(slots.Options{State: state, Boot: a.boot, Uptime: facts.SinceBoot, Up: a.lacks, Well: a.lacksOnTrial,
		Containers: a.workload, Log: a.log,
		Hot: func() string {
			s, err := initctl.Status(context.Background(), boot.InitSocket)
			if err != nil {
				a.log.Warn("it is not known which programs run", logging.Err, err)
			}
			return s.Hot.Programs()
		},
		Reboot: func(reason string) error {
			return leaveMachine(context.Background(), upkeep.Leave{By: "boot slots", Reason: reason})
		}})
}

// leaveBy has init end this machine. Where the order is by kexec, the kernel has the next system first.
func (a *agent) leaveBy(ctx context.Context, order upkeep.Leave) error {
	if !order.Kexec {
		return leaveMachine(ctx, order)
	}
	undo, err := a.kexec.Prepare()
	if err != nil {
		return err
	}
	if err := leaveMachine(ctx, order); err != nil {
		return errors.Join(err, undo())
	}
	return nil
}

// onDisk makes the parts that keep the disks this host lies on: how it gets there, its systems, its mirror.
func (a *agent) onDisk(state, data string) {
	a.install, a.slots, a.meter = a.installer(state), a.keeper(state), a.newMeter(data)
	a.kexec = kexec.New(kexec.Options{Status: a.slots.Status, Read: a.slots.Read, Chose: a.slots.Chose, Leaving: a.slots.Leaving,
		Work: filepath.Join(data, "system"), Log: a.log})
	a.mirror = mirror.New(mirror.Options{State: state, Data: data, Look: a.install.Look, Prepare: a.install.Prepare,
		Systems: a.slots.CopyTo, Order: a.slots.Reorder, Lags: a.slots.Lags,
		Open:    func(partition string) (string, error) { return partition, nil },
		InPlace: func() ([]string, error) { return volume.InPlace(data) }, Log: a.log})
	a.scrub = scrub.New(data, a.log)
	a.smart = smart.New(smart.Options{Sys: "/sys", Dev: "/dev", Errors: func() map[string]int64 { return smart.Errors(data, state) },
		Forget:   func(path string, seen int64) (int64, error) { return smart.Forget(path, seen, data, state) },
		Mirrored: func() bool { s := a.mirror.State(); return s != storage.None && s != storage.Single }, Log: a.log})
	a.retune, a.schedule = a.newRetuner(data), a.newSchedule()
}

// storage answers what is asked of the disks and of DATA.
func (a *agent) storage(ctx context.Context, q storage.Ask) (storage.Status, error) {
	if q.Scrub {
		a.scrub.Begin()
	}
	var counted int64
	if q.Acknowledge != nil {
		var err error
		if counted, err = a.smart.Forget(ctx, *q.Acknowledge); err != nil {
			return storage.Status{}, err
		}
	}
	s, err := a.mirror.Ask(ctx, q)
	s.Acknowledged = counted
	care := a.scrub.Status()
	s.Scrub, s.Health = &care, a.smart.Disks()
	return s, err
}

// keepDisks keeps the systems on them, and both alike, until ctx ends.
func (a *agent) keepDisks(ctx context.Context) error {
	return run.Group(ctx, a.log, run.Task{Name: "slots", Run: a.slots.Run}, run.Task{Name: "mirror", Run: a.mirror.Run},
		run.Task{Name: "scrub", Run: a.scrub.Run}, run.Task{Name: "health of disks", Run: a.smart.Run},
		run.Task{Name: "smoke", Run: a.smoke.Run}, run.Task{Name: "lend", Run: a.lend.Run})
}

// newSystem makes this host run the release that is wanted of it.
func (a *agent) newSystem(state, data string) *system.System {
	target, profile := ofMachine()
	a.lend = lend.New(lend.Options{Status: a.slots.Status, Read: a.slots.Read, Trust: a.link.Trust, Holder: a.link.Holder(), Self: a.self,
		Peers: a.store.Peers, Get: a.link.Get, Port: host.PeerPort, Log: a.log})
	a.smoke = smoke.New(func(ctx context.Context) error { return a.apply.Smoke(ctx) }, a.log)
	return system.New(system.Options{State: state, Data: data, Boot: a.boot, Version: build.Version, Target: target, Profile: profile,
		Net: fromNetwork(), Root: rootDigest, Well: a.well,
		Settled: func() error { return os.WriteFile(boot.SettledFile, []byte("network"), 0o600) },
		Want:    a.store.System, Ordered: a.store.Ordered(), Slots: a.slots, Kexec: a.kexec.Load, Get: a.link.Get, Anchors: a.anchors,
		Peers: a.lend.Of, Leave: a.leaveBy, Told: a.tell, Now: time.Now, Log: a.log, Waits: a.unwell,
		Programs: &programs.Replacer{Read: a.slots.Read, Socket: boot.InitSocket, Work: filepath.Join(data, "system"), Log: a.log}})
}

// vet says why this host must not be a part of its cluster. An infra host brings what would be asked with it.
func (a *agent) vet(ctx context.Context) error {
	if _, role := a.selfAndRole(); role == host.RoleInfra {
		return nil
	}
	return a.system.Vet(ctx)
}

// unwell is what this host is not well in, as one on trial.
func (a *agent) unwell() []string { return slices.Concat(a.lacks(), a.lacksOnTrial()) }

// fromNetwork tells whether this machine was booted from the network: its configuration lies there too.
func fromNetwork() bool {
	raw, err := os.ReadFile("/proc/cmdline")
	return err == nil && strings.Contains(" "+string(raw), " "+boot.ConfigArgument+"http")
}

// rootDigest is that of the filesystem image that is the root: a loop device over a file of the initramfs, which nothing writes to.
func rootDigest() (wire.Digest, error) {
	device, err := rootDevice()
	if err != nil {
		return "", err
	}
	f, err := os.Open(device)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("read %s: %w", device, err)
	}
	return wire.DigestOf([32]byte(h.Sum(nil))), nil
}

// loopOf is the loop device that is mounted somewhere.
func loopOf(point string) (string, error) {
	var st unix.Stat_t
	if err := unix.Stat(point, &st); err != nil {
		return "", fmt.Errorf("look at %q: %w", point, err)
	}
	if unix.Major(st.Dev) != 7 { // Documentation/admin-guide/devices.txt
		return "", fmt.Errorf("%q is on device %d:%d, which is no loop device", point, unix.Major(st.Dev), unix.Minor(st.Dev))
	}
	return fmt.Sprintf("/dev/loop%d", unix.Minor(st.Dev)), nil
}

// well tells whether nothing is missing that a system on trial must have.
func (a *agent) well() bool { return len(a.unwell()) == 0 }

// ofMachine is which of a release's systems this machine boots: the one that it runs. Virtual machines have the kernel for them, infra
// hosts the images of the platform's components.
func ofMachine() (release.Target, release.Profile) {
	target, profile := release.Metal, release.Host
	var u unix.Utsname
	if unix.Uname(&u) == nil && strings.Contains(unix.ByteSliceToString(u.Release[:]), "-cloud-") {
		target = release.VM
	}
	if _, err := os.Stat(filepath.Join(boot.ImageDir, "index.json")); err == nil {
		profile = release.Infra
	}
	return target, profile
}

// anchors are how the configuration says that the repositories of releases are known: nobody else may say it.
func (a *agent) anchors() (trust.Anchors, error) {
	raw, err := os.ReadFile(a.config)
	if err != nil {
		return trust.Anchors{}, fmt.Errorf("read the configuration: %w", err)
	}
	var c boot.HostConfig
	if err := neighbour.Decode(raw, &c); err != nil {
		return trust.Anchors{}, fmt.Errorf("read %q: %v", a.config, err)
	}
	if c.Releases == nil || c.Join == nil {
		return trust.Anchors{}, system.ErrNoTrust
	}
	return trust.Anchors{Image: trust.Anchor{Name: trust.Image, Pin: c.Releases.Image},
		Director: trust.Anchor{Name: trust.Director, Pin: c.Releases.Director, Installation: wire.ClusterID(c.Join.Cluster)}}, nil
}

// lacks says what this host is not well in that counts for any boot.
func (a *agent) lacks() (up []string) {
	if a.apply == nil {
		return []string{"this agent runs no containers"}
	}
	select {
	case <-a.apply.First():
	default:
		up = append(up, "the agent has not looked at its containers yet")
	}
	f := a.figures.Load()
	switch {
	case f.err != nil:
		up = append(up, "the host's figures: "+f.err.Error())
	case time.Since(f.at) > oldFigures:
		up = append(up, "the DATA disk does not answer")
	case f.full != "":
		up = append(up, "the DATA disk: "+f.full)
	}
	return up
}

// lacksOnTrial says what else it is not well in, which counts for a system that was never well before.
func (a *agent) lacksOnTrial() (well []string) {
	if a.apply == nil {
		return nil
	}
	s := a.link.Status()
	if s.Stage != boot.StageJoined || !s.Linked {
		well = append(well, "the orchestrator has not answered a report")
	}
	if a.gossip.Keys().Use == "" {
		well = append(well, "gossip is not up")
	}
	if why := a.smoke.Why(); why != "" {
		well = append(well, why)
	}
	return well
}

// rootDevice has the filesystem that is the root.
func rootDevice() (string, error) { return loopOf("/") }

// workload is the containers of this host that run, and those that should.
func (a *agent) workload() (running, wanted []wire.CTID) {
	if a.apply == nil {
		return nil, nil
	}
	for _, c := range a.apply.Report().Containers {
		switch c.State {
		case host.CtStopping, host.CtStopped:
			continue
		case host.CtRunning:
			running = append(running, c.CTID)
		}
		wanted = append(wanted, c.CTID)
	}
	return running, wanted
}
