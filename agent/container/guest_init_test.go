//go:build guest

package container

import (
	"testing"
	"time"

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

// signalsTaken waits until the init blocks or handles signals: before that it is deaf to them.
func signalsTaken(t *testing.T, r *Runtime) {
	t.Helper()
	soon(t, "the init has taken its signals in hand", func() bool {
		got, _ := sh(t, r, 830, "awk '/^Sig(Cgt|Blk)/ && $2 !~ /^0*$/' /proc/1/status")
		return got != ""
	})
}
