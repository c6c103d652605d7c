package deps

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// real are the programs the script uses as they are; all others are fakes.
var real = []string{"sh", "awk", "sed", "grep", "cat", "mkdir", "head"}

// needed is a file of each package the script asks for.
var needed = strings.Fields("/usr/bin/qemu-system-x86_64 /usr/bin/mkfs.erofs /usr/sbin/mkfs.btrfs /usr/bin/mmdebstrap /usr/bin/zstd " +
	"/usr/bin/xz /usr/bin/crun /usr/share/OVMF/OVMF_CODE_4M.fd /usr/bin/xorriso /usr/sbin/fsck.vfat " +
	"/usr/sbin/dnsmasq /usr/lib/ipxe/qemu/pxe-virtio.rom /usr/bin/swtpm /usr/sbin/cryptsetup /usr/bin/sbverify " +
	"/usr/bin/systemd-nspawn /usr/bin/busybox /usr/bin/chromium /usr/bin/wrk /usr/bin/gcc /usr/include/stdlib.h /usr/bin/curl " +
	"/etc/ssl/certs/ca-certificates.crt")

// machine is what the script finds: files below a root of its own, and programs. A case takes from it, or puts in something else.
type machine struct {
	files    map[string]string
	programs map[string]string      // shell; "" is none
	modes    map[string]os.FileMode // of files, and of "out"
	args     []string
	terminal bool // standard input is one
	user     bool // the script runs as nobody where the test is root
}

// fine is a machine with all that is needed; its user is root.
func fine() machine {
	m := machine{
		files: map[string]string{
			"/etc/os-release": "ID=debian\nVERSION_ID=\"12\"\n", "/proc/meminfo": "MemTotal: 16777216 kB\nMemAvailable: 12582912 kB\n",
			"/proc/net/tcp": "  sl  local_address rem_address   st\n", "/proc/cpuinfo": "flags\t\t: fpu vmx sse\n", "/dev/kvm": "",
		},
		programs: map[string]string{
			"go": "echo go1.26.1", "uname": "echo x86_64", "id": `[ "$1" = -u ] && echo 0 || echo ann`,
			"df":        `echo; echo /dev/x 99999999 9 20971520 1% /`,
			"apt-cache": "exit 0", "apt-get": `echo "apt-get $*" >>"$LOG"`,
		},
		modes: map[string]os.FileMode{"out": 0o755},
	}
	for _, f := range needed {
		m.files[f] = ""
	}
	return m
}

// run runs the script and returns what it printed, its status and the calls of apt-get and sudo.
func (m machine) run(t *testing.T) (out string, status int, calls string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "deps")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	write := func(name, text string, mode os.FileMode) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	script, err := os.ReadFile("deps.sh")
	if err != nil {
		t.Fatal(err)
	}
	write("deps.sh", string(script), 0o644)
	write("log", "", 0o666)
	for name, text := range m.files {
		mode, ok := m.modes[name]
		if !ok {
			mode = 0o666
		}
		write("root"+name, text, mode)
	}
	for name, text := range m.programs {
		if text != "" {
			write("bin/"+name, "#!/bin/sh\n"+text+"\n", 0o755)
		}
	}
	for _, name := range real {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(dir, "bin", name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "built"), 0o755); err != nil {
		t.Fatal(err)
	}
	for path, mode := range map[string]os.FileMode{dir: 0o755, filepath.Join(dir, "built"): m.modes["out"]} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/bin/sh", append([]string{filepath.Join(dir, "deps.sh")}, m.args...)...)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + filepath.Join(dir, "bin"), "HARDNODE_ROOT=" + filepath.Join(dir, "root"),
		"HARDNODE_OUT=" + filepath.Join(dir, "built"), "LOG=" + filepath.Join(dir, "log")}
	if m.user && os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	if m.terminal {
		cmd.Stdin = terminal(t)
	}
	var b bytes.Buffer
	cmd.Stdout, cmd.Stderr = &b, &b
	if err := cmd.Run(); ctx.Err() != nil || cmd.ProcessState == nil {
		t.Fatalf("the script hangs or can't run: %v\n%s", err, b.String())
	}
	log, err := os.ReadFile(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	return b.String(), cmd.ProcessState.ExitCode(), string(log)
}

// terminal is the lower end of a pseudo-terminal (pty(7)).
func terminal(t *testing.T) *os.File {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	t.Cleanup(func() { slave.Close() })
	return slave
}

const (
	user = `[ "$1" = -u ] && echo 1000 || echo ann`
	// asks for nothing
	sudo     = `echo "sudo $*" >>"$LOG"; [ "$1" = -n ] && exit 0; exec "$@"`
	password = `echo "sudo $*" >>"$LOG"; [ "$1" = -n ] && exit 1; [ -t 0 ] || exec sleep 3600; echo "password?"; exec "$@"` // asks
	install  = "apt-get update && apt-get install -y --no-install-recommends zstd"
	byHand   = "deps: run this as root:  " + install
	calls    = "apt-get update\napt-get install -y --no-install-recommends zstd\n"
)

// listening are n sockets that listen on the demo's ports, as in /proc/net/tcp.
func listening(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%4d: 0100007F:%04X 00000000:0000 0A 0\n", i, 17400+i)
	}
	return b.String()
}

func TestDeps(t *testing.T) {
	noZstd := func(m *machine) { delete(m.files, "/usr/bin/zstd") }
	for _, c := range []struct {
		name   string
		change func(*machine)
		status int
		says   []string // all of these
		calls  string   // of apt-get and sudo, in this order
	}{
		{"nothing is wrong", func(*machine) {}, 0, []string{"KVM is used"}, ""},
		{"root", noZstd, 0, []string{"installing: zstd", "zstd compresses the initramfs"}, calls},
		{"sudo that asks for nothing", func(m *machine) { noZstd(m); m.programs["id"], m.programs["sudo"] = user, sudo }, 0,
			[]string{"installing: zstd"}, "sudo -n true\nsudo sh -c export DEBIAN_FRONTEND=noninteractive; " + install + "\n" + calls},
		{"sudo with a password and a terminal", func(m *machine) {
			noZstd(m)
			m.programs["id"], m.programs["sudo"], m.terminal = user, password, true
		}, 0, []string{"installing: zstd", "password?"},
			"sudo -n true\nsudo sh -c export DEBIAN_FRONTEND=noninteractive; " + install + "\n" + calls},
		{"sudo with a password, no terminal", func(m *machine) { noZstd(m); m.programs["id"], m.programs["sudo"] = user, password }, 1,
			[]string{"sudo wants a password, but there is no terminal", "zstd compresses the initramfs", byHand}, "sudo -n true\n"},
		{"no rights", func(m *machine) { noZstd(m); m.programs["id"] = user }, 1, []string{"neither root nor sudo", byHand}, ""},
		{"apt-get fails", func(m *machine) { noZstd(m); m.programs["apt-get"] = "echo E: no network; exit 100" }, 1,
			[]string{"E: no network", "apt-get did not succeed", "check the network", byHand}, ""},
		{"not for the demo", func(m *machine) { delete(m.files, "/usr/bin/chromium"); m.args = []string{"demo"} }, 0,
			[]string{"KVM is used"}, ""},
		{"apt's lists are old", func(m *machine) { m.programs["apt-cache"] = `grep -q update "$LOG"` }, 0, []string{"updating apt's lists"},
			"apt-get update\n"},
		{"apt's lists are old, no rights", func(m *machine) { m.programs["apt-cache"], m.programs["id"] = "exit 1", user }, 1,
			[]string{"apt's lists are missing or old", "deps: run this as root:  apt-get update\n"}, ""},
		{"apt knows no such kernel", func(m *machine) { m.programs["apt-cache"] = "exit 1" }, 1,
			[]string{"knows no package linux-image-6.12-cloud-amd64", "sources.list"}, "apt-get update\n"},

		{"no Go", func(m *machine) { noZstd(m); m.programs["go"] = "" }, 1, []string{"go is not installed", "https://go.dev/dl/"}, ""},
		{"Go beside PATH", func(m *machine) {
			m.programs["go"], m.files["/usr/local/go/bin/go"], m.modes["/usr/local/go/bin/go"] = "", "", 0o755
		}, 1, []string{"export PATH=$PATH:/usr/local/go/bin"}, ""},
		{"old Go", func(m *machine) { noZstd(m); m.programs["go"] = "echo go1.19.8" }, 1,
			[]string{"bin/go is go1.19.8, but Go 1.26 or newer", "https://go.dev/dl/"}, ""},
		{"Go that can't run", func(m *machine) { m.programs["go"] = "exit 126" }, 1, []string{"Go 1.26 or newer is needed"}, ""},
		{"newer Go", func(m *machine) { m.programs["go"] = "echo go1.27.1" }, 0, []string{"KVM is used"}, ""},

		{"another Debian", func(m *machine) { noZstd(m); m.files["/etc/os-release"] = "ID=ubuntu\nVERSION_ID=\"24.04\"\n" }, 1,
			[]string{"this is ubuntu 24.04", "Debian 12"}, ""},
		{"no os-release", func(m *machine) { delete(m.files, "/etc/os-release") }, 1, []string{"this is none 0"}, ""},
		{"another processor", func(m *machine) { m.programs["uname"] = "echo aarch64" }, 1,
			[]string{"this machine is aarch64", "x86_64"}, ""},
		{"little memory", func(m *machine) { noZstd(m); m.files["/proc/meminfo"] = "MemAvailable: 3145728 kB\n" }, 1,
			[]string{"3 GiB of memory are available, 6 GiB are needed: end"}, ""},
		{"little disk", func(m *machine) { noZstd(m); m.programs["df"] = "echo; echo /dev/x 9 9 2097152 1% /" }, 1,
			[]string{"2 GiB are free in", "10 GiB are needed: free some"}, ""},
		{"ports taken", func(m *machine) { noZstd(m); m.files["/proc/net/tcp"] = listening(91) }, 1,
			[]string{"91 of the ports 17400 to 17499 are taken, 10 must be free", "ss -ltnp"}, ""},
		{"ports free enough", func(m *machine) {
			m.files["/proc/net/tcp"], m.files["/proc/net/tcp6"] = listening(90), listening(90)
		}, 0, []string{"KVM is used"}, ""},

		{"no KVM", func(m *machine) { delete(m.files, "/dev/kvm") }, 0, []string{"there is no /dev/kvm: the machines will be emulated"},
			""},
		{"KVM without vmx and svm", func(m *machine) { m.files["/proc/cpuinfo"] = "flags\t\t: fpu sse\n" }, 0,
			[]string{"neither vmx nor svm: the machines will be emulated"}, ""},
		{"KVM not permitted", func(m *machine) {
			m.modes["/dev/kvm"], m.modes["out"], m.user = 0o600, 0o777, true
			m.programs["id"] = user
		}, 0,
			[]string{"/dev/kvm may not be opened by ann", "sudo usermod -aG kvm ann, then log in again"}, ""},
		{"out belongs to another", func(m *machine) { noZstd(m); m.user = true; m.programs["id"] = user }, 1,
			[]string{"may not be written by ann", "chown"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := fine()
			c.change(&m)
			if m.user && os.Getuid() != 0 {
				t.Skip("only root can make a file that the script's user may not open")
			}
			out, status, got := m.run(t)
			if status != c.status {
				t.Errorf("status %d, want %d", status, c.status)
			}
			for _, want := range c.says {
				if !strings.Contains(out, want) {
					t.Errorf("it does not say %q", want)
				}
			}
			if got != c.calls {
				t.Errorf("it called\n%swant\n%s", got, c.calls)
			}
			for _, broken := range []string{": not found", "yntax error", "llegal number", "unbound", "parameter not set"} {
				if strings.Contains(out, broken) {
					t.Errorf("the script itself is broken: %q", broken)
				}
			}
			if t.Failed() {
				t.Logf("it says:\n%s", out)
			}
		})
	}
}

// TestSeveralThingsAtOnce: everything that is wrong is said in one run, and nothing is installed then.
func TestSeveralThingsAtOnce(t *testing.T) {
	m := fine()
	delete(m.files, "/usr/bin/zstd")
	m.programs["go"], m.files["/proc/meminfo"] = "", "MemAvailable: 1048576 kB\n"
	out, status, calls := m.run(t)
	if status != 1 || calls != "" || !strings.Contains(out, "go is not installed") || !strings.Contains(out, "1 GiB of memory") {
		t.Errorf("status %d, calls %q, says\n%s", status, calls, out)
	}
}
