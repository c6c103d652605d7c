//go:build qemu

package boot

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/diskfs/go-diskfs/backend/file"
	"github.com/diskfs/go-diskfs/filesystem/fat32"

	"hardnode.dev/internal/run"
	"hardnode.dev/internal/secret/challenge"
	"hardnode.dev/internal/secret/password"
	"hardnode.dev/qemu-tests/harness"
	"hardnode.dev/qemu-tests/harness/ask"
	"hardnode.dev/qemu-tests/terminal"
)

const knownPassword = "correct horse"

// consoleSecret answers the challenges of a host with consolePassword.
var consoleSecret, consoleKey = challenge.NewKey()

// consolePassword is the section of a configuration that lets who knows it change things at a terminal. Without ttys those are the kernel's
// consoles.
func consolePassword(t *testing.T, ttys ...string) string {
	t.Helper()
	kept, err := password.Keep(knownPassword)
	if err != nil {
		t.Fatal(err)
	}
	names := ""
	if len(ttys) > 0 {
		names = "ttys: [" + strings.Join(ttys, ", ") + "], "
	}
	return "console: {" + names + "password: '" + kept + "', key: " + consoleKey + "}\n"
}

// line is the host's serial port.
func (h *host) line(t *testing.T) terminal.Line {
	return terminal.Line{TB: t, VM: h.VM, Mark: &h.mark, Patience: patience()}
}

// wakes begins a conversation at the serial port, and waits until the status has the text.
func (h *host) wakes(t *testing.T, text string) {
	t.Helper()
	h.line(t).Wakes(text)
}

// typed types a line at the serial port and waits for the end of its answer. It returns the lines between.
func (h *host) typed(t *testing.T, line string, exit int) []string {
	t.Helper()
	return h.line(t).Typed(line, exit)
}

// challenged answers the challenge of the terminal.
func (h *host) challenged(t *testing.T) {
	t.Helper()
	ctx, cancel := h.limit()
	defer cancel()
	h.mark = h.VM.Console.Mark()
	if err := h.VM.Console.Type("login\r\r"); err != nil { // without a password
		t.Fatal(err)
	}
	m, err := h.VM.WaitAfter(ctx, h.mark, `^answer to ([A-Z2-7]{52}): $`)
	if err != nil {
		t.Fatal(err)
	}
	typed, err := challenge.Answer(consoleSecret, "host-1", m[1])
	if err != nil {
		t.Fatal(err)
	}
	if err := h.VM.Console.Type(typed + "\r"); err != nil {
		t.Fatal(err)
	}
	if exit, lines := h.line(t).Answer("login"); exit != 0 {
		t.Fatalf("a challenge was answered: exit status %d\n%s", exit, strings.Join(lines, "\n"))
	}
}

// terminal talks with the host over its serial port as a script does.
func (h *host) terminal(t *testing.T) {
	h.weak(t)
	h.wakes(t, "host          host-1")
	var status struct {
		Agent struct{ Name, Stage string }
		Init  struct {
			Services []struct{ Name, State string }
		}
	}
	terminal.Document(t, h.typed(t, "status --json", 0), &status)
	if status.Agent.Name != "host-1" || len(status.Init.Services) < 4 {
		t.Errorf("status: %+v", status)
	}
	h.line(t).Rows([]terminal.Row{
		{"status", "host          host-1", 0},
		{"storage", "/dev/vda", 0},
		{"containers", "no containers", 0},
		{"slots", "this host is not installed", 0},
		{"network", "10.77.0.11/24", 0},
		{"log init --grep formatting", "formatting /dev/vda for DATA", 0},
		{"log agent --tail 5", "level=INFO", 0},
		{"container restart 101\r" + knownPassword, "does not exist", 1},
		{"container logs 101", "does not exist", 1},
		{"slots copy b", "error: ", 1},
		{"slots try b", "error: ", 1},
		{"slots rollback", "error: ", 1},
		{"support stick", "bytes, file support-host-1-", 0},
		{"install /dev/vda --dry-run", "error: ", 1},
		{"network try wan0 10.78.0.9/24 --for 10", "for 1", 0}, // ends by itself
		{"network try up0 10.77.0.12/24", "on trial      up0 52:54:00:aa:00:01 10.77.0.12/24", 0},
		{"network", "10.77.0.12/24\n", 0},
		{"network revert", "configured    up0 52:54:00:aa:00:01 10.77.0.11/24", 0},
		{"network confirm", "no network is tried now", 1},
		{"network try up0 10.77.0.13/24", "10.77.0.13/24", 0},
		{"network confirm", "it was confirmed at this host", 0},
		{"nonsense", "is not known", 2},
	})
	lines := strings.Join(h.typed(t, "network", 0), "\n")
	if strings.Contains(lines, "10.77.0.11") || strings.Contains(lines, "10.77.0.12") {
		t.Errorf("addresses of other networks are still there:\n%s", lines)
	}
	for _, line := range []string{"network", "storage", "containers", "slots", "log agent --tail 3"} {
		var doc any
		terminal.Document(t, h.typed(t, line+" --json", 0), &doc)
	}
	h.bundle(t, h.typed(t, "support", 0))
	h.typed(t, "logout", 0)
	h.challenged(t)
	h.typed(t, "network revert", 1) // none is tried: the session is one
	h.typed(t, "exit", 0)
	h.pages(t)
	h.screens(t)
	for _, l := range h.VM.Console.Lines(0) {
		if strings.Contains(l, knownPassword) {
			t.Errorf("the password is on the console: %s", l)
		}
	}
}

// bundle reads the support bundle out of what came over the line.
func (h *host) bundle(t *testing.T, lines []string) {
	t.Helper()
	begin, end := slices.Index(lines, "-----BEGIN SUPPORT BUNDLE-----"), slices.Index(lines, "-----END SUPPORT BUNDLE-----")
	if begin < 0 || end < begin {
		t.Fatalf("no support bundle in %d lines", len(lines))
	}
	raw, err := base64.StdEncoding.DecodeString(strings.Join(lines[begin+1:end], ""))
	if err != nil {
		t.Fatal(err)
	}
	unpacked(t, bytes.NewReader(raw))
}

// stickSize is that of the stick for support bundles, in MiB: little for a FAT32.
const stickSize = 40

// supportStick is a disk that is a FAT volume labelled SUPPORT.
func supportStick(t *testing.T, dir string) string {
	t.Helper()
	at := filepath.Join(dir, "stick")
	mkfs := exec.Command("/usr/sbin/mkfs.vfat", "-F", "32", "-n", "SUPPORT", "-C", at, fmt.Sprint(stickSize<<10))
	if out, err := mkfs.CombinedOutput(); err != nil {
		t.Fatalf("mkfs.vfat: %v\n%s", err, out)
	}
	return at
}

// supported looks at the stick from outside: there is one whole bundle, and no secret in it.
func supported(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fs, err := fat32.Read(file.New(f, true), stickSize<<20, 0, 512)
	if err != nil {
		t.Fatal(err)
	}
	list, err := fs.ReadDir(".")
	if err != nil || len(list) != 1 || !regexp.MustCompile(`^support-host-1-\d{8}T\d{6}Z\.tar\.gz$`).MatchString(list[0].Name()) {
		t.Fatalf("on the stick: %v, %v", list, err)
	}
	bundle, err := fs.OpenFile("/"+list[0].Name(), os.O_RDONLY)
	if err != nil {
		t.Fatal(err)
	}
	unpacked(t, bundle)
}

// unpacked looks into a support bundle: it is whole, and has no secret.
func unpacked(t *testing.T, bundle io.Reader) {
	t.Helper()
	z, err := gzip.NewReader(bundle)
	if err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(z)
	if err != nil || !bytes.Contains(all, []byte("README.txt")) || !bytes.Contains(all, []byte(`"host-1"`)) {
		t.Errorf("the bundle has %d bytes, %v", len(all), err)
	}
	if bytes.Contains(all, []byte("$argon2id")) || bytes.Contains(all, []byte(knownPassword)) {
		t.Error("the console's password is in the bundle")
	}
}

// weak checks that the program at the terminals has no rights.
func (h *host) weak(t *testing.T) {
	a, err := h.VM.Ask(t.Context(), ask.Request{What: "processes"})
	if err != nil {
		t.Fatal(err)
	}
	users := map[string]string{"/system/console": "990", "/system/procview": "991"} // one program
	for _, p := range a.Processes {
		user := users[p.Cgroup]
		if user == "" || filepath.Base(p.Exe) != "console" {
			continue
		}
		delete(users, p.Cgroup)
		same := strings.Repeat("\t"+user, 4)
		s, err := h.VM.Ask(t.Context(), ask.Request{What: "read", Path: fmt.Sprintf("/proc/%d/status", p.PID)})
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"Uid:" + same, "Gid:" + same, "CapEff:\t0000000000000000",
			"CapPrm:\t0000000000000000"} {
			if !strings.Contains(s.Text, want) {
				t.Errorf("%s has no %q in\n%s", p.Cgroup, want, s.Text)
			}
		}
	}
	if len(users) > 0 {
		t.Errorf("there is none of %v", users)
	}
}

// pages walks through the pages of 80 by 24 at the serial port, as who looks at a VT100 does.
func (h *host) pages(t *testing.T) {
	p := terminal.Serial(t, h.VM, patience())
	p.Opens()
	p.Sees("host          host-1", "role          user", "q: leave")
	p.Steps([][2]string{
		{"2", "> up0 52:54:00:aa:00:01 10.77.0.13/24"},
		{"e", "link: up0 52:54:00:aa:00:01 10.77.0.13/24"},
		{"\x15up0 10.77.0.16/24\r", "password (none: a challenge):"},
		{knownPassword + "\r", "on trial      up0 52:54:00:aa:00:01 10.77.0.16/24"},
		{"\r", "c: confirm  r: revert"},
		{"r", "\ndone"},
		{"\r3", "> /dev/vda"},
		{"p", "error: "},
		{"\ri", "all of it is lost; type its name:"},
		{"/dev/vdb\r", "not done: that is not its name"},
		{"4", "no containers"},
		{"5", "[5 Log]"},
		{"/linux version\r", "Linux version "},
		{"/\x15\ru", "agent "},
		{"6", "this host is not installed"},
		{"t", "error: "},
		{"\r7", "short code"},
		{"a", "activation:"},
		{"hnc1.AAAA\r", "error: this host has a configuration already"},
		{"\r8", "b: as base64, over this line"},
		{"9", "x: reset"},
		{"x", "type the host's name:"},
		{"host-2\r", "\"host-2\" is not this host's name; nothing was done"},
		{"\r1", "host          host-1"},
		{"P", "poweroff, because of (Esc: don't):"},
		{"\x03", "not done"},
		{"8", "[8 Support]"},
	}...)
	t.Logf("the last page:\n%s", p.Shows())
	h.mark = h.VM.Console.Mark()
	p.Lines()
	p.Types("b")
	if exit, lines := h.line(t).Answer("support"); exit != 0 {
		t.Errorf("the support bundle: exit status %d\n%s", exit, strings.Join(lines, "\n"))
	} else {
		h.bundle(t, lines)
	}
	h.typed(t, "exit", 0)
}

// hvcSocket is where the virtio console of a machine ends in this one, below its Dir.
const hvcSocket = "hvc"

// withTerminals gives a machine a screen and a virtio console; its keyboard is the board's.
func withTerminals(c *harness.Config) {
	c.Extra = append(c.Extra, "-device", "VGA", "-chardev", "socket,id=hvc,server=on,wait=off,path="+filepath.Join(c.Dir, hvcSocket),
		"-device", "virtconsole,chardev=hvc")
}

// wire is the far end of the machine's virtio console.
func (h *host) wire(t *testing.T) net.Conn {
	t.Helper()
	c, err := net.Dial("unix", filepath.Join(h.VM.Config.Dir, hvcSocket))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// screens opens the pages on three terminals, each of which has its own. While one is open the kernel's messages stay off all of them, also
// when the program dies that shows them.
func (h *host) screens(t *testing.T) {
	level := func(want string) {
		t.Helper()
		got := ""
		for end := time.Now().Add(30 * time.Second * harness.Scale()); time.Now().Before(end); {
			a, err := h.VM.Ask(t.Context(), ask.Request{What: "read", Path: "/proc/sys/kernel/printk"})
			if err != nil {
				t.Fatal(err)
			}
			if got = a.Text; strings.HasPrefix(got, want) || !run.Wait(t.Context(), 100*time.Millisecond) {
				return
			}
		}
		t.Errorf("the kernel's console level is %q, want %q", got, want)
	}
	serial, wire := terminal.Serial(t, h.VM, patience()), terminal.Wire(t, h.wire(t), patience())
	screen := terminal.Screen(t, h.VM, patience())
	screen.Steps([2]string{"\n", "hardnode console on tty1; type help"}, [2]string{"slots\n", "this host is not installed"})
	screen.Opens()
	level("1\t")
	serial.Opens()
	wire.Opens()
	h.writes("/dev/kmsg", "<2>said by the kernel while pages are shown\n")
	serial.Steps([2]string{"2", "[2 Net]"}, [2]string{"2", "10.77.0.13"})
	wire.Steps([2]string{"3", "> /dev/vda"})
	screen.Steps([2]string{"6", "[6 Slots]"}, [2]string{"6", "not installed"})
	serial.Sees("[2 Net]", "hardnode on ttyS0")
	wire.Sees("[3 Disks]", "hardnode on hvc0")
	screen.Sees("[6 Slots]", "hardnode on tty1")
	wire.Steps([2]string{"5", "[5 Log]"}, [2]string{"/said by the kernel\r", "said by the kernel while pages are shown"})
	if strings.Contains(serial.Shows()+screen.Shows(), "said by the kernel") {
		t.Errorf("a message of the kernel is on a page:\n%s\n%s", serial.Shows(), screen.Shows())
	}
	serial.Leaves()
	wire.Leaves()
	level("1\t") // one is open
	screen.Leaves()
	level("3\t")

	serial.Opens()
	level("1\t")
	serial.Lines()
	h.mark = h.VM.Console.Mark()
	a, err := h.VM.Ask(t.Context(), ask.Request{What: "kill", Path: "/usr/lib/hardnode/console", Signal: 9})
	if err != nil || len(a.Killed) != 2 { // procview is the same program
		t.Fatalf("kill the console: %v, %v", a.Killed, err)
	}
	level("3\t")
	h.sees(`service console: ready`)
}

// activated gives a host that waits its configuration over the serial port; nothing of it asks for a password.
func (h *host) activated(t *testing.T) {
	h.wakes(t, "waiting for a configuration")
	line := func(yaml string) string { return "activate hnc1." + base64.RawURLEncoding.EncodeToString([]byte(yaml)) }
	h.line(t).Rows([]terminal.Row{
		{"storage", "/dev/vda", 0},
		{"support stick", "error: there is no FAT volume labelled SUPPORT", 1},
		{"install --dry-run /dev/vda", "error: ", 1}, // a BIOS
		{"activate hn1.00000000.00000000000000000000000000000000", "a join token alone", 2},
		{line(config + "colour: red\n"), "terminal:8:1: ", 1},
		{"network try up0 52:54:00:aa:00:01 10.77.0.98/24", "on trial      up0 52:54:00:aa:00:01 10.77.0.98/24", 0},
		{"network revert", "configured    no links", 0},
		{"network confirm", "no network is tried now", 1},
		{"network try up0 52:54:00:aa:00:01 10.77.0.99/24", "10.77.0.99/24", 0},
		{"network confirm", "it was confirmed at this host", 0},
		{"network", "10.77.0.99/24\n", 0},
		{"slots rollback", "error: this host has no configuration yet, so that is not for it", 1},
		{"login\rx", "error: this host has no configuration yet, and asks for no password", 1},
		{line(config), "kept: nowhere (there is no volume labelled HARDNODE", 0},
	})
	h.up()
	h.sees(`\[host-1\] .*\b10\.77\.0\.11\b`)
	h.line(t).Until("status", "host          host-1")
	if all := strings.Join(h.typed(t, "network", 0), "\n"); !strings.Contains(all, "10.77.0.11/24") || strings.Contains(all, "10.77.0.9") {
		t.Errorf("the network of before is still there:\n%s", all)
	}
}

// reset has the host reset at its terminal, and waits for the end of the machine.
func (h *host) reset(t *testing.T) {
	h.wakes(t, "host          host-1")
	h.typed(t, "reset\rhost-2\r"+knownPassword, 1)
	h.typed(t, "reset\rhost-1", 0)
	h.off()
}
