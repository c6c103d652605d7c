//go:build qemu

package story

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/operator"
	boot "hardnode.dev/internal/wire/slots"
	"hardnode.dev/qemu-tests/cluster"
	"hardnode.dev/qemu-tests/harness"
	"hardnode.dev/qemu-tests/harness/ask"
)

// landmarks are lines of a host's console log and what has happened when they appear. The first number is seconds since the VM was
// switched on; the kernel's own clock stands behind it.
var landmarks = []struct {
	what    string
	pattern *regexp.Regexp
}{
	{"kernel start → init", regexp.MustCompile(`\[ *([0-9.]+)\] \[ *[0-9.]+\] Run /`)},
	{"kernel start → agent up", regexp.MustCompile(`\[ *([0-9.]+)\].*service agent: ready`)},
	{"kernel start → ACTIVE", regexp.MustCompile(`\[ *([0-9.]+)\].*\[host-[12]\] ACTIVE`)},
}

// kernelStart is when the kernel's clock began, in seconds since the VM was switched on.
var kernelStart = regexp.MustCompile(`\[ *([0-9.]+)\] \[ *([0-9.]+)\] Run /`)

// TestFigures prints how long a host needs to come up, and what its programs take: part of `make bench`.
func TestFigures(t *testing.T) {
	if os.Getenv("HARDNODE_BENCH") == "" {
		t.Skip("HARDNODE_BENCH, the number of runs, is not set")
	}
	const boots = 5
	c, err := cluster.Start(t.Context(), cluster.Options{Dir: harness.Dir(t), Hosts: 1, Bare: true, Probe: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	s, host, took := story{t, c}, c.Hosts[0], make([][]float64, len(landmarks))
	for range boots {
		s.bootsAgain(host)
		_, reached := reached(t, host.Log())
		for i, at := range reached {
			took[i] = append(took[i], at)
		}
	}
	for i, l := range landmarks {
		slices.Sort(took[i])
		fmt.Fprintf(t.Output(), "FIGURE %s: median %.1f s of %d (%.1f to %.1f)\n", l.what, took[i][boots/2], boots, took[i][0],
			took[i][boots-1])
	}
	s.console(host, 0, time.Minute*harness.Scale(), "the boot is over: the host is idle", `step container modules:`)
	memory(t, host)
}

// bootsAgain cuts the host's power, and boots it until it is ACTIVE.
func (s story) bootsAgain(host *cluster.Machine) {
	s.T.Helper()
	host.Kill()
	if _, err := s.WaitHost(s.T.Context(), host.Name, time.Minute, func(h operator.Host) bool { return !isActive(h) }); err != nil {
		s.T.Fatal(err)
	}
	if err := host.Boot(); err != nil {
		s.T.Fatal(err)
	}
	if _, err := s.WaitHost(s.T.Context(), host.Name, time.Minute*harness.Scale(), isActive); err != nil {
		s.T.Fatal(err)
	}
	s.console(host, 0, time.Minute*harness.Scale(), "the host's console says ACTIVE", `\[`+host.Name+`\] ACTIVE`)
}

// counted waits until an installed host has given its loader the boot back that it took: a power cut before it is one that counts.
func (s story) counted(host *cluster.Machine) {
	s.T.Helper()
	s.until("the boot of "+host.Name+" is given back to the loader", func() bool {
		var is operator.HostSlots
		return s.Get(s.T.Context(), &is, "host", "slots", host.Name) == nil &&
			slices.ContainsFunc(is.Slots, func(x boot.Slot) bool { return x.Booted && x.Tries > 0 })
	})
}

// mostSlower is how many times as long an installed host may take from kernel start to ACTIVE as one whose kernel QEMU loads.
const mostSlower = 1.25

// TestFiguresInstalled prints how long a host takes from its own disk, beside one that QEMU hands kernel and initrd: part of `make bench`.
// They boot in turn, each alone.
func TestFiguresInstalled(t *testing.T) {
	if os.Getenv("HARDNODE_BENCH") == "" {
		t.Skip("HARDNODE_BENCH, the number of runs, is not set")
	}
	const boots = 5
	c, err := cluster.Start(t.Context(), cluster.Options{Dir: harness.Dir(t), Hosts: 1, Spare: 1, Seats: 2, Bare: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := cluster.Make(t.Context(), c.Root, "disk", t.Logf); err != nil {
		t.Fatal(err)
	}
	c.Hosts[0].Kill()
	installed, err := c.AddInstalled(filepath.Join(c.Root, "out/media/host.disk"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.WaitHost(t.Context(), installed.Name, time.Minute*harness.Scale(), isActive); err != nil {
		t.Fatal(err)
	}
	s, hosts := story{t, c}, []*cluster.Machine{c.Hosts[0], installed}
	s.counted(installed)
	var before, took [2][]float64
	for range boots {
		for i, host := range hosts {
			hosts[1-i].Kill()
			s.bootsAgain(host)
			zero, reached := reached(t, host.Log())
			before[i], took[i] = append(before[i], zero), append(took[i], reached[len(reached)-1])
			if host == installed {
				s.counted(installed)
			}
		}
	}
	for i, what := range []string{"a host that QEMU loads", "an installed host"} {
		slices.Sort(before[i])
		slices.Sort(took[i])
		fmt.Fprintf(t.Output(), "FIGURE kernel start → ACTIVE of %s: median %.1f s of %d (%.1f to %.1f); firmware before it %.1f s\n", what,
			took[i][boots/2], boots, took[i][0], took[i][boots-1], before[i][boots/2])
	}
	ratio := took[1][boots/2] / took[0][boots/2]
	fmt.Fprintf(t.Output(), "FIGURE kernel start → ACTIVE, installed beside loaded: %.2f × (bar %.2f)\n", ratio, mostSlower)
	if ratio > mostSlower {
		t.Errorf("an installed host takes %.2f times as long, want at most %.2f", ratio, mostSlower)
	}
}

// reached is when the kernel started, in seconds since power on, and each landmark was reached, in seconds since then. The log is written
// behind the console, so it may need a moment.
func reached(t *testing.T, path string) (zero float64, at []float64) {
	t.Helper()
	var log []byte
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for {
		var err error
		if log, err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
		if landmarks[len(landmarks)-1].pattern.Match(log) || !run.Wait(ctx, 100*time.Millisecond) {
			break
		}
	}
	k := kernelStart.FindSubmatch(log)
	if k == nil {
		t.Fatalf("no start of init in %s", path)
	}
	zero = seconds(t, k[1]) - seconds(t, k[2])
	for _, l := range landmarks {
		m := l.pattern.FindSubmatch(log)
		if m == nil {
			t.Fatalf("no %q in %s", l.pattern, path)
		}
		at = append(at, seconds(t, m[1])-zero)
	}
	return zero, at
}

// mostResident is what the programs of an idle host may have resident together, in MiB.
const mostResident = 56

// memory prints what the host's own programs and the whole host take once their start is over, a minute after the last of them.
func memory(t *testing.T, host *cluster.Machine) {
	run.Wait(t.Context(), time.Minute)
	p, err := host.Ask(t.Context(), ask.Request{What: "processes"})
	if err != nil {
		t.Fatal(err)
	}
	var rss, pss int64
	for _, x := range p.Processes {
		if x.Exe == "/probe" {
			continue
		}
		rss, pss = rss+x.RSS, pss+x.PSS
		fmt.Fprintf(t.Output(), "FIGURE %s: RSS %.1f MiB (its own %.1f), PSS %.1f MiB\n", x.Exe, mib(x.RSS), mib(x.Anonymous), mib(x.PSS))
	}
	m, err := host.Ask(t.Context(), ask.Request{What: "memory"})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(t.Output(), "FIGURE all programs of an idle host: RSS %.1f MiB (bar %d), PSS %.1f MiB; the host in all: %.1f MiB\n",
		mib(rss), mostResident, mib(pss), mib(m.Memory.Used))
	if mib(rss) > mostResident {
		t.Errorf("the programs of an idle host have %.1f MiB resident, want at most %d", mib(rss), mostResident)
	}
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }

func seconds(t *testing.T, text []byte) float64 {
	t.Helper()
	s, err := strconv.ParseFloat(string(text), 64)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
