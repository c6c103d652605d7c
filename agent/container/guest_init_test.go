//go:build guest

package container

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/host"
)

// TestBusyboxInit: a full OS whose init is not systemd starts, reboots and powers off by its own will, and ends in its own way when it is
// asked to. What it can't say, that it is ready, nobody waits for.
func TestBusyboxInit(t *testing.T) {
	long(t)
	spawnerUp(t)
	r := newRuntime(t)
	s := box(t, 830, "")
	s.Profile, s.Process = host.ProfileSystem, host.Process{Argv: []string{"/bin/init"}, StopAfter: 60}
	for _, c := range []struct {
		command string
		want    Left
	}{{"reboot", LeftReboot}, {"poweroff", LeftPowerOff}} {
		o, err := r.Start(deadline(t), s)
		if err != nil {
			t.Fatal(err)
		}
		if o.Booting {
			t.Error("it is waited for")
		}
		signalsTaken(t, r)
		tell(t, r, 830, c.command)
		if o := waitState(t, r, 830, StateExited); o.Left != c.want {
			t.Errorf("%s: left by %q with code %d, want %q", c.command, o.Left, o.ExitCode, c.want)
		}
	}
	if _, err := r.Start(deadline(t), s); err != nil {
		t.Fatal(err)
	}
	signalsTaken(t, r)
	busyboxConsole(t, r)
	began := time.Now()
	if err := r.Stop(deadline(t), 830); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 40*time.Second {
		t.Errorf("an orderly stop took %s", took)
	}
	if err := r.Remove(deadline(t), 830, false); err != nil {
		t.Fatal(err)
	}
}

// busyboxConsole: without an inittab busybox' init has a shell on its own stdin for who asks. It is one on the console, with job control;
// ^C ends what it runs, and nothing else.
func busyboxConsole(t *testing.T, r *Runtime) {
	t.Helper()
	first, second := sit(t, r, 830), sit(t, r, 830)
	for who, s := range map[string]seat{"who types": first, "who looks on": second} {
		soon(t, who+" is there and a shell asks", func() bool {
			io.WriteString(first.in, "\n")
			run.Wait(context.Background(), 200*time.Millisecond)
			return strings.Contains(s.said.text(), "# ")
		})
	}
	// each answer differs from what was typed, which is seen too
	for _, step := range [][2]string{{"echo at $(tty) $((40+2))", "at /dev/console 42"}, {"ls /no$((1+1))such", "/no2such: No such file"},
		{"echo began $((2+3)); sleep 1000", "began 5"}, {"\x03echo ended $?", "ended 130"},
		{"sleep 1000 & kill %1; wait; echo jobs $((3+3))", "jobs 6"}} {
		if t.Failed() {
			break
		}
		io.WriteString(first.in, step[0]+"\n")
		for who, s := range map[string]seat{"who types": first, "who looks on": second} {
			soon(t, who+" sees "+step[1], func() bool { return strings.Contains(s.said.text(), step[1]) })
		}
	}
	if said := first.said.text(); t.Failed() || strings.Contains(said, "job control turned off") {
		t.Errorf("the console: %q", said)
	}
	for _, s := range []seat{first, second} {
		if err := s.end(); err != nil {
			t.Errorf("leaving: %v", err)
		}
	}
	waitLog(t, r, 830, "at /dev/console 42")
	waitLog(t, r, 830, "ls: /no2such: No such file or directory")
}

// signalsTaken waits until the init blocks or handles signals: before that it is deaf to them.
func signalsTaken(t *testing.T, r *Runtime) {
	t.Helper()
	soon(t, "the init has taken its signals in hand", func() bool {
		got, _ := sh(t, r, 830, "awk '/^Sig(Cgt|Blk)/ && $2 !~ /^0*$/' /proc/1/status")
		return got != ""
	})
}
