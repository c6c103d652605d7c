//go:build guest

package container

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/container/command"
	"hardnode.dev/agent/container/rootfs"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/jem"
	"hardnode.dev/internal/wire/nodecall"
)

// TestSystem boots a full OS and asks it how it is, through JEM and D-Bus.
func TestSystem(t *testing.T) {
	if _, err := os.Stat("/images/systemd.erofs"); err != nil {
		t.Skip("the guest has no image with systemd")
	}
	spawnerUp(t)
	r := newRuntime(t)
	hints, stop := context.WithCancel(context.Background())
	defer stop()
	go r.Run(hints)
	s := box(t, 801, "")
	s.ImagePath, s.Image.Digest = image(t, "systemd")
	s.Profile, s.Process = host.ProfileSystem, host.Process{StopAfter: 30}
	s.Limits = host.Limits{MemoryMax: 512 << 20, PIDs: 512, DiskBytes: 256 << 20}
	began := time.Now()
	mustStart(t, r, s)
	state := ""
	for range 120 {
		if state, _ = sh(t, r, 801, "systemctl is-system-running 2>/dev/null"); state == "running" || state == "degraded" {
			break
		}
		run.Wait(context.Background(), 500*time.Millisecond)
	}
	becomesReady(t, r, 801)
	id, _ := sh(t, r, 801, "cat /etc/machine-id")
	if want := strings.ReplaceAll(rootfs.MachineID(801, s.IPv4), "-", ""); id != want {
		t.Errorf("the machine is %q, want %q", id, want)
	}
	failed, _ := sh(t, r, 801, "systemctl --failed --no-legend --plain; systemctl list-jobs --no-legend")
	t.Logf("%s after %s", state, time.Since(began).Round(100*time.Millisecond))
	if state != "running" {
		why, _ := sh(t, r, 801, "journalctl -q --no-pager -p warning | tail -n 30")
		t.Errorf("the system is %s: %s\n%s", state, failed, why)
	}
	out, code := sh(t, r, 801, "/run/hardnode/jem service status")
	reply, err := jem.Decode([]byte(out))
	if err != nil || code != 0 || reply.Init != jem.InitSystemd || len(reply.Services) < 5 {
		t.Errorf("status: %d %v %+v", code, err, reply)
	}
	out, code = sh(t, r, 801, "/run/hardnode/jem service logs systemd-journald --tail 5")
	if reply, err := jem.Decode([]byte(out)); err != nil || code != 0 || len(reply.Lines) == 0 {
		t.Errorf("logs: %d %v %s", code, err, out)
	}
	if out, code = sh(t, r, 801, "/run/hardnode/jem service status no-such-unit"); code != 1 || !strings.Contains(out, "not_found") {
		t.Errorf("status of nothing: %d %s", code, out)
	}
	if got, _ := sh(t, r, 801, "cat /proc/1/comm; cat /proc/1/cgroup; grep CapBnd /proc/self/status"); !strings.HasPrefix(got,
		"systemd\n0::/init.scope\n") {
		t.Errorf("inside: %q", got)
	}
	jemChangesUnits(t, r, 801)
	systemSays(t, r, 801)
	systemCommands(t, r, 801)
	systemConsole(t, r, 801)
	// it reboots by its own will, and comes up as the same machine
	tell(t, r, 801, "systemctl reboot")
	if o := waitState(t, r, 801, StateExited); o.Left != LeftReboot {
		t.Errorf("after a reboot from inside: left by %q, code %d", o.Left, o.ExitCode)
	}
	began = time.Now()
	if o := mustStart(t, r, s); o.Booting {
		t.Error("what Start returns knows more than it can")
	}
	becomesReady(t, r, 801)
	t.Logf("ready again after %s", time.Since(began).Round(100*time.Millisecond))
	if again, _ := sh(t, r, 801, "cat /etc/machine-id"); again != id {
		t.Errorf("the machine was %q and is %q", id, again)
	}
	began = time.Now()
	if err := r.Stop(deadline(t), 801); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(began); d > 25*time.Second {
		t.Errorf("an orderly stop took %v", d)
	}
	if o := waitState(t, r, 801, StateStopped); o.PID != 0 {
		t.Errorf("observed %+v", o)
	}
	waitLine(t, r, 801, "Powering off|System Shutdown|Reached target shutdown.target|Stopped target")
}

// becomesReady waits until a container's systemd has said that it has booted.
func becomesReady(t testing.TB, r *Runtime, id wire.CTID) {
	t.Helper()
	for end := time.Now().Add(3 * time.Minute); r.boots.Boots(id); {
		if time.Now().After(end) {
			t.Fatalf("container %s has not said that it is ready", id)
		}
		run.Wait(context.Background(), 5*time.Millisecond)
	}
}

// tell runs a script that may end the container it is in.
func tell(t testing.TB, r *Runtime, id wire.CTID, script string) {
	r.Exec(deadline(t), id, host.ExecSpec{Argv: []string{"sh", "-c", script}}, command.Stdio{})
}

// TestSystemLeaves: how a full OS ended itself is told apart from any other end. Its PID 1 is a shell here.
func TestSystemLeaves(t *testing.T) {
	spawnerUp(t)
	r := newRuntime(t)
	s := box(t, 820, forever)
	s.Profile = host.ProfileSystem
	if _, err := os.Stat("/images/systemd.erofs"); err != nil {
		t.Skip("the guest has no image with systemd")
	}
	for _, c := range []struct {
		command string
		want    Left
	}{{"systemctl reboot -ff", LeftReboot}, {"systemctl poweroff -ff", LeftPowerOff}, {"systemctl halt -ff", LeftPowerOff},
		{"true", LeftNot}} {
		if _, err := r.Start(deadline(t), s); err != nil {
			t.Fatal(err)
		}
		tell(t, r, 820, c.command)
		if c.want == LeftNot {
			r.signal(deadline(t), 820, unix.SIGKILL)
		}
		if o := waitState(t, r, 820, StateExited); o.Left != c.want {
			t.Errorf("%s: left by %q with code %d, want %q", c.command, o.Left, o.ExitCode, c.want)
		}
	}
	if err := r.Remove(deadline(t), 820, false); err != nil {
		t.Fatal(err)
	}
}

// waitLine waits until the container's log has a line with one of the words.
func waitLine(t *testing.T, r *Runtime, id wire.CTID, words string) {
	t.Helper()
	var all []string
	soon(t, fmt.Sprintf("the log has a line with %q", words), func() bool {
		all = all[:0]
		found := false
		r.Logs(deadline(t), id, host.LogsSpec{}, func(_ bool, l []byte) error {
			all = append(all, string(l))
			for _, w := range strings.Split(words, "|") {
				found = found || strings.Contains(string(l), w)
			}
			return nil
		})
		return found
	})
	for _, l := range all {
		if strings.ContainsAny(l, "\r\x1b") {
			t.Errorf("a line of the log is for a terminal: %q", l)
		}
	}
}

// systemSays: the system's console and its journal are the container's log.
func systemSays(t *testing.T, r *Runtime, id wire.CTID) {
	t.Helper()
	waitLine(t, r, id, "multi-user.target|Multi-User System")
	if out, code := sh(t, r, id, "test -c /dev/console && echo by hand > /dev/console && logger -t unit-1 by journal || echo "+
		"'<13>unit-1: by journal' | systemd-cat -t unit-1"); code != 0 {
		t.Errorf("write to console and journal: %d %s", code, out)
	}
	waitLine(t, r, id, "by hand")
	waitLine(t, r, id, "by journal")
	n := 0
	r.Logs(deadline(t), id, host.LogsSpec{}, func(bool, []byte) error { n++; return nil })
	t.Logf("the log has %d lines", n)
}

// systemCommands: commands beside systemd's own units, and one that systemd takes over.
func systemCommands(t *testing.T, r *Runtime, id wire.CTID) {
	t.Helper()
	before, err := r.Observe(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	e, err := r.Exec(deadline(t), id, host.ExecSpec{Argv: []string{"dd", "if=/dev/zero", "of=/dev/null", "bs=900M", "count=1"}},
		command.Stdio{})
	if err != nil || e.Code != 137 || !strings.Contains(e.Note, "process dd of a command used") {
		t.Errorf("a command that takes too much: %+v %v", e, err)
	}
	if after, err := r.Observe(deadline(t)); err != nil || len(after) != 1 || after[0].PID != before[0].PID ||
		after[0].State != StateRunning {
		t.Errorf("the system after it: %+v %v", after, err)
	}
	if out, code := sh(t, r, id, "systemctl is-system-running; systemd-run -q --scope --unit=mine sh -c 'cat /proc/self/cgroup'; "+
		"systemd-run -q --wait --pipe id -u"); !strings.HasPrefix(out, "running") ||
		!strings.Contains(out, "/mine.scope") || !strings.HasSuffix(out, "\n0") {
		t.Errorf("a command that systemd takes over: %d %s", code, out)
	}
	if list := groupsOf(id); slices.ContainsFunc(list, func(d string) bool { return strings.Contains(d, command.GroupPrefix) }) {
		t.Errorf("cgroups of commands are left: %q", list)
	}
}

// TestConsole: what is written to a system container's console, stdout and stderr is its log, to its last word, whoever reads it; nothing
// of it stays behind. Its PID 1 is a shell here.
func TestConsole(t *testing.T) {
	i := spawnerUp(t)
	r := newRuntime(t)
	console := func(id wire.CTID, script string) StartSpec {
		s := box(t, id, script)
		s.Profile = host.ProfileSystem
		return s
	}
	if _, err := r.Start(deadline(t), console(810, forever)); err != nil { // once, so that what stays for all containers is there
		t.Fatal(err)
	}
	if err := r.Remove(deadline(t), 810, false); err != nil {
		t.Fatal(err)
	}
	before := worldOf(t)
	if _, err := r.Start(deadline(t), console(811,
		"tty <&1; stty size < /dev/console; n=0; while [ $n -lt 40 ]; do echo tick $n > /dev/console; n=$((n+1)); sleep 0.1; done; "+
			"printf 'col\\rumn\\n'; echo oops >&2; printf 'last word'")); err != nil {
		t.Fatal(err)
	}
	waitLog(t, r, 811, "tick 3")
	if got, code := sh(t, r, 811, "test -c /dev/console && ls -ln /dev/console | awk '{print $1, $3}'; head -c 1 /dev/console < "+
		"/dev/null & sleep 0.1; kill $!; ls /dev/pts"); !strings.HasPrefix(got, "crw--w---- 0\n") || strings.Contains(got, "/0") {
		t.Errorf("the console inside: %d %q", code, got)
	}
	i.kill()
	run.Wait(context.Background(), 500*time.Millisecond) // it goes on meanwhile
	i.start()
	waitState(t, r, 811, StateExited)
	waitLog(t, r, 811, "last word")
	var list []string
	r.Logs(deadline(t), 811, host.LogsSpec{}, func(stderr bool, l []byte) error {
		list = append(list, fmt.Sprint(stderr, " ", string(l)))
		return nil
	})
	for n := range 40 {
		if !slices.Contains(list, fmt.Sprintf("false tick %d", n)) {
			t.Errorf("line %d is lost: %q", n, list)
			break
		}
	}
	for _, want := range []string{"false 50 250", "false column", "false oops", "false last word"} {
		if !slices.Contains(list, want) {
			t.Errorf("%q is not in the log: %q", want, list)
		}
	}
	if err := r.Remove(deadline(t), 811, false); err != nil {
		t.Fatal(err)
	}
	before.fds = nil // the next spawner has its own
	after := worldOf(t)
	after.fds = nil
	if fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("left behind: before %v\nafter %v", before, after)
	}
	before = worldOf(t)
	for range 3 {
		if _, err := r.Start(deadline(t), console(812, forever)); err != nil {
			t.Fatal(err)
		}
		if err := r.Remove(deadline(t), 812, false); err != nil {
			t.Fatal(err)
		}
	}
	before.compare(t, "system containers")
}

// seat is a person at a container's console.
type seat struct {
	in   *io.PipeWriter
	said *said
	end  func() error
}

func sit(t *testing.T, r *Runtime, id wire.CTID) seat {
	t.Helper()
	ctx, cancel := context.WithCancel(deadline(t))
	in, typed := io.Pipe()
	s, over := &said{}, make(chan error, 1)
	go func() {
		over <- r.Console(ctx, id, nodecall.Console{Rows: 24, Cols: 80}, command.Stdio{In: in, Out: s, Err: io.Discard})
	}()
	return seat{typed, s, func() error { cancel(); return <-over }}
}

// systemConsole: a person logs in at the console, another one looks on, and it goes on when one leaves.
func systemConsole(t *testing.T, r *Runtime, id wire.CTID) {
	t.Helper()
	if out, code := sh(t, r, id, "echo root:secret | chpasswd"); code != 0 {
		t.Fatalf("set a password: %d %s", code, out)
	}
	first, second := sit(t, r, id), sit(t, r, id)
	type step struct{ wait, then string }
	for _, s := range []step{{"login:", "root\n"}, {"assword:", "secret\n"}, {"# ", "stty size; echo at $(tty)\n"}} {
		if s.wait == "login:" {
			soon(t, "both are there", func() bool { // a prompt may have come before they were
				io.WriteString(first.in, "\n")
				run.Wait(context.Background(), time.Second)
				return strings.Contains(first.said.text(), s.wait) && strings.Contains(second.said.text(), s.wait)
			})
		} else {
			soon(t, "the console asks for "+s.wait, func() bool { return strings.Contains(first.said.text(), s.wait) })
		}
		io.WriteString(first.in, s.then)
	}
	for who, s := range map[string]seat{"who types": first, "who looks on": second} {
		soon(t, who+" sees it", func() bool { return strings.Contains(s.said.text(), "at /dev/console") })
		if !strings.Contains(s.said.text(), "24 80") || strings.Contains(s.said.text(), "secret") {
			t.Errorf("%s sees %q", who, s.said.text())
		}
	}
	if err := first.end(); err != nil {
		t.Errorf("leaving: %v", err)
	}
	io.WriteString(second.in, "echo still $((40+2))\nexit\n")
	soon(t, "the other one goes on", func() bool { return strings.Contains(second.said.text(), "still 42") })
	if err := second.end(); err != nil {
		t.Errorf("leaving: %v", err)
	}
	waitLine(t, r, id, "still 42")
	if out, _ := sh(t, r, id, "stty size < /dev/console"); out != "50 250" {
		t.Errorf("the console's size afterwards: %q", out)
	}
}

// said is output as text, for who looks at it meanwhile.
type said struct {
	mu struct {
		sync.Mutex
		b []byte
	}
}

func (s *said) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.b = append(s.mu.b, b...)
	return len(b), nil
}

func (s *said) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.mu.b)
}
