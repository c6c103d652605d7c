//go:build qemu

package boot

import (
	"bytes"
	"crypto/sha256"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"hardnode.dev/internal/run"
	"hardnode.dev/qemu-tests/harness"
	"hardnode.dev/qemu-tests/harness/ask"
)

// TestBootServeLeave is one life of a host: a blank disk is formatted, services come up and are kept up, the power button ends it in order.
func TestBootServeLeave(t *testing.T) {
	dir := harness.Dir(t)
	c := machine(t, dir, config+consolePassword(t, "ttyS0", "tty1", "hvc0"))
	withTerminals(&c)
	c.Disks = append(c.Disks, harness.Disk{Path: supportStick(t, dir)})
	if err := harness.AddProbe(t.Context(), &c, dir); err != nil {
		t.Fatal(err)
	}
	h := start(t, c)
	for _, line := range []string{`step mounts:`, `step config: host host-1, role user`,
		`formatting /dev/vda for DATA: it is the only blank disk`, `step data: /dev/vda`,
		`step swap: /dev/zram0: [1-9]\d* MiB of compressed memory`, `step last words: by ramoops`,
		`step reason of boot: first - the disk was blank`, `step services: spawner ready`} {
		h.sees(line)
	}
	h.up()
	h.sees(`step container modules: \d+ loaded`)
	h.look()
	t.Run("services", h.services)
	t.Run("console", h.console)
	t.Run("terminal", h.terminal)
	if err := h.VM.PowerDown(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.sees(`poweroff: power button`)
	h.off()
	supported(t, c.Disks[1].Path)

	h = start(t, machine(t, dir, config+consolePassword(t)+"storage: {swap: 25%}\n"))
	h.sees(`step data: /dev/vda: it holds this host's DATA`)
	// a quarter of 1024 MiB, less what the kernel has
	if mib, err := strconv.Atoi(h.sees(`step swap: /dev/zram0: (\d+) MiB of compressed memory`)[1]); err != nil || mib < 200 || mib > 256 {
		t.Errorf("storage.swap: 25%% is %d MiB (%v)", mib, err)
	}
	h.sees(`step reason of boot: ordered poweroff: power button \(ordered by somebody at the host\) - it was left in order, to the end`)
	h.up()
	h.sees(`\[host-1\] .*\b10\.77\.0\.13\b`) // the network that was confirmed at the terminal
	if os.Getenv("HARDNODE_SOAK") != "" {
		// The power goes while another network is tried: the confirmed one is back.
		h.mark = h.VM.Console.Mark()
		if err := h.VM.Console.Type("\r"); err != nil {
			t.Fatal(err)
		}
		h.typed(t, "network try up0 10.77.0.14/24\r"+knownPassword, 0)
		h.sees(`\[host-1\] .*\b10\.77\.0\.14\b`)
		h.VM.Kill()
		h = start(t, machine(t, dir, config+consolePassword(t)))
		h.up()
		h.sees(`\[host-1\] .*\b10\.77\.0\.13\b`)
		h.reset(t)
		h = start(t, machine(t, dir, config))
		h.sees(`reset: DATA and STATE are made empty, as was ordered by terminal ttyS0`)
		h.up()
		h.sees(`\[host-1\] .*\b10\.77\.0\.11\b`) // the configuration's
	}
}

// look checks what the programs left on the host, and logs what they cost.
func (h *host) look() {
	h.T.Helper()
	read := func(path string) string {
		a, err := h.VM.Ask(h.T.Context(), ask.Request{What: "read", Path: path})
		if err != nil {
			h.T.Error(err)
		}
		return a.Text
	}
	if got := read("/run/hardnode/host.json"); !strings.Contains(got, `"name":"host-1"`) {
		h.T.Errorf("host.json: %s", got)
	}
	if got := strings.TrimSpace(read("/proc/sys/kernel/hostname")); got != "host-1" {
		h.T.Errorf("hostname %q", got)
	}
	for mount, options := range map[string]string{" / ": "ro", " /data ": "btrfs", " /state ": "subvol=/state",
		" /sys/fs/cgroup ": "memory_recursiveprot"} {
		if !regexp.MustCompile(regexp.QuoteMeta(mount) + `.*` + options).MatchString(read("/proc/1/mountinfo")) {
			h.T.Errorf("mount%s: no %q in\n%s", mount, options, read("/proc/1/mountinfo"))
		}
	}
	for _, name := range []string{"btrfs", "overlay", "veth", "wireguard", "nf_tables", "nft_limit"} {
		if !strings.Contains("\n"+read("/proc/modules"), "\n"+name+" ") {
			h.T.Errorf("module %s is not loaded", name)
		}
	}
	if got := read("/proc/swaps"); !strings.Contains(got, "/dev/zram0") {
		h.T.Errorf("no swap: %q", got)
	}
	for file, want := range map[string]string{"system/cpu.weight": "1000", "system/memory.min": "100663296",
		"system/agent/cpu.weight": "1000", "system/agent/memory.min": "50331648",
		"system/console/cpu.weight": "1000"} {
		if got := strings.TrimSpace(read("/sys/fs/cgroup/" + file)); got != want {
			h.T.Errorf("cgroup file %s is %q, want %q", file, got, want)
		}
	}
	share := func() string { return strings.TrimSpace(read("/sys/fs/cgroup/init/cpu.weight")) }
	for end := time.Now().Add(30 * time.Second * harness.Scale()); share() != "1000"; {
		if time.Now().After(end) || !run.Wait(h.T.Context(), 200*time.Millisecond) {
			h.T.Errorf("init's share of the CPU is %q after the boot, want 1000", share())
			break
		}
	}
	if got := strings.TrimSpace(read("/sys/fs/cgroup/init/cgroup.procs")); !strings.HasPrefix(got, "1") {
		h.T.Errorf("PID 1 is not in its cgroup: %q", got)
	}
	a, err := h.VM.Ask(h.T.Context(), ask.Request{What: "processes"})
	if err != nil {
		h.T.Fatal(err)
	}
	for _, p := range a.Processes {
		h.T.Logf("%-28s RSS %5.1f MiB (%4.1f its own)  PSS %5.1f MiB  %s", p.Exe, float64(p.RSS)/(1<<20), float64(p.Anonymous)/(1<<20),
			float64(p.PSS)/(1<<20), p.Cgroup)
	}
	for _, line := range h.VM.Console.Lines(0) {
		if strings.Contains(line, "Run /init") || strings.Contains(line, "hardnode: step") {
			h.T.Log(line)
		}
	}
}

// console checks what the terminal showed: each line has one time, and once init had the terminals nothing of the kernel's is among them.
// (What init reports before it runs on the real root are lines of the kernel's log.)
func (h *host) console(t *testing.T) {
	kernels := regexp.MustCompile(`^\[ *\d+\.\d+\] `)
	twice := regexp.MustCompile(`hardnode: \S+: (time=|\d{4}[-/]\d\d[-/]\d\d)`)
	status := regexp.MustCompile(`^(\[ *\d+\.\d{3}\]|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}Z) \[host-1\] \S`)
	booted, shown := false, false
	for _, line := range h.VM.Console.Lines(0) {
		switch {
		case twice.MatchString(line):
			t.Errorf("two times in one line: %s", line)
		case booted && kernels.MatchString(line) && !strings.Contains(line, "hardnode: ") && !status.MatchString(line):
			t.Errorf("the kernel's, after boot: %s", line)
		case strings.Contains(line, "[host-1] ") && !status.MatchString(line):
			t.Errorf("a status without its time: %s", line)
		}
		booted = booted || strings.Contains(line, "hardnode: step boot count:")
		shown = shown || status.MatchString(line)
	}
	// Errors (3) of drivers and of single containers stay in the kernel's log from now on.
	if a, err := h.VM.Ask(t.Context(), ask.Request{What: "read", Path: "/proc/sys/kernel/printk"}); err != nil ||
		!strings.HasPrefix(a.Text, "3\t") {
		t.Errorf("the kernel's console level after boot: %q, %v", a.Text, err)
	}
	if !booted || !shown {
		t.Errorf("end of the boot seen: %v, status seen: %v", booted, shown)
	}
}

// services kills services and watches them come back: at once the first time, later after a wait.
func (h *host) services(t *testing.T) {
	kill := func(program string) {
		t.Helper()
		h.mark = h.VM.Console.Mark()
		a, err := h.VM.Ask(t.Context(), ask.Request{What: "kill", Path: program, Signal: int(syscall.SIGKILL)})
		if err != nil || len(a.Killed) == 0 {
			t.Fatalf("kill %s: %v, %v", program, a.Killed, err)
		}
	}
	kill("/usr/lib/hardnode/netd")
	h.sees(`service netd: killed by SIGKILL; started again in 0s`)
	h.sees(`service netd: ready`)
	kill("/usr/lib/hardnode/spawner")
	h.sees(`service spawner: killed by SIGKILL; started again in 0s`)
	h.sees(`service spawner: ready`)
	for range 6 { // a life of ten seconds forgives, and an emulated guest may be slow: some of these are quick
		kill("/usr/lib/hardnode/spawner")
		wait := h.sees(`service spawner: killed by SIGKILL; started again in (\S+)`)[1]
		h.sees(`service spawner: ready`)
		if wait != "0s" {
			return
		}
	}
	t.Error("a service that is killed again and again is started again without a wait")
}

// TestAgentKilledBeforeModules: the agent is killed as soon as it is up; the modules of containers come all the same, and so does the mesh.
func TestAgentKilledBeforeModules(t *testing.T) {
	dir := harness.Dir(t)
	c := machine(t, dir, config)
	if err := harness.AddProbe(t.Context(), &c, dir); err != nil {
		t.Fatal(err)
	}
	h := start(t, c)
	h.sees(`service agent: ready`)
	h.mark = h.VM.Console.Mark()
	if a, err := h.VM.Ask(t.Context(),
		ask.Request{What: "kill", Path: "/usr/lib/hardnode/agent", Signal: int(syscall.SIGKILL)}); err != nil || len(a.Killed) == 0 {
		t.Fatalf("kill the agent: %v, %v", a.Killed, err)
	}
	h.sees(`service agent: killed by SIGKILL`)
	h.sees(`service agent: ready`)
	ctx, cancel := h.limit()
	defer cancel()
	for {
		a, err := h.VM.Ask(ctx, ask.Request{What: "list", Path: "/sys/class/net"})
		if err != nil {
			t.Fatal(err)
		}
		if slices.Contains(a.Names, "hn-mesh") {
			return
		}
		if !run.Wait(ctx, 200*time.Millisecond) {
			t.Fatalf("no mesh; links: %v", a.Names)
		}
	}
}

// TestMissingModule: a module that would not load is named by init and by the agent, and the host comes up all the same.
func TestMissingModule(t *testing.T) {
	c := machine(t, harness.Dir(t), config)
	c.Append += " module_blacklist=veth"
	h := start(t, c)
	h.up()
	h.sees(`step container modules: 1 of \d+ modules: load module ".*/veth.ko": operation not permitted`)
	h.sees(`! network: kernel modules of the network: .*/veth.ko": operation not permitted`)
}

// TestPowerCutWhileFormatting cuts the power at the worst moment; the next boot makes a whole DATA.
func TestPowerCutWhileFormatting(t *testing.T) {
	dir := harness.Dir(t)
	h := start(t, machine(t, dir, config))
	h.sees(`formatting /dev/vda`)
	h.VM.Kill()
	h = start(t, machine(t, dir, config))
	h.sees(`step data: /dev/vda`)
	h.up()
}

// TestBadConfiguration: an unknown field is shown with line and column, a bad value with what it should be, and nothing is touched.
func TestBadConfiguration(t *testing.T) {
	dir := harness.Dir(t)
	h := start(t, machine(t, dir, config+"colour: red\n"))
	h.sees(`maintenance mode, code [A-Z2-7]{4}-[A-Z2-7]{4}: the configuration is not valid: fw_cfg opt/hardnode/config:8:1: .*colour`)
	h.VM.Kill()
	h = start(t, machine(t, dir, config+"storage: {swap: half}\n"))
	h.sees(`the configuration is not valid: .*storage.swap: "half": want auto, none, or a share of the memory from 1% to 100%`)
	h.VM.Kill()
	blank(t, filepath.Join(dir, "disk"))
}

// TestNoConfiguration: a host without one waits and says how to give it one.
func TestNoConfiguration(t *testing.T) {
	h := start(t, machine(t, harness.Dir(t), ""))
	h.sees(`maintenance mode, code .*: no configuration found; give the host a volume labelled HARDNODE`)
	h.activated(t)
}

// TestDiskWithData: a disk that holds something is named and left alone.
func TestDiskWithData(t *testing.T) {
	dir := harness.Dir(t)
	disk := filepath.Join(dir, "disk")
	holds(t, disk, 1024)
	before := sum(t, disk)
	h := start(t, machine(t, dir, config+"storage: {data: /dev/vda}\n"))
	h.sees(`waiting: disk /dev/vda: holds ext2/3/4, so it is not formatted; empty it, choose another disk, or set storage.wipe`)
	h.VM.Kill()
	if after := sum(t, disk); !bytes.Equal(before, after) {
		t.Error("the disk was written to")
	}
}

// holds makes a disk that has what is at the beginning of an ext2/3/4.
func holds(t *testing.T, path string, sizeMiB int64) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(sizeMiB << 20); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte{0x53, 0xef}, 0x438); err != nil { // its magic
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func sum(t *testing.T, path string) []byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Fatal(err)
	}
	return h.Sum(nil)
}

func blank(t *testing.T, path string) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(bytes.Trim(raw, "\x00")) != 0 {
		t.Error("the disk was written to")
	}
}
