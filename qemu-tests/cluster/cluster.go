// Package cluster starts a whole Hardnode cluster in QEMU: one infra appliance VM and user hosts on a switch of this process.
//
// Owns: the machines and their disks, the forwarded ports, the order of starting (build, day 0, boot, join, template, environment), its
// timing.
// In: Options; what is built in out/.
// Out: a Cluster whose page is served, or an error that names the machine, the reason and the log; Progress on the way.
// Never: decides what a host or the orchestrator does: it uses hnctl and the API as an operator would.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/qemu-tests/harness"
	"hardnode.dev/qemu-tests/harness/ether"
)

// Options say what cluster to start. Only Dir is needed.
type Options struct {
	Dir      string         // state, disks and logs; made when absent
	Hosts    int            // user hosts; 0 is 2
	Seats    int            // user hosts the licence allows; 0 is Hosts
	Spare    int            // user hosts that are prepared (token, configuration) but not booted: AddHost
	Probe    bool           // machines can be asked about their inside (harness.AddProbe)
	Keep     bool           // go on with the state an earlier run left in Dir; otherwise what lies there is removed first
	Built    bool           // everything in out/ is up to date already: build nothing
	Alone    bool           // no user hosts: the infra host alone (Hosts is 0 then; Bare is meant too)
	Bare     bool           // stop when the hosts are ACTIVE: no template, no environment
	HostMiB  int            // memory of a user host; 0 is 1024
	DiskMiB  int            // size of each machine's disk, of which only what is written takes room; 0 is 8192
	Init     []string       // more arguments of hnctl cluster init
	Config   string         // more sections of user hosts' configurations, YAML
	Install  string         // medium that user hosts boot by UEFI, and are installed from onto their disk; "": they boot the image as it is
	Infra    string         // likewise of the infra VM
	Progress func(Progress) // told what happens, from several goroutines; may be nil

	Root  string            // of the tree whose out/ the infra VM, the hosts and the tools come from; "" is this one
	Roots map[string]string // machine → root of another tree, built already, whose image it boots (Machine.Use changes it)
}

// Cluster is a running cluster. Close ends it.
type Cluster struct {
	Dir    string
	Root   string // of the repository
	Switch *ether.Switch
	Ports  Ports
	Infra  *Machine
	Hosts  []*Machine
	Domain string // environments live below it

	strangers []*Machine
	opts      Options
	day0      day0
	phases    phases
	ctx       context.Context // the machines' lifetime
	stop      context.CancelCauseFunc
	unlock    func()

	connect sync.Once
	api     *http.Client // of request
}

// underlay is the network of the switch.
var underlay = netip.MustParsePrefix("10.77.0.0/24")

// infraAddr and hostAddr are the machines' addresses on the switch.
var infraAddr = netip.MustParseAddr("10.77.0.2")

func hostAddr(n int) netip.Addr {
	a := underlay.Addr().As4()
	a[3] = byte(10 + n)
	return netip.AddrFrom4(a)
}

// MaxHosts is how many user hosts fit on the switch's network.
const MaxHosts = 200

// Start builds what is missing, boots the machines and returns when the demo's page is served (or the hosts are ACTIVE, with
// Options.Bare). On an error everything it started has ended, and Dir keeps the logs. ctx bounds the cluster's whole life.
func Start(ctx context.Context, o Options) (*Cluster, error) {
	c, err := prepare(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := c.start(); err != nil {
		err = c.reason(err)
		c.stop(err)
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// reason is why err came: a machine that went off by itself, which ends all waits, those for other machines too, or err itself.
func (c *Cluster) reason(err error) error {
	if lost := c.lost(); lost != nil && c.ctx.Err() == nil {
		return lost
	}
	return err
}

// prepare checks the options, takes the folder for itself and chooses ports.
func prepare(ctx context.Context, o Options) (*Cluster, error) {
	switch {
	case o.Alone:
		o.Hosts, o.Bare, o.Spare = 0, true, max(o.Spare, 1)
	case o.Hosts == 0:
		o.Hosts = 2
	}
	if o.Hosts < 1 && !o.Alone || o.Hosts > MaxHosts {
		return nil, fmt.Errorf("hosts %d: from 1 to %d are possible", o.Hosts, MaxHosts)
	}
	if o.Seats == 0 {
		o.Seats = max(o.Hosts, 1)
	}
	root, err := harness.Root()
	if err != nil {
		return nil, err
	}
	if o.Root != "" {
		root = o.Root
	}
	if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return nil, err
	}
	c := &Cluster{Dir: o.Dir, Root: root, Switch: ether.NewSwitch(), opts: o, phases: phases{begin: time.Now(), tell: o.Progress}}
	if c.unlock, err = lockDir(o.Dir); err != nil {
		return nil, err
	}
	if !o.Keep || !exists(filepath.Join(o.Dir, madeFile)) {
		if err := clear(o.Dir); err != nil {
			c.unlock()
			return nil, err
		}
	}
	if err := os.MkdirAll(filepath.Join(o.Dir, "logs"), 0o700); err != nil {
		c.unlock()
		return nil, err
	}
	if c.Ports, err = ChoosePorts(Free); err != nil {
		c.unlock()
		return nil, err
	}
	c.ctx, c.stop = context.WithCancelCause(ctx)
	return c, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// start goes through the phases; what can overlap does.
func (c *Cluster) start() error {
	if !c.opts.Built {
		if err := c.build(c.ctx); err != nil {
			return err
		}
	}
	if err := c.phases.run("day 0", c.makeDay0); err != nil {
		return err
	}
	if err := c.machines(); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(c.ctx)
	for _, m := range append([]*Machine{c.Infra}, c.Hosts...) {
		g.Go(func() error {
			return c.phases.run("boot "+m.Name, func(detail detail) error { return m.bootAndJoin(ctx, detail) })
		})
	}
	if !c.opts.Bare {
		g.Go(func() error {
			return c.phases.run("push template nginx", func(detail detail) error { return c.pushTemplate(ctx, detail) })
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if c.opts.Bare {
		return nil
	}
	if err := c.phases.run("create environment hello", c.createHello); err != nil {
		return err
	}
	return c.phases.run("page served", func(detail detail) error {
		return c.WaitPage(c.ctx, "hello", 30*time.Second*harness.Scale())
	})
}

// Hello creates the environment hello, of a cluster that was started Bare and has the template, and waits for its page.
func (c *Cluster) Hello(ctx context.Context) error {
	if err := c.createHello(func(string, ...any) {}); err != nil {
		return err
	}
	return c.WaitPage(ctx, "hello", 60*time.Second*harness.Scale())
}

// detail tells what a phase is at.
type detail = func(format string, args ...any)

// Timings says how long each phase took.
func (c *Cluster) Timings() []Timing { return c.phases.timings() }

// Elapsed is the time since Start was called.
func (c *Cluster) Elapsed() time.Duration { return time.Since(c.phases.begin) }

// AddHost boots one of the spare hosts, with more arguments for QEMU if there are any; wait for it with WaitHost.
func (c *Cluster) AddHost(extra ...string) (*Machine, error) {
	n := len(c.Hosts) + 1
	if n > c.opts.Hosts+c.opts.Spare {
		return nil, fmt.Errorf("add host-%d: only %d spare hosts were asked for", n, c.opts.Spare)
	}
	m, err := c.machine(hostName(n), hostAddr(n), false)
	if err != nil {
		return nil, err
	}
	m.cfg.Extra = append(m.cfg.Extra, extra...)
	c.Hosts = append(c.Hosts, m)
	return m, m.Boot()
}

// AddInstalled installs one of the spare hosts from a medium onto its disk, as Options.Install does, and boots it.
func (c *Cluster) AddInstalled(medium string) (*Machine, error) {
	c.opts.Install = medium
	return c.AddHost()
}

// Retire cuts the power of a host that the cluster is to forget; it is no longer among Hosts.
func (c *Cluster) Retire(m *Machine) {
	m.Kill()
	c.Hosts = slices.DeleteFunc(c.Hosts, func(x *Machine) bool { return x == m })
	c.strangers = append(c.strangers, m)
}

// Stranger boots one more machine on the switch that is no part of the cluster's count: with the configuration of host number `like`
// as edit changes it, with a blank disk, and with more arguments for QEMU. The caller kills it.
func (c *Cluster) Stranger(name string, like int, edit func(config string) string, extra ...string) (*Machine, error) {
	n := MaxHosts + len(c.strangers) + 1
	m, err := c.machine(hostName(like), hostAddr(n), false)
	if err != nil {
		return nil, err
	}
	c.strangers = append(c.strangers, m)
	m.cfg.Extra = append(m.cfg.Extra, extra...)
	m.Name, m.cfg.Name, m.cfg.Disks[0].Path = name, name, filepath.Join(c.Dir, name+".disk")
	doc := strings.ReplaceAll(string(m.cfg.FwCfg[boot.FwCfgConfig]), ether.MAC(hostName(like), 0), ether.MAC(name, 0))
	doc = strings.ReplaceAll(doc, hostAddr(like).String()+"/", hostAddr(n).String()+"/")
	m.cfg.FwCfg = map[string][]byte{boot.FwCfgConfig: []byte(edit(doc))}
	return m, m.Boot()
}

// infraName and hostName are the names `hnctl cluster init` gives.
const infraName = "infra-1"

func hostName(n int) string { return fmt.Sprintf("host-%d", n) }

// Machine is the machine with this name, or nil.
func (c *Cluster) Machine(name string) *Machine {
	for _, m := range append([]*Machine{c.Infra}, c.Hosts...) {
		if m != nil && m.Name == name {
			return m
		}
	}
	return nil
}

// Close ends every machine and returns when none runs any more. With Options.Keep they are shut down in order first.
func (c *Cluster) Close() error {
	var g errgroup.Group
	for _, m := range append(append([]*Machine{c.Infra}, c.Hosts...), c.strangers...) {
		if m == nil {
			continue
		}
		g.Go(func() error { return m.close(c.opts.Keep) })
	}
	err := g.Wait()
	c.stop(errors.New("the cluster was closed"))
	c.unlock()
	return err
}
