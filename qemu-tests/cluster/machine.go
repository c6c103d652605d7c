package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/qemu-tests/harness"
	"hardnode.dev/qemu-tests/harness/ask"
	"hardnode.dev/qemu-tests/harness/initramfs"
)

// Machine is one machine of the cluster: it can be switched on and off, its disk stays.
type Machine struct {
	Name  string
	Addr  netip.Addr // on the switch; also its port name there is Name
	Infra bool

	c   *Cluster
	cfg harness.Config

	medium string // that it is installed from before it boots; "": it is not, or is already

	on struct {
		sync.Mutex
		vm       *harness.VM
		expected bool // its end is wanted
	}
}

// memory of one machine in MiB, and the size of its disk.
const (
	infraMiB = 2048
	hostMiB  = 1024
	diskMiB  = 8192
)

// machines describes all machines; none is switched on yet.
func (c *Cluster) machines() error {
	infra, err := c.machine(infraName, infraAddr, true)
	if err != nil {
		return err
	}
	c.Infra = infra
	for n := 1; n <= c.opts.Hosts; n++ {
		h, err := c.machine(hostName(n), hostAddr(n), false)
		if err != nil {
			return err
		}
		c.Hosts = append(c.Hosts, h)
	}
	return nil
}

func (c *Cluster) machine(name string, addr netip.Addr, infra bool) (*Machine, error) {
	m := &Machine{Name: name, Addr: addr, Infra: infra, c: c}
	doc, err := c.hostConfig(m)
	if err != nil {
		return nil, err
	}
	m.cfg = harness.Config{
		Name: name, MemMiB: cmp.Or(c.opts.HostMiB, hostMiB), CPUs: 2, Dir: filepath.Join(c.Dir, "logs"), Reboot: true, Timeout: -1,
		Disks: []harness.Disk{{Path: filepath.Join(c.Dir, name+".disk"), SizeMiB: cmp.Or(c.opts.DiskMiB, diskMiB), Serial: name}},
		NICs:  []harness.NIC{{Switch: c.Switch}},
		FwCfg: map[string][]byte{boot.FwCfgConfig: doc},
	}
	if err := m.boots(cmp.Or(c.opts.Roots[name], c.Root)); err != nil {
		return nil, err
	}
	medium := c.opts.Install
	if infra {
		medium = c.opts.Infra
	}
	if medium != "" {
		if err := m.installs(medium); err != nil {
			return nil, err
		}
	}
	if infra {
		m.cfg.MemMiB = infraMiB
		var user []harness.Forward
		for _, f := range c.Ports.Table() {
			user = append(user, harness.Forward{Host: f.Host, Guest: f.Guest})
		}
		m.cfg.NICs = append(m.cfg.NICs, harness.NIC{User: user})
		if m.cfg.FwCfg[boot.FwCfgBundle], err = os.ReadFile(filepath.Join(c.day0.admin, "infra-bundle.json")); err != nil {
			return nil, fmt.Errorf("day-0 bundle: %v", err)
		}
	}
	return m, m.addProbe()
}

// installs has the machine installed onto its disk, from a medium that it boots by UEFI, before its first Boot.
func (m *Machine) installs(medium string) error {
	own := filepath.Join(m.c.Dir, m.Name+".medium")
	if out, err := exec.Command("cp", "--sparse=always", medium, own).CombinedOutput(); err != nil {
		return fmt.Errorf("boot medium of %s: %v: %s", m.Name, err, out)
	}
	m.cfg.Kernel, m.cfg.Initrd, m.cfg.Append, m.cfg.UEFI = "", nil, "", true
	m.medium = own
	m.cfg.FwCfg[boot.FwCfgConfig] = fmt.Appendf(m.cfg.FwCfg[boot.FwCfgConfig], "install: {disk: {serial: %s}}\n", m.Name)
	return nil
}

// install boots the medium, which is taken out when the system is on the disk.
func (m *Machine) install() error {
	ctx, cancel := context.WithTimeout(m.c.ctx, 5*time.Minute*harness.Scale())
	defer cancel()
	cfg := m.cfg
	cfg.Disks, cfg.Reboot = append([]harness.Disk{{Path: m.medium}}, cfg.Disks...), false
	vm, err := harness.Start(ctx, cfg)
	if err != nil {
		return err
	}
	defer vm.Kill()
	if _, err := vm.WaitFor(ctx, `reboot: installed on`); err != nil {
		return fmt.Errorf("install %s: %w", m.Name, err)
	}
	if err := vm.Wait(ctx); err != nil {
		return fmt.Errorf("install %s: %w", m.Name, err)
	}
	m.medium = ""
	return nil
}

// boots makes the image in the tree below root the one the machine boots.
func (m *Machine) boots(root string) error {
	out, initrd := filepath.Join(root, "out/image"), "host.initrd"
	if m.Infra {
		initrd = "infra.initrd"
	}
	cmdline, err := initramfs.Cmdline(out)
	m.cfg.Kernel, m.cfg.Initrd, m.cfg.Append = filepath.Join(out, "vmlinuz"), []string{filepath.Join(out, initrd)}, cmdline
	return err
}

func (m *Machine) addProbe() error {
	if !m.c.opts.Probe {
		return nil
	}
	return harness.AddProbe(m.c.ctx, &m.cfg, m.cfg.Dir)
}

// Use makes the machine boot the image of another tree, built already, from its next Boot on. Its disk stays as it is.
func (m *Machine) Use(root string) error {
	if err := m.boots(root); err != nil {
		return fmt.Errorf("machine %s: %w", m.Name, err)
	}
	return m.addProbe()
}

// Log is the file with the machine's serial console.
func (m *Machine) Log() string { return filepath.Join(m.cfg.Dir, m.Name+".log") }

// VM is the machine's running VM, or the last one, or nil before the first Boot.
func (m *Machine) VM() *harness.VM {
	m.on.Lock()
	defer m.on.Unlock()
	return m.on.vm
}

// Boot switches the machine on. If it ends without Kill or PowerDown, the cluster's waits end with the reason.
func (m *Machine) Boot() error {
	if m.medium != "" {
		if err := m.install(); err != nil {
			return err
		}
	}
	vm, err := harness.Start(m.c.ctx, m.cfg)
	if err != nil {
		return err
	}
	m.on.Lock()
	m.on.vm, m.on.expected = vm, false
	m.on.Unlock()
	return nil
}

// Kill cuts the machine's power.
func (m *Machine) Kill() {
	m.end(func(vm *harness.VM) error { vm.Kill(); return nil }) // can't fail
}

// PowerDown presses the machine's power button and waits until it is off.
func (m *Machine) PowerDown(ctx context.Context) error {
	return m.end(func(vm *harness.VM) error { return vm.PowerDown(ctx) })
}

// Off waits until the machine has switched itself off, as somebody ordered it to.
func (m *Machine) Off(ctx context.Context) error {
	return m.end(func(vm *harness.VM) error { return vm.Wait(ctx) })
}

func (m *Machine) end(how func(*harness.VM) error) error {
	m.on.Lock()
	m.on.expected = true
	vm := m.on.vm
	m.on.Unlock()
	if vm == nil {
		return nil
	}
	return how(vm)
}

// lost is why the machine is off although nobody switched it off, or its kernel's panic, or nil.
func (m *Machine) lost() error {
	m.on.Lock()
	defer m.on.Unlock()
	if m.on.vm == nil || m.on.expected {
		return nil
	}
	why := m.on.vm.Console.Panic() // it reboots then, perhaps for ever
	if why == nil && !m.on.vm.Running() {
		why = m.on.vm.Err()
	}
	if why == nil {
		return nil
	}
	return fmt.Errorf("machine %s: %w%s", m.Name, why, m.on.vm.Console.Excerpt(30))
}

// Watch tells of each machine that goes off by itself, until ctx ends.
func (c *Cluster) Watch(ctx context.Context, say func(error)) {
	var all sync.WaitGroup
	for _, m := range append([]*Machine{c.Infra}, c.Hosts...) {
		all.Go(func() {
			if m.VM().Wait(ctx) == nil && m.lost() != nil {
				say(m.lost())
			}
		})
	}
	all.Wait()
}

func (m *Machine) close(orderly bool) error {
	vm := m.VM()
	if vm == nil {
		return nil
	}
	if orderly && vm.Running() {
		ctx, cancel := context.WithTimeout(context.Background(), boot.StopContainers+time.Minute)
		defer cancel()
		return m.PowerDown(ctx)
	}
	m.Kill()
	return nil
}

// Ask puts a question to the machine's probe (Options.Probe).
func (m *Machine) Ask(ctx context.Context, q ask.Request) (ask.Answer, error) {
	vm := m.VM()
	if vm == nil {
		return ask.Answer{}, fmt.Errorf("machine %s: was never switched on", m.Name)
	}
	limit := 2 * time.Minute * harness.Scale()
	ctx, cancel := context.WithTimeoutCause(ctx, limit,
		fmt.Errorf("machine %s: its probe did not answer %q %s within %v", m.Name, q.What, q.Path, limit))
	defer cancel()
	a, err := vm.Ask(ctx, q)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return a, err
}

// joinTime is how long a machine may take from power on to ACTIVE: an end to the wait, for a machine that has much else to do.
func joinTime() time.Duration { return 3 * time.Minute * harness.Scale() }

// bootAndJoin switches the machine on and waits until the orchestrator says ACTIVE.
func (m *Machine) bootAndJoin(ctx context.Context, detail detail) error {
	if err := m.Boot(); err != nil {
		return err
	}
	detail("console log %s", m.Log())
	if m.Infra {
		return m.c.WaitAPI(ctx, joinTime())
	}
	_, err := m.c.WaitHost(ctx, m.Name, joinTime(), func(h operator.Host) bool { return h.State == operator.HostActive })
	return err
}

// ErrTaken: another cluster runs in the folder.
var ErrTaken = errors.New("another cluster runs in it")

// lockDir takes the folder for this process, whose number it leaves there for whoever comes second.
func lockDir(dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		who, _ := io.ReadAll(io.LimitReader(f, 20)) // empty for a moment while the other begins
		f.Close()
		return nil, fmt.Errorf("folder %s: %w, process %s; end that one (Ctrl-C where it runs, or kill %s), or name another folder", dir,
			ErrTaken, who, who)
	}
	err = f.Truncate(0)
	if _, err2 := fmt.Fprint(f, os.Getpid()); err != nil || err2 != nil {
		f.Close()
		return nil, fmt.Errorf("take folder %s: %v", dir, errors.Join(err, err2))
	}
	return func() { f.Close() }, nil
}

// clear removes what an earlier cluster left in the folder, and nothing that a cluster doesn't make.
func clear(dir string) error {
	var errs []error
	for _, pattern := range []string{"*.disk", "logs", "admin", "jls", madeFile, "hello.yaml"} {
		list, err := filepath.Glob(filepath.Join(dir, pattern))
		errs = append(errs, err)
		for _, p := range list {
			errs = append(errs, os.RemoveAll(p))
		}
	}
	return errors.Join(errs...)
}

// MemoryMiB is what the machines of a cluster with so many user hosts need at most.
func MemoryMiB(hosts int) int { return infraMiB + hosts*hostMiB }
