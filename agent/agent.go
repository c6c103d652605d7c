package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"hardnode.dev/agent/apply"
	"hardnode.dev/agent/backup"
	"hardnode.dev/agent/backup/shelf"
	"hardnode.dev/agent/container"
	"hardnode.dev/agent/container/cgroup"
	"hardnode.dev/agent/desired"
	"hardnode.dev/agent/facts"
	"hardnode.dev/agent/fetch"
	"hardnode.dev/agent/gossip"
	"hardnode.dev/agent/hostlog"
	"hardnode.dev/agent/install"
	"hardnode.dev/agent/kexec"
	"hardnode.dev/agent/lend"
	"hardnode.dev/agent/link"
	"hardnode.dev/agent/localapi"
	"hardnode.dev/agent/meter"
	"hardnode.dev/agent/mirror"
	"hardnode.dev/agent/mount"
	"hardnode.dev/agent/move"
	"hardnode.dev/agent/network"
	"hardnode.dev/agent/nodecall"
	"hardnode.dev/agent/retune"
	"hardnode.dev/agent/scrub"
	"hardnode.dev/agent/slots"
	"hardnode.dev/agent/smart"
	"hardnode.dev/agent/smoke"
	"hardnode.dev/agent/snapshot/schedule"
	"hardnode.dev/agent/syslog"
	"hardnode.dev/agent/system"
	"hardnode.dev/internal/build"
	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/jerror"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/neighbour"
	"hardnode.dev/internal/wire/upkeep"
)

// agent is the parts together: what one part tells of itself goes to the others through its methods.
type agent struct {
	log      *slog.Logger
	config   string
	boot     string
	started  int64 // of the boot, Unix seconds
	facts    facts.Source
	bmc      atomic.Pointer[string]
	links    *facts.Links
	store    *desired.Store
	runtime  *container.Runtime
	meter    *meter.Meter
	mounts   *mount.Mounts
	moves    *move.Mover
	images   *fetch.Store
	network  *network.Network
	link     *link.Link
	gossip   *gossip.Gossip
	apply    *apply.Applier
	smoke    *smoke.Test
	install  *install.Installer
	slots    *slots.Keeper
	kexec    *kexec.Loader
	lend     *lend.Lender
	mirror   *mirror.Mirror
	scrub    *scrub.Keeper
	smart    *smart.Keeper
	retune   *retune.Retuner
	schedule *schedule.Keeper
	export   *syslog.Export
	errors   *jerror.Spool
	system   *system.System
	hints    chan struct{}
	figures  atomic.Pointer[figures]
}

// figures is what the host has and uses, as it was read last.
type figures struct {
	load host.Load
	full string // of facts.Full
	err  error
	at   time.Time
	lasting
}

// lasting is what hardly ever changes while a host runs.
type lasting struct {
	capacity   host.Capacity
	protection *host.Protection
	boots      []upkeep.Boot
	read       time.Time
}

// lasts is how long lasting is good for.
const lasts = 30 * time.Second

// read reads the figures: that may wait for a disk.
func (a *agent) read() {
	f := figures{full: a.facts.Full(), at: time.Now()}
	if last := a.figures.Load(); last != nil && last.err == nil && f.at.Sub(last.lasting.read) < lasts {
		f.lasting = last.lasting
		if len(f.boots) == 0 {
			f.boots = a.facts.Boots()
		}
	} else if f.capacity, f.err = a.facts.Capacity(); f.err == nil {
		f.protection, f.boots, f.lasting.read = a.facts.Protection(), a.facts.Boots(), f.at
	}
	if f.err == nil {
		f.load, f.err = a.facts.Load()
	}
	a.figures.Store(&f)
}

// newMeter makes what counts the use of containers.
func (a *agent) newMeter(data string) *meter.Meter {
	disk := func() map[wire.CTID]int64 {
		sizes := map[wire.CTID]int64{}
		for _, s := range a.apply.Report().Containers {
			sizes[s.CTID] = s.DiskBytes
		}
		return sizes
	}
	whose := func() map[wire.CTID]meter.Whose {
		all := map[wire.CTID]meter.Whose{}
		if work, _ := a.store.Work(); work != nil {
			for _, c := range work.Containers {
				all[c.CTID] = meter.Whose{Env: c.Env, Account: c.Account.Owner(), Reserved: int(c.Limits.MemoryMin / wire.CloudletBytes)}
			}
		}
		return all
	}
	return meter.New(meter.Options{Dir: filepath.Join(data, "usage"), Cgroup: filepath.Join(cgroup.Root, "ct"), Boot: a.boot, Disk: disk,
		Whose: whose, MHz: func() int64 { return a.figures.Load().capacity.MHz }, Log: a.log})
}

// keepContainers keeps what is known of containers, and counts what they use: a task.
func (a *agent) keepContainers(ctx context.Context) error {
	return run.Group(ctx, a.log, run.Task{Name: "runtime", Run: a.runtime.Run}, run.Task{Name: "meter", Run: a.meter.Run},
		run.Task{Name: "mounts", Run: a.mounts.Run}, run.Task{Name: "moves", Run: a.moves.Run},
		run.Task{Name: "sizes", Run: a.retune.Run}, run.Task{Name: "schedules", Run: a.schedule.Run})
}

// readOn keeps the figures fresh until ctx ends: a task of its own, since a report must not wait for a disk.
func (a *agent) readOn(ctx context.Context) error {
	return run.Every(ctx, host.ReportEvery, func(context.Context) error {
		a.read()
		return nil
	})
}

// oldFigures is when figures are so old that the disk they ask does not answer.
const oldFigures = 10 * time.Second

// configuration waits for netd's document.
func (a *agent) configuration(ctx context.Context) (boot.HostConfig, error) {
	for {
		raw, err := os.ReadFile(a.config)
		if err == nil {
			var c boot.HostConfig
			if err := neighbour.Decode(raw, &c); err != nil {
				return c, fmt.Errorf("read %q: %v", a.config, err)
			}
			return c, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return boot.HostConfig{}, fmt.Errorf("read %q: %v", a.config, err)
		}
		if !run.Wait(ctx, 200*time.Millisecond) {
			return boot.HostConfig{}, ctx.Err()
		}
	}
}

// firstWork makes the Day-0 bundle's first Work this host's, if there is a bundle. One that can't be taken is a problem of the host.
func (a *agent) firstWork() {
	err := a.store.ImportBundle(boot.BundleFile)
	if err == nil {
		return
	}
	a.log.Error("first work not imported", logging.Err, err)
	a.store.Note(host.Problem{Code: "invalid", Object: "bundle", Reason: err.Error(),
		Next: "boot the infra host with the bundle and the boot medium that belong together"})
}

// modulesPatience is how long init may take to load the modules of containers before whoever needs them is told; init itself gives up after
// a minute.
const modulesPatience = 75 * time.Second

// modulesLoaded waits until init has loaded the kernel modules that containers and their network need.
func modulesLoaded(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, modulesPatience)
	defer cancel()
	_, err := facts.Ask(ctx, boot.InitSocket, "/v1/loaded")
	return err
}

// linkOptions are what the tie to the orchestrator needs of the other parts.
func (a *agent) linkOptions(dir string, clock link.Clock) link.Options {
	return link.Options{Dir: dir, Config: a.configuration, Store: a.store, Report: a.report, Changed: a.hints, Runtime: a.runtime,
		HostLogs: hostlog.Logs{}.Read, Leave: a.leaveBy, Show: a.show, Install: a.install.Ask, Slots: a.slots.Ask,
		Storage: a.storage, Usage: a.meter.Answer, Node: a.nodeCalls().Answer,
		Vet: a.vet, Boot: a.boot, Version: build.Version, Underlay: a.underlay,
		Snapshots: a.snapshots().Ask, Backups: a.shelf().Answer,
		Hardware: a.facts.Hardware(), Machine: a.facts.Machine, Clock: clock, Log: a.log}
}

// nodeCalls answers what else is asked of containers.
func (a *agent) nodeCalls() nodecall.Calls {
	return nodecall.Calls{Restart: a.restart, Runtime: a.runtime,
		Backups: &backup.Keeper{Runtime: a.runtime, Snapshots: a.snapshots(), Data: a.facts.Data, Log: a.log}}
}

// shelf keeps backups of other hosts' nodes.
func (a *agent) shelf() *shelf.Shelf {
	return shelf.New(shelf.Options{Data: a.facts.Data, Work: a.work, Closed: a.scrub.Closed, Log: a.log})
}

// localAPI is what this agent answers on its own socket.
func (a *agent) localAPI() localapi.Options {
	return localapi.Options{Status: a.status, Exec: a.runtime.Exec, Logs: a.runtime.Logs, Collect: a.apply.Collect, Show: a.show,
		Install: a.install, Slots: a.slots, Storage: a.mirror, Log: a.log}
}

// logExport sends this host's logs to the log servers that its configuration names.
func (a *agent) logExport() *syslog.Export {
	return syslog.New(syslog.Options{Config: a.configuration, Name: func() string { return a.link.Status().Name },
		Place: filepath.Join(boot.RunDir, "syslog.json"), Log: a.log})
}

func (a *agent) self() wire.HostID { return a.link.Status().Host }

func (a *agent) selfAndRole() (wire.HostID, host.Role) {
	s := a.link.Status()
	return s.Host, s.Role
}

func (a *agent) addrs(context.Context) []netip.Addr { return a.links.Addrs() }

// underlay is the address other hosts use; it waits a little for netd, since joining without it would have to be put right later.
func (a *agent) underlay(ctx context.Context) netip.Addr {
	for range 10 {
		if u := a.links.Underlay(); u.IsValid() || !run.Wait(ctx, 100*time.Millisecond) {
			return u
		}
	}
	return netip.Addr{}
}

// registries are where images come from: what Peers says.
func (a *agent) registries() []string {
	if p := a.store.Peers(); p != nil {
		return p.Registry
	}
	return nil
}

// component finds a component's image in a release.
func (a *agent) component(ctx context.Context, img host.Image) (func(context.Context, int64, int) ([]byte, error), error) {
	return a.system.Component(ctx, img)
}

// registryClient reaches registries with this host's certificate, once there is a pin to trust.
func (a *agent) registryClient() *http.Client {
	return &http.Client{Transport: &registryTransport{a: a}}
}

type registryTransport struct {
	a    *agent
	once sync.Once
	t    *http.Transport
}

// RoundTrip implements http.RoundTripper.
func (r *registryTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	trust := r.a.link.Trust()
	if trust.Pin == "" {
		return nil, errors.New("this host has no configuration yet")
	}
	r.once.Do(func() {
		r.t = &http.Transport{
			TLSClientConfig:       identity.ClientTLS(trust, identity.WantComponent("registry"), r.a.link.Holder()),
			DisableKeepAlives:     true,
			DialContext:           (&net.Dialer{Timeout: 3 * time.Second}).DialContext,
			TLSHandshakeTimeout:   10 * time.Second,
			ResponseHeaderTimeout: 30 * time.Second,
		}
	})
	return r.t.RoundTrip(req)
}

// beside is a program of this one's root, which is another than the host's where programs were replaced; "" if that is not known.
func beside(name string) string {
	self, err := os.Executable()
	if err != nil {
		return ""
	}
	return filepath.Join(filepath.Dir(self), name)
}

// forwardHints brings the hints of all parts to the link, whose reports carry what they are about.
func (a *agent) forwardHints(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-a.apply.Changed():
		case <-a.gossip.Changed():
		case <-a.system.Changed():
		}
		a.hint()
	}
}

// hint has the link report soon.
func (a *agent) hint() {
	select {
	case a.hints <- struct{}{}:
	default:
	}
}

// looked makes a task wait until this agent knows what runs: on a small machine the TLS handshakes of the start would delay that. It waits
// 3 s at most: when the look fails, the orchestrator must hear of it all the same.
func (a *agent) looked(task func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		late := time.NewTimer(3 * time.Second)
		defer late.Stop()
		select {
		case <-a.apply.First():
		case <-late.C:
		case <-ctx.Done():
			return nil
		}
		return task(ctx)
	}
}

// report is what the orchestrator is told. It waits until this agent has looked at what runs.
func (a *agent) report(ctx context.Context) host.Report {
	select {
	case <-a.apply.First():
	case <-ctx.Done():
	}
	done := a.apply.Report()
	seen, _ := a.store.Revisions()
	r := host.Report{
		Boot:       a.boot,
		Version:    build.Version,
		Underlay:   a.links.Underlay(),
		Addrs:      toldOf(a.links.Global()),
		MeshKey:    a.network.MeshKey(),
		Work:       done.Work,
		Moves:      true,
		Closed:     a.scrub.Refuses(),
		Seen:       seen,
		Planned:    done.Planned,
		Peers:      done.Peers,
		Containers: done.Containers,
		Gossip:     a.gossip.Dead(),
		Keys:       a.gossip.Keys(),
		Problems:   toldTo(a.problems(done)),
		System:     a.system.Status(),
		Disks:      a.smart.Disks(),
	}
	if r.Containers == nil {
		r.Containers = []host.ContainerStatus{}
	}
	f := a.figures.Load()
	r.Capacity, r.Load, r.Boots, r.Protection = f.capacity, f.load, f.boots, f.protection
	r.Load.Pressure = a.facts.Pressure()
	if f.err != nil {
		r.Problems = append(r.Problems,
			host.Problem{Code: "internal", Object: "host", Reason: f.err.Error(), Next: "see the host's log: hnctl host logs"})
	}
	return r
}

// toldOf are the addresses that are reported: the underlay's link comes first.
func toldOf(addrs []netip.Addr) []netip.Addr { return addrs[:min(len(addrs), host.MaxAddrs+1)] }

// problems are those of all parts.
func (a *agent) problems(done apply.Report) []host.Problem {
	ps := slices.Concat(a.link.Status().Problems, done.Problems, a.export.Problems())
	for name, why := range a.links.Problems() {
		ps = append(ps, host.Problem{Code: "unavailable", Object: "link " + name, Reason: why,
			Next: "check the cable and the host configuration's network section"})
	}
	if p := a.system.Problem(); p != nil {
		ps = append(ps, *p)
	}
	ps = slices.Concat(ps, a.mounts.Problems(), a.schedule.Problems(), a.smart.Problems())
	for _, p := range []*host.Problem{a.mirror.Problem(), a.scrub.Problem()} {
		if p != nil {
			ps = append(ps, *p)
		}
	}
	if n := len(a.links.Global()); n > host.MaxAddrs+1 {
		ps = append(ps, host.Problem{
			Code:   "exhausted",
			Object: "links",
			Reason: fmt.Sprintf("this host has %d addresses; other hosts keep containers from %d of them", n, host.MaxAddrs+1),
			Next:   "give it fewer, or close its other addresses to the cluster's hosts outside",
		})
	}
	f := a.figures.Load()
	if time.Since(f.at) > oldFigures {
		ps = append(ps, host.Problem{Code: "unavailable", Object: "DATA disk", Next: "check the disk, or what writes to it",
			Reason: "it has not answered since " + f.at.UTC().Format(time.RFC3339)})
	}
	if why := f.full; why != "" {
		ps = append(ps, host.Problem{Code: "unavailable", Object: "DATA disk", Reason: why,
			Next: "delete environments that have nodes here (hnctl node list), or give the host a bigger disk"})
	}
	slices.SortStableFunc(ps, func(x, y host.Problem) int { return bytes.Compare([]byte(x.Object), []byte(y.Object)) })
	return ps
}

// toldTo leaves out that the orchestrator is away: when it hears of that, it is not true any more.
func toldTo(ps []host.Problem) []host.Problem {
	return slices.DeleteFunc(ps, func(p host.Problem) bool { return p.Object == link.ObjectOrchestrator })
}

// newest tells whether the link has said that the peers on disk are the newest ones.
func (a *agent) newest() bool {
	s := a.link.Status()
	_, peers := a.store.Revisions()
	return s.Linked && (s.Peers == 0 || peers == s.Peers)
}

// card is what gossip spreads.
func (a *agent) card() gossip.Card {
	s := a.link.Status()
	c := gossip.Card{Role: s.Role, Version: build.Version, Boot: a.boot, Started: a.started, MeshKey: a.network.MeshKey(),
		Endpoint: a.links.Underlay()}
	if f := a.figures.Load(); f.err == nil {
		c.Class = fmt.Sprintf("%dc%dg", f.capacity.CPUs, (f.capacity.MemoryBytes+1<<29)>>30)
	}
	return c
}

// status is what the console and the local API show.
func (a *agent) status(ctx context.Context) boot.AgentStatus {
	s, done := a.link.Status(), a.apply.Report()
	_, peers := a.store.Revisions()
	out := boot.AgentStatus{
		Name:       s.Name,
		Host:       s.Host,
		Cluster:    s.Cluster,
		Role:       s.Role,
		Code:       s.Code,
		Stage:      s.Stage,
		State:      s.State,
		Unlicensed: s.Unlicensed,
		Version:    build.Version,
		Boot:       a.boot,
		Link:       s.Link,
		Linked:     s.Linked,
		Work:       done.Work,
		Peers:      min(peers, done.Peers),
		Containers: done.Containers,
		Problems:   slices.Concat(a.problems(done), a.troubles(ctx, done.Containers)),
		RSS:        a.facts.RSS(),
		System:     a.system.Status(),
	}
	if out.Containers == nil {
		out.Containers = []host.ContainerStatus{}
	}
	for _, addr := range a.links.Addrs() {
		out.Addresses = append(out.Addresses, addr.String())
	}
	return out
}
