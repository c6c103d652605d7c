package machine

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/disk/bootorder"
	"hardnode.dev/internal/wire/slots"
)

func TestLater(t *testing.T) {
	now := time.Unix(1000, 0)
	if got := later(now, time.Unix(5, 0), time.Unix(999, 0)); !got.IsZero() {
		t.Errorf("a good clock is set to %v", got)
	}
	if got := later(now, time.Unix(2000, 0), time.Unix(1500, 0)); !got.Equal(time.Unix(2000, 0)) {
		t.Errorf("got %v, want the latest floor", got)
	}
}

func TestVerdict(t *testing.T) {
	for _, c := range []struct {
		before  int
		counted bool
		pause   time.Duration
		again   bool
	}{
		{0, true, pauseCounted, true},
		{maxFailures - 2, true, pauseCounted, true},
		{maxFailures - 1, true, 0, false},
		{99, true, 0, false},
		{0, false, pauseBlind, true},
	} {
		if pause, again := verdict(c.before, c.counted); pause != c.pause || again != c.again {
			t.Errorf("verdict(%d, %v) = %v, %v", c.before, c.counted, pause, again)
		}
	}
}

func TestUnmountOrder(t *testing.T) {
	info := `22 1 0:20 / / ro - erofs /dev/loop0 ro
23 22 0:21 / /proc rw - proc proc rw
24 22 0:22 / /data rw,noatime - btrfs /dev/vda rw
25 22 0:22 /state /state rw - btrfs /dev/vda rw
26 22 0:23 / /usr/share/hardnode/images ro - rootfs none rw
27 24 0:24 / /data/with\040space rw - overlay none rw
28 22 0:25 / /sys/fs/cgroup rw - cgroup2 none rw
`
	want := []string{"/data/with space", "/state", "/data"}
	if got := unmountOrder(info); !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestUrgent(t *testing.T) {
	for line, want := range map[string]bool{
		`time=x level=INFO msg=hi`:  false,
		`time=x level=DEBUG msg=hi`: false,
		`time=x level=WARN msg=hi`:  true,
		`panic: oops`:               true,
	} {
		if got := urgent(line); got != want {
			t.Errorf("urgent(%q) = %v", line, got)
		}
	}
}

func TestMemTotal(t *testing.T) {
	if got, err := memTotalOf("MemFree: 1 kB\nMemTotal:        1000 kB\n"); err != nil || got != 1000<<10 {
		t.Errorf("got %d, %v", got, err)
	}
	if _, err := memTotalOf("nothing"); err == nil {
		t.Error("no MemTotal, no error")
	}
}

func TestEverySettingHasAReason(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range settings {
		if s.Reason == "" || s.Value == "" || seen[s.Path] {
			t.Errorf("setting %q: no reason, no value, or twice", s.Path)
		}
		seen[s.Path] = true
	}
}

func TestPressed(t *testing.T) {
	event := make([]byte, eventSize)
	if pressed(event) {
		t.Error("nothing is pressed")
	}
	event[16], event[18], event[20] = evKey, keyPower, 1
	if !pressed(event) {
		t.Error("the power button is pressed")
	}
	event[20] = 0
	if pressed(event) {
		t.Error("the power button was let go")
	}
}

// TestOutcome: the first settles it, and whoever waits hears it.
func TestOutcome(t *testing.T) {
	bad := errors.New("module veth: no room")
	for _, c := range []struct {
		settled []error
		want    error
	}{
		{[]error{nil}, nil},
		{[]error{bad}, bad},
		{[]error{bad, nil}, bad},
		{[]error{nil, bad}, nil},
	} {
		o := newOutcome()
		heard := make(chan error, 1)
		go func() { heard <- o.wait(t.Context()) }()
		for _, err := range c.settled {
			o.settle(err)
		}
		if got := <-heard; got != c.want {
			t.Errorf("%v: heard %v", c.settled, got)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := newOutcome().wait(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("never settled: %v", err)
	}
}

// TestOrder: what a host needs to be heard of comes before what it needs to be worked with.
func TestOrder(t *testing.T) {
	at := map[string]int{}
	for i, s := range New().table() {
		at[s.Name] = i
	}
	for _, c := range [][2]string{{"api", "agent"}, {"devices", "config"}, {"modules", "data"}, {"data", "trial"}, {"trial", "agent"},
		{"agent", "services"},
		{"services", "watchdog"}, {"services", "console"}, {"services", "boot count"}, {"services", "container modules"}} {
		if before, there := at[c[0]]; !there || before >= at[c[1]] {
			t.Errorf("row %q is not before %q", c[0], c[1])
		}
	}
}

// TestOutput: the kernel's log has a service's line as it was written; what repeats is in it each time.
func TestOutput(t *testing.T) {
	kmsg := filepath.Join(t.TempDir(), "kmsg")
	if err := os.WriteFile(kmsg, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	m := New()
	if err := m.con.Kmsg(kmsg); err != nil {
		t.Fatal(err)
	}
	const line = `time=2026-11-25T22:13:05.123Z level=WARN msg="orchestrator away" program=agent`
	m.output("agent", line)
	m.output("agent", line)
	got, err := os.ReadFile(kmsg)
	if want := strings.Repeat("<6>hardnode: agent: "+line+"\n", 2); err != nil || string(got) != want {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
}

// A boot is on trial when its slot was asked for in another boot.
func TestTrialOf(t *testing.T) {
	trial := bootorder.Record{Trial: &bootorder.Trial{Slot: slots.B, Within: 60, Boot: "before"}}
	for _, c := range []struct {
		r      bootorder.Record
		booted slots.Name
		boot   string
		want   time.Duration
	}{
		{trial, slots.B, "now", time.Minute},
		{trial, slots.A, "now", 0},
		{trial, slots.B, "before", 0},
		{bootorder.Record{}, slots.B, "now", 0},
	} {
		if got := trialOf(c.r, c.booted, c.boot); got != c.want {
			t.Errorf("%+v booted from %s: %s, want %s", c.r.Trial, c.booted, got, c.want)
		}
	}
}

func TestServed(t *testing.T) {
	for cmdline, want := range map[string]time.Duration{
		"panic=10 hardnode.trial=600 hardnode.config=http://10.0.0.1/x\n": 10 * time.Minute,
		"panic=10":               0,
		"hardnode.trial=":        0,
		"hardnode.trial=-5":      0,
		"hardnode.trial=9999999": 0,
		"xhardnode.trial=5":      0,
	} {
		if got := served(cmdline); got != want {
			t.Errorf("%q: %s, want %s", cmdline, got, want)
		}
	}
}
