package supervise

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestPromise: what one run of a service is blamed for, and when that is looked at.
func TestPromise(t *testing.T) {
	// Each step: the second after the start when it happens, and what; = is what is said of it then, busy the same of a busy one, next in
	// how many seconds it is looked at, w that somebody waits all the time since the last new.
	for _, c := range []struct{ name, of, steps, want string }{
		{"it promised nothing", "", "0 next, 9 =, 9 ready, 99 =, 99 next", "3600, ok, ok, 3600"},
		{"it is ready in time", "ready 10", "0 next, 9 =, 9 ready, 99 =, 99 next", "10, ok, ok, 3600"},
		{"it is not", "ready 10", "4 next, 10 =, 11 =", "6, ok, not ready after 10s"},
		{"it beats", "beat 4", "1 ready, 1 next, 4 beat, 5 next, 8 =, 8 next", "4, 3, ok, 0"},
		{"it is silent", "beat 4", "1 ready, 5 =, 6 =", "ok, hung: no WATCHDOG=1 for 5s"},
		{"it promises it itself", "", "1 ready, 2 interval 3, 2 next, 5 =", "2, hung: no WATCHDOG=1 for 4s"},
		{"a beat before it is ready", "ready 9 beat 2", "1 beat, 6 =, 6 next", "ok, 3"},
		{"nobody waits for it", "asked beat 2", "1 ready, 1 next, 50 =", "3600, ok"},
		{"somebody does", "asked beat 2", "1 ready, 50 w, 50 =, 51 w, 52 w, 52 =, 53 w, 53 =", "ok, ok, hung: no WATCHDOG=1 for 3s"},
		{"and it beats", "asked beat 2", "1 ready, 50 w, 51 w, 51 beat, 52 w, 53 w, 53 =, 54 w, 54 =", "ok, hung: no WATCHDOG=1 for 3s"},
		{"somebody did, and another does", "asked beat 2", "1 ready, 50 w, 51 w, 54 =, 54 new, 54 =, 55 w, 56 w, 56 =, 57 w, 57 =",
			"ok, ok, ok, hung: no WATCHDOG=1 for 3s"},
		{"a busy machine", "asked beat 2", "1 ready, 50 new, 53 w, 53 busy, 58 w, 58 busy, 59 w, 59 busy",
			"ok, ok, hung: no WATCHDOG=1 for 9s"},
		{"who need not be asked has no slack", "beat 2", "1 ready, 4 busy", "hung: no WATCHDOG=1 for 3s"},
		{"nobody waits long", "asked beat 2", "1 ready, 50 new, 51 new, 52 new, 53 new, 53 =, 54 new, 54 =", "ok, ok"},
	} {
		at := func(sec int) time.Time { return time.Unix(int64(1000+sec), 0) }
		p := promise{began: at(0)}
		var what string
		var n, sec int
		since := at(0) // somebody waits all the time
		for f := strings.Fields(c.of); len(f) > 0; f = f[1:] {
			switch f[0] {
			case "asked":
				p.asked = true
			case "ready", "beat":
				fmt.Sscan(f[1], &n)
				*map[string]*time.Duration{"ready": &p.ready, "beat": &p.beat}[f[0]] = time.Duration(n) * time.Second
				f = f[1:]
			}
		}
		var got []string
		for step := range strings.SplitSeq(c.steps, ", ") {
			fmt.Sscan(step, &sec, &what)
			switch now := at(sec); what {
			case "ready":
				p.hear(message{Ready: true}, now)
			case "beat":
				p.hear(message{Beat: true}, now)
			case "interval":
				fmt.Sscan(step, &sec, &what, &n)
				p.hear(message{Interval: time.Duration(n) * time.Second}, now)
			case "w", "new":
				if what == "new" || since == at(0) {
					since = now
				}
				p.wanted(since, now)
			case "next":
				got = append(got, fmt.Sprint(int(p.look(now).Seconds())))
			case "=", "busy":
				why := p.broken(now, func() bool { return what == "busy" })
				if why == "" {
					why = "ok"
				}
				got = append(got, why)
			}
		}
		if s := strings.Join(got, ", "); s != c.want {
			t.Errorf("%s (%s): %s, want %s", c.name, c.steps, s, c.want)
		}
	}
}

// TestBusy: this process is, one that is stopped is not.
func TestBusy(t *testing.T) {
	if !busy(os.Getpid()) {
		t.Error("who asks does not run")
	}
	cmd := exec.Command("/bin/sh", "-c", "while :; do :; done")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	for end := time.Now().Add(time.Minute); !busy(cmd.Process.Pid); time.Sleep(time.Millisecond) { // it may still be read from the disk
		if time.Now().After(end) {
			t.Fatal("what loops does not run")
		}
	}
	if err := cmd.Process.Signal(unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	var ws unix.WaitStatus
	if _, err := unix.Wait4(cmd.Process.Pid, &ws, unix.WUNTRACED, nil); err != nil || !ws.Stopped() {
		t.Fatal(ws, err)
	}
	if busy(cmd.Process.Pid) {
		t.Error("what is stopped runs")
	}
}
