package harness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"hardnode.dev/qemu-tests/harness/ether"
	"hardnode.dev/qemu-tests/harness/nbd"
	"hardnode.dev/qemu-tests/harness/qmp"
	"hardnode.dev/qemu-tests/harness/swtpm"
)

// Program is the QEMU that runs the VMs.
const Program = "qemu-system-x86_64"

// ErrEnded is returned, wrapped, by every wait on a VM that is no longer running.
var ErrEnded = errors.New("the VM has ended")

// VM is one running (or ended) virtual machine. All methods may be called from any goroutine.
type VM struct {
	Config  Config
	Console *Console  // the serial port
	Started time.Time // when QEMU was started; the console's and the events' times count from here
	PID     int       // of QEMU

	qmp    *qmp.Client
	probe  *prober
	events *eventLog
	ports  []*ether.Port
	disks  []*nbd.Conn
	done   chan struct{} // closed when QEMU has ended and was reaped

	end struct {
		sync.Mutex
		why error // set before done is closed
		cut string
	}
}

// Start boots a VM and returns as soon as QEMU runs. The VM ends with ctx, with Config.Timeout, or with this process, whichever
// is first; whoever starts it still calls Kill (or PowerDown) so that nothing is left when it returns.
func Start(ctx context.Context, c Config) (*VM, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if err := c.prepare(); err != nil {
		return nil, fmt.Errorf("vm %s: %v", c.Name, err)
	}
	if c.TPM != "" {
		if err := swtpm.Start(ctx, c.TPM, c.file("tpm"), c.file("tpm.log"), 30*time.Second*Scale()); err != nil {
			return nil, fmt.Errorf("vm %s: %v", c.Name, err)
		}
	}
	vm := &VM{Config: c, Started: time.Now(), done: make(chan struct{}), events: newEventLog()}
	var err error
	if vm.Console, err = newConsole(c.file("log"), vm.Started, c.Crash); err != nil {
		return nil, fmt.Errorf("vm %s: %v", c.Name, err)
	}
	if err := vm.launch(ctx); err != nil {
		vm.Console.finish(err)
		return nil, errors.Join(fmt.Errorf("vm %s: %v", c.Name, err), vm.unplug())
	}
	return vm, nil
}

// prepare makes the files QEMU is given: blank disks, fw_cfg contents, the joined initrd.
func (c Config) prepare() error {
	for _, d := range c.Disks {
		if _, err := os.Stat(d.Path); err == nil || d.Cut != nil {
			continue
		}
		f, err := os.OpenFile(d.Path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return fmt.Errorf("make disk: %v", err)
		}
		err = f.Truncate(int64(d.SizeMiB) << 20)
		if err = errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("make disk %s: %v", d.Path, err)
		}
	}
	if c.UEFI {
		if err := c.variables(); err != nil {
			return err
		}
	}
	for i, name := range c.fwNames() {
		if err := os.WriteFile(c.file(fmt.Sprintf("fwcfg%d", i)), c.FwCfg[name], 0o600); err != nil {
			return err
		}
	}
	if len(c.Initrd) > 1 {
		return join(c.file("initrd"), c.Initrd)
	}
	return nil
}

// variables makes the firmware's store of variables, unless an earlier VM of this name left one.
func (c Config) variables() error {
	if _, err := os.Stat(c.file("vars")); err == nil {
		return nil
	}
	fresh, err := os.ReadFile(firmware + "OVMF_VARS_4M.fd")
	if err != nil {
		return fmt.Errorf("read the firmware: %v; install the package ovmf", err)
	}
	return os.WriteFile(c.file("vars"), fresh, 0o600)
}

// launch starts QEMU with its sockets as inherited descriptors, so that no socket path can be left over or be too long.
func (vm *VM) launch(ctx context.Context) error {
	c := vm.Config
	var ours [3]net.Conn // QMP, events, probe: in the order of fdQMP, fdEvents, fdProbe
	var theirs []*os.File
	closeTheirs := func() {
		for _, f := range theirs {
			f.Close()
		}
	}
	for i := range ours {
		mine, his, err := socketPair()
		if err != nil {
			for _, c := range ours[:i] {
				c.Close()
			}
			closeTheirs()
			return err
		}
		ours[i], theirs = mine, append(theirs, his)
	}
	closeOurs := func() {
		for _, c := range ours {
			c.Close()
		}
	}
	for _, d := range c.Disks {
		if d.Cut == nil {
			continue
		}
		mine, his, err := socketPair()
		if err != nil {
			closeTheirs()
			closeOurs()
			return err
		}
		theirs = append(theirs, his)
		vm.disks = append(vm.disks, d.Cut.Connect(mine))
	}
	for i, n := range c.NICs {
		if n.Switch == nil {
			continue
		}
		mine, his, err := socketPair()
		if err != nil {
			closeTheirs()
			closeOurs()
			return err
		}
		theirs = append(theirs, his)
		name := c.Name
		if i > 0 && c.NICs[0].Switch != nil {
			name = fmt.Sprintf("%s-%d", c.Name, i+1)
		}
		vm.ports = append(vm.ports, n.Switch.Connect(name, mine))
	}
	cmd := exec.Command(Program, c.args(Accelerated())...)
	cmd.ExtraFiles = theirs
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	var complaint tail
	cmd.Stderr = &complaint
	out, err1 := cmd.StdoutPipe()
	in, err2 := cmd.StdinPipe()
	started := make(chan error, 1)
	if err := errors.Join(err1, err2); err != nil {
		closeTheirs()
		closeOurs()
		return err
	}
	vm.Console.keyboard = in
	serial := make(chan struct{})
	go func() { // owns QEMU: the kernel ends QEMU with the thread that started it (prctl(2), PR_SET_PDEATHSIG)
		runtime.LockOSThread()
		if err := cmd.Start(); err != nil {
			started <- fmt.Errorf("start %s: %v", Program, err)
			return
		}
		vm.PID = cmd.Process.Pid
		started <- nil
		<-serial
		err := cmd.Wait()
		vm.ended(err, complaint.String())
	}()
	if err := <-started; err != nil {
		closeTheirs()
		closeOurs()
		return err
	}
	closeTheirs()
	vm.qmp = qmp.New(ours[0])
	go func() { vm.Console.read(out); close(serial) }()
	vm.probe = &prober{conn: ours[2], dec: json.NewDecoder(ours[2])}
	go vm.events.read(ours[1], vm.Started)
	go vm.watch(ctx)
	return nil
}

// watch kills the VM when ctx ends or its time is over.
func (vm *VM) watch(ctx context.Context) {
	limit := vm.Config.Timeout
	if limit == 0 {
		limit = DefaultTimeout
	}
	var over <-chan time.Time
	if limit > 0 {
		t := time.NewTimer(limit)
		defer t.Stop()
		over = t.C
	}
	select {
	case <-vm.done:
	case <-ctx.Done():
		vm.kill(fmt.Sprintf("its context ended: %v", context.Cause(ctx)))
	case <-over:
		vm.kill(fmt.Sprintf("it ran longer than %v", limit))
	}
}

// ended records why QEMU ended and lets every waiter go.
func (vm *VM) ended(err error, complaint string) {
	vm.end.Lock()
	why := vm.end.cut
	switch {
	case why != "":
	case err != nil:
		why = strings.TrimSpace(fmt.Sprintf("qemu: %v %s", err, complaint))
	default:
		why = "it powered off"
	}
	vm.end.why = fmt.Errorf("%w: %s", ErrEnded, why)
	vm.end.Unlock()
	vm.qmp.Close()
	vm.probe.conn.Close()
	if err := vm.unplug(); err != nil {
		vm.end.Lock()
		vm.end.why = errors.Join(vm.end.why, err)
		vm.end.Unlock()
	}
	vm.Console.finish(vm.end.why)
	vm.events.finish(vm.end.why)
	close(vm.done)
}

// unplug ends the connections of cards and disks.
func (vm *VM) unplug() (err error) {
	for _, p := range vm.ports {
		p.Close()
	}
	for _, d := range vm.disks {
		err = errors.Join(err, d.Close())
	}
	return err
}

// kill ends QEMU at once; why is what waiters are told.
func (vm *VM) kill(why string) {
	vm.end.Lock()
	if vm.end.cut == "" {
		vm.end.cut = why
	}
	vm.end.Unlock()
	select {
	case <-vm.done:
	default:
		syscall.Kill(vm.PID, syscall.SIGKILL)
		<-vm.done
	}
}

// Kill cuts the power: QEMU gets SIGKILL, nothing is flushed in the guest, the disks stay as they are. It returns when QEMU is gone.
func (vm *VM) Kill() { vm.kill("its power was cut") }

// PowerDown presses the power button and waits until the guest has powered off; at the end of ctx the power is cut and the error says so.
func (vm *VM) PowerDown(ctx context.Context) error {
	if err := vm.Button(ctx); err != nil && vm.Running() {
		vm.Kill()
		return fmt.Errorf("vm %s: %v", vm.Config.Name, err)
	}
	if err := vm.Wait(ctx); err != nil {
		vm.Kill()
		return err
	}
	return nil
}

// Button presses the power button, and waits for nothing.
func (vm *VM) Button(ctx context.Context) error { return vm.qmp.Do(ctx, "system_powerdown") }

// Wait waits until the VM has ended by itself. An error means ctx ended first (the VM goes on) or QEMU failed.
func (vm *VM) Wait(ctx context.Context) error {
	select {
	case <-vm.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("vm %s: wait for its end: %w%s", vm.Config.Name, ctx.Err(), vm.Console.Excerpt(30))
	}
}

// Running tells whether QEMU still runs.
func (vm *VM) Running() bool {
	select {
	case <-vm.done:
		return false
	default:
		return true
	}
}

// Ended is closed when the VM has ended; then Err says why.
func (vm *VM) Ended() <-chan struct{} { return vm.done }

// Err is nil while the VM runs, and then says why it ended (ErrEnded, wrapped).
func (vm *VM) Err() error {
	vm.end.Lock()
	defer vm.end.Unlock()
	return vm.end.why
}

// Pause stops the guest's processors; its network and clock seem frozen from outside.
func (vm *VM) Pause(ctx context.Context) error { return vm.qmp.Do(ctx, "stop") }

// Resume lets a paused guest go on.
func (vm *VM) Resume(ctx context.Context) error { return vm.qmp.Do(ctx, "cont") }

// Line puts the cable of card n in, or pulls it out: unlike a cut at the switch, the machine sees that.
func (vm *VM) Line(ctx context.Context, n int, in bool) error {
	return vm.qmp.With(ctx, "set_link", fmt.Sprintf(`{"name":"net%d","up":%v}`, n, in))
}

// Pull pulls disk n, which is Hot, out of the running machine; Plug puts one in that is Out. The machine takes some seconds for each.
func (vm *VM) Pull(ctx context.Context, n int) error {
	return vm.qmp.With(ctx, "device_del", fmt.Sprintf(`{"id":"dev%d"}`, n))
}

// Plug is Pull's other way.
func (vm *VM) Plug(ctx context.Context, n int) error {
	const virtio = `{"driver":"virtio-blk-pci","drive":"disk%d","id":"dev%d","bus":"port%d","serial":%q}`
	return vm.qmp.With(ctx, "device_add", fmt.Sprintf(virtio, n, n, n, vm.Config.Disks[n].Serial))
}

// held is how long a key is pressed: the machine's own driver looks at its keyboard each few milliseconds, and may be slow.
const held = 30 * time.Millisecond

// Press presses keys of the machine's keyboard together, and returns when they are up again. The names are QEMU's (QKeyCode).
func (vm *VM) Press(ctx context.Context, keys ...string) error {
	var list []string
	for _, k := range keys {
		list = append(list, fmt.Sprintf(`{"type":"qcode","data":%q}`, k))
	}
	if err := vm.qmp.With(ctx, "send-key", fmt.Sprintf(`{"keys":[%s],"hold-time":%d}`, strings.Join(list, ","), held.Milliseconds())); err != nil {
		return err
	}
	up := time.NewTimer(2 * held)
	defer up.Stop()
	select {
	case <-up.C:
	case <-ctx.Done():
	}
	return ctx.Err()
}

// Reset presses the reset button. Needs Config.Reboot.
func (vm *VM) Reset(ctx context.Context) error { return vm.qmp.Do(ctx, "system_reset") }

// WaitFor waits until a line of the console matches pattern (RE2) and returns the match and its groups. It fails at once when the VM
// ends or its kernel panics; the error carries the console's last 30 lines.
func (vm *VM) WaitFor(ctx context.Context, pattern string) ([]string, error) {
	return vm.WaitAfter(ctx, 0, pattern)
}

// WaitAfter is WaitFor on the lines after mark, which Console.Mark gave.
func (vm *VM) WaitAfter(ctx context.Context, mark int, pattern string) ([]string, error) {
	m, err := vm.Console.waitFor(ctx, mark, pattern)
	if err != nil {
		return nil, fmt.Errorf("vm %s: wait for %q: %w%s", vm.Config.Name, pattern, err, vm.Console.Excerpt(30))
	}
	return m, nil
}

// socketPair is a connected pair: our end as a net.Conn, QEMU's end as a file to inherit.
func socketPair() (net.Conn, *os.File, error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make socket pair: %v", err)
	}
	mine, his := os.NewFile(uintptr(fds[0]), "ours"), os.NewFile(uintptr(fds[1]), "theirs")
	defer mine.Close()
	c, err := net.FileConn(mine)
	if err != nil {
		his.Close()
		return nil, nil, err
	}
	return c, his, nil
}

// join writes the parts one after the other, each padded to 4 bytes as the kernel wants it (initramfs buffer format).
func join(path string, parts []string) error {
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	defer out.Close()
	for _, p := range parts {
		in, err := os.Open(p)
		if err != nil {
			return err
		}
		n, err := io.Copy(out, in)
		in.Close()
		if err != nil {
			return fmt.Errorf("join %s: %v", p, err)
		}
		if _, err := out.Write(make([]byte, -n&3)); err != nil {
			return err
		}
	}
	return out.Close()
}

// tail keeps the last 4 KiB of what is written to it.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if n := len(t.buf) - 4096; n > 0 {
		t.buf = t.buf[n:]
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.buf)
}
