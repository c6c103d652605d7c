//go:build qemu

package boot

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
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
)

const knownPassword = "correct horse"

// consoleSecret answers the challenges of a host with consolePassword.
var consoleSecret, consoleKey = challenge.NewKey()

// consolePassword is the section of a configuration that lets who knows it change things at a terminal.
func consolePassword(t *testing.T) string {
	t.Helper()
	kept, err := password.Keep(knownPassword)
	if err != nil {
		t.Fatal(err)
	}
	return "console: {password: '" + kept + "', key: " + consoleKey + "}\n"
}

// wakes begins a conversation at the serial port and asks for the status until it has the text: what answers comes up beside what the test
// has seen of the boot.
func (h *host) wakes(t *testing.T, text string) {
	t.Helper()
	h.mark = h.VM.Console.Mark()
	if err := h.VM.Console.Type("\r"); err != nil {
		t.Fatal(err)
	}
	h.sees(`^hardnode console on ttyS0; type help`)
	ctx, cancel := h.limit()
	defer cancel()
	for {
		_, lines := h.asks(t, "status")
		if strings.Contains(strings.Join(lines, "\n"), text) {
			return
		}
		if !run.Wait(ctx, 200*time.Millisecond) {
			t.Fatalf("status: no %q in\n%s", text, strings.Join(lines, "\n"))
		}
	}
}

// typed types a line at the serial port and waits for the end of its answer. It returns the lines between.
func (h *host) typed(t *testing.T, line string, exit int) []string {
	t.Helper()
	got, lines := h.asks(t, line)
	if got != exit {
		t.Errorf("%s: exit status %d, want %d\n%s", line, got, exit, strings.Join(lines, "\n"))
	}
	return lines
}

// asks types a line at the serial port and returns how its answer ended, and its lines.
func (h *host) asks(t *testing.T, line string) (exit int, lines []string) {
	t.Helper()
	ctx, cancel := h.limit()
	defer cancel()
	h.mark = h.VM.Console.Mark()
	if err := h.VM.Console.Type(line + "\r"); err != nil {
		t.Fatal(err)
	}
	return h.answer(ctx, t, line)
}

// answer waits for the end of the answer to what was typed.
func (h *host) answer(ctx context.Context, t *testing.T, line string) (exit int, lines []string) {
	t.Helper()
	for {
		m, err := h.VM.WaitAfter(ctx, h.mark, `^exit status (\d+)$`)
		if err != nil {
			t.Fatal(err)
		}
		whole := h.VM.Console.Mark() - h.mark // the last of the lines may not have come to its end
		lines = h.VM.Console.Lines(h.mark)
		if at := slices.Index(lines, m[0]); at >= 0 && at < whole {
			h.mark += at + 1 // what comes behind it is of the next one
			exit, err = strconv.Atoi(m[1])
			if err != nil {
				t.Fatal(err)
			}
			return exit, lines[:at+1]
		}
		if !run.Wait(ctx, 10*time.Millisecond) {
			t.Fatalf("%s: its answer has no end", line)
		}
	}
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
	if exit, lines := h.answer(ctx, t, "login"); exit != 0 {
		t.Fatalf("a challenge was answered: exit status %d\n%s", exit, strings.Join(lines, "\n"))
	}
}

// document is the line of JSON in an answer.
func document(t *testing.T, lines []string, out any) {
	t.Helper()
	for _, l := range lines {
		if strings.HasPrefix(l, "{") || strings.HasPrefix(l, "[{") {
			if err := json.Unmarshal([]byte(l), out); err != nil {
				t.Errorf("%s: %v", l, err)
			}
			return
		}
	}
	t.Errorf("no JSON in\n%s", strings.Join(lines, "\n"))
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
	document(t, h.typed(t, "status --json", 0), &status)
	if status.Agent.Name != "host-1" || len(status.Init.Services) < 4 {
		t.Errorf("status: %+v", status)
	}
	for _, c := range []struct {
		line, want string
		exit       int
	}{
		{"status", "host          host-1", 0},
		{"storage", "/dev/vda", 0},
		{"containers", "no containers", 0},
		{"slots", "this host is not installed", 0},
		{"network", "10.77.0.11/24", 0},
		{"log init --grep formatting", "formatting /dev/vda for DATA", 0},
		{"log agent --tail 5", "level=INFO", 0},
		{"support", "-----END SUPPORT BUNDLE-----", 0},
		{"container restart 101\r" + knownPassword, "does not exist", 1},
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
	} {
		if lines := strings.Join(h.typed(t, c.line, c.exit), "\n"); !strings.Contains(lines, c.want) {
			t.Errorf("%s: no %q in\n%s", c.line, c.want, lines)
		}
	}
	lines := strings.Join(h.typed(t, "network", 0), "\n")
	if strings.Contains(lines, "10.77.0.11") || strings.Contains(lines, "10.77.0.12") {
		t.Errorf("addresses of other networks are still there:\n%s", lines)
	}
	h.typed(t, "logout", 0)
	h.challenged(t)
	h.typed(t, "network revert", 1) // none is tried: the session is one
	h.typed(t, "exit", 0)
	h.screens(t)
	for _, l := range h.VM.Console.Lines(0) {
		if strings.Contains(l, knownPassword) {
			t.Errorf("the password is on the console: %s", l)
		}
	}
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
	for _, p := range a.Processes {
		if filepath.Base(p.Exe) != "console" {
			continue
		}
		s, err := h.VM.Ask(t.Context(), ask.Request{What: "read", Path: fmt.Sprintf("/proc/%d/status", p.PID)})
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"Uid:\t990\t990\t990\t990", "Gid:\t990\t990\t990\t990", "CapEff:\t0000000000000000",
			"CapPrm:\t0000000000000000"} {
			if !strings.Contains(s.Text, want) {
				t.Errorf("the console has no %q in\n%s", want, s.Text)
			}
		}
		return
	}
	t.Error("there is no console")
}

// screens opens the screen: the kernel's messages stay off the terminals as long as it is there, also when its program dies.
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
	keys := func(keys, seen string) {
		t.Helper()
		h.mark = h.VM.Console.Mark()
		if err := h.VM.Console.Type(keys); err != nil {
			t.Fatal(err)
		}
		h.sees(seen)
	}
	keys("\x14", `\[1 Summary\].*host-1`)
	level("1\t")
	keys("2", `\[2 Net\].*10\.77\.0\.13`)
	keys("q", `^hardnode> ?$`)
	level("3\t")
	keys("\x14", `\[1 Summary\]`)
	level("1\t")
	a, err := h.VM.Ask(t.Context(), ask.Request{What: "kill", Path: "/usr/lib/hardnode/console", Signal: 9})
	if err != nil || len(a.Killed) != 1 {
		t.Fatalf("kill the console: %v, %v", a.Killed, err)
	}
	level("3\t")
	h.sees(`service console: ready`)
}

// activated gives a host that waits its configuration over the serial port; nothing of it asks for a password.
func (h *host) activated(t *testing.T) {
	h.wakes(t, "waiting for a configuration")
	line := func(yaml string) string { return "activate hnc1." + base64.RawURLEncoding.EncodeToString([]byte(yaml)) }
	for _, c := range []struct {
		line, want string
		exit       int
	}{
		{"storage", "/dev/vda", 0},
		{"support stick", "error: there is no FAT volume labelled SUPPORT", 1},
		{"install --dry-run /dev/vda", "error: ", 1}, // a BIOS
		{"activate hn1.00000000.00000000000000000000000000000000", "a join token alone", 2},
		{line(config + "colour: red\n"), "terminal:8:1: ", 1},
		{"slots rollback", "error: this host has no configuration yet, so that is not for it", 1},
		{"login\rx", "error: this host has no configuration yet, and asks for no password", 1},
		{line(config), "kept: nowhere (there is no volume labelled HARDNODE", 0},
	} {
		if lines := strings.Join(h.typed(t, c.line, c.exit), "\n"); !strings.Contains(lines, c.want) {
			t.Errorf("%s: no %q in\n%s", c.line, c.want, lines)
		}
	}
	h.up()
	h.sees(`\[host-1\] .*\b10\.77\.0\.11\b`)
}

// reset has the host reset at its terminal, and waits for the end of the machine.
func (h *host) reset(t *testing.T) {
	h.wakes(t, "host          host-1")
	h.typed(t, "reset\rhost-2\r"+knownPassword, 1)
	h.typed(t, "reset\rhost-1", 0)
	h.off()
}
