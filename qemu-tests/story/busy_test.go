//go:build qemu

package story

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/qemu-tests/cluster"
)

// The load of busyHosts on each host: containers that compute without end. Together they may use busyTimes as much CPU as the host has.
var (
	busyNodes = soak(4, 20)
	busyTimes = soak(3.0, 4.0)
	busyAfter = soak(10, 30) // seconds of sleep before: the first ones are busy while the last ones start
	busyFor   = soak(30*time.Second, 10*time.Minute)
)

// busyHosts: hosts that have busyTimes more to do than they can are slow and not dead: nothing is made anew elsewhere, and whenever one was
// called unreachable it says why.
func busyHosts(s story) {
	hosts, err := s.HostList(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	hosts = slices.DeleteFunc(hosts, func(h operator.Host) bool {
		return !slices.ContainsFunc(s.Hosts, func(m *cluster.Machine) bool { return m.Name == h.Name })
	})
	if len(hosts) != len(s.Hosts) {
		s.Fatalf("user hosts are %+v, want %d", hosts, len(s.Hosts))
	}
	dir := s.small("busy", func(c *v1.ConfigFile) {
		c.Config.Entrypoint = []string{"sh", "-c", fmt.Sprintf("sleep %d; while :; do :; done", busyAfter)}
	})
	var t host.Template
	if err := json.Unmarshal([]byte(s.hnctl("template", "push", dir, "-o", "json")), &t); err != nil {
		s.Fatal(err)
	}
	s.listed("busy")
	hello := s.settled("hello")
	ops := s.replacements()
	v, begin := s.visitor(time.Second), time.Now()
	if _, err := s.HNCTL(s.Context(), "env", "create", "-f", s.file("busy", len(s.Hosts)*busyNodes, "template: nginx", "template: busy",
		"reserved: 1", "reserved: 0", "dynamic: 2}", fmt.Sprintf("dynamic: %d}\n    diskMiB: 64", ceiling(hosts)))); err != nil {
		s.Fatal(err)
	}
	s.figure("%d containers that compute without end run after %.0f s", len(s.Hosts)*busyNodes, time.Since(begin).Seconds())
	busy := s.settled("busy")
	s.watch(busyFor)
	s.sameNodes(hello, s.settled("hello"))
	after := s.settled("busy")
	s.sameNodes(busy, after)
	for _, h := range hosts { // what was reported last may be of the containers' first seconds: the next report that is whole says more
		least := soak(busyTimes/slack, busyTimes)
		s.until(fmt.Sprintf("%s had %.1f times as much to do as it has CPU", h.Name, least), func() bool {
			times, got := overcommit(h, busy.Nodes, after.Nodes)
			if times < least {
				after = s.settled("busy")
				return false
			}
			s.figure("%s had %.1f times as much to do as it has CPU (%d × %d MHz); it gave %.0f s of CPU time meanwhile", h.Name, times,
				h.CPUs, h.MHz, got)
			return true
		})
	}
	if now := s.replacements(); len(now) != len(ops) {
		s.Errorf("nodes were replaced: %q, before %q", now, ops)
	}
	list := v.stop()
	s.figure("meanwhile %d of %d pages failed: %q", len(failed(list, begin)), len(list), failed(list, begin))
	s.delete("busy")
}

// mostCloudlets is the largest limit that a node may have on the emulated hosts: their memory without what a host keeps for itself.
const mostCloudlets = 7

// ceiling is how many cloudlets each of busyNodes needs on the fastest host, so that together they may use busyTimes as much as it has:
// less on a host so fast that its memory is not enough for such a limit.
func ceiling(hosts []operator.Host) int {
	var most int64
	for _, h := range hosts {
		most = max(most, int64(h.CPUs)*h.MHz)
	}
	return min(mostCloudlets, int(math.Ceil(busyTimes*float64(most)/float64(int64(busyNodes)*wire.CloudletMHz))))
}

// overcommit is how many times as much CPU as a host has its nodes may use, those that computed between two looks alone, and the seconds of
// CPU time they were given. Each is one program with one thread: it uses one CPU at most.
func overcommit(h operator.Host, before, after []operator.Node) (times, seconds float64) {
	had := map[wire.CTID]float64{}
	for _, n := range before {
		had[n.CTID] = n.CPUSeconds
	}
	for _, n := range after {
		if did := n.CPUSeconds - had[n.CTID]; n.Host == h.ID && did > 0 {
			times += float64(min(int64(n.Cloudlets.Dynamic)*wire.CloudletMHz, h.MHz)) / float64(int64(h.CPUs)*h.MHz)
			seconds += did
		}
	}
	return times, seconds
}

// replacements are the replacements there ever were, as ids and reasons.
func (s story) replacements() (out []string) {
	s.Helper()
	var ops []operator.Operation
	s.until("the operations are listed", func() bool { return s.Get(s.Context(), &ops, "op", "list") == nil })
	for _, op := range ops {
		if op.Kind == "node.replace" {
			out = append(out, fmt.Sprintf("%s: %s", op.ID, op.Steps[0].Detail))
		}
	}
	return out
}

// away begins what a host that was UNREACHABLE says of that time (world.Host).
const away = "link: nothing was heard of it for "

// watch looks at the hosts for so long. Each time that one is not ACTIVE must be explained by that host once it is back.
func (s story) watch(d time.Duration) {
	s.Helper()
	said, silent, missed, looks := map[string]bool{}, map[string]time.Time{}, 0, 0
	look := func() {
		looks++
		hosts, err := s.HostList(s.Context())
		if err != nil { // a busy machine's API may be slow too
			missed++
			s.Logf("look at the hosts: %v", err)
			return
		}
		for _, h := range hosts {
			if !isActive(h) {
				if silent[h.Name].IsZero() {
					silent[h.Name] = time.Now()
					s.figure("%s is %s: %s", h.Name, h.State, h.Reason)
				}
				continue
			}
			fresh := false
			for _, p := range h.Problems {
				if strings.HasPrefix(p, away) && !said[h.Name+": "+p] {
					said[h.Name+": "+p], fresh = true, true
				}
			}
			if began := silent[h.Name]; !began.IsZero() && !fresh {
				s.Errorf("%s was not ACTIVE from %s on, and is back without a word: %q", h.Name, began.UTC().Format(time.TimeOnly),
					h.Problems)
			}
			delete(silent, h.Name)
		}
	}
	// What was said before is no news.
	if hosts, err := s.HostList(s.Context()); err == nil {
		for _, h := range hosts {
			for _, p := range h.Problems {
				said[h.Name+": "+p] = true
			}
		}
	}
	before := len(said)
	for begin := time.Now(); time.Since(begin) < d && run.Wait(s.Context(), time.Second); {
		look()
	}
	s.until("every host is back and said why it was away", func() bool { look(); return len(silent) == 0 })
	for _, p := range slices.Sorted(maps.Keys(said)) {
		if strings.Contains(p, away) {
			s.figure("explained: %s", p)
		}
	}
	s.figure("watched for %v: %d looks (%d not answered), %d times a host was silent, all explained", d, looks, missed, len(said)-before)
	if 2*missed > looks {
		s.Errorf("%d of %d looks at the hosts were not answered", missed, looks)
	}
}

// TestOvercommit: what counts is what a node may use, one CPU at most, if it is on that host and did compute.
func TestOvercommit(t *testing.T) {
	h := operator.Host{ID: "h-1", CPUs: 2, MHz: 2000}
	node := func(id wire.CTID, on wire.HostID, cloudlets int, seconds float64) operator.Node {
		return operator.Node{CTID: id, Host: on, Cloudlets: wire.Cloudlets{Dynamic: cloudlets}, CPUSeconds: seconds}
	}
	before := []operator.Node{node(1, "h-1", 5, 10), node(2, "h-1", 9, 0), node(3, "h-1", 5, 7), node(4, "h-2", 5, 1)}
	after := []operator.Node{node(1, "h-1", 5, 12), node(2, "h-1", 9, 3), node(3, "h-1", 5, 7), node(4, "h-2", 5, 9)}
	if times, seconds := overcommit(h, before, after); times != 1 || seconds != 5 {
		t.Errorf("got %g times, %g s; want 1 time (2000 + 2000 of 4000 MHz), 5 s", times, seconds)
	}
	for n := range 40 {
		h := operator.Host{ID: "h-1", CPUs: 1, MHz: int64(1000 + 100*n)}
		var nodes, later []operator.Node
		for i := range busyNodes {
			nodes = append(nodes, node(wire.CTID(100+i), "h-1", ceiling([]operator.Host{h}), 0))
			later = append(later, node(wire.CTID(100+i), "h-1", ceiling([]operator.Host{h}), 1))
		}
		if times, _ := overcommit(h, nodes,
			later); times < min(busyTimes, float64(int64(mostCloudlets*busyNodes)*wire.CloudletMHz)/float64(h.MHz)) {
			t.Errorf("%d MHz: %g times, want %g", h.MHz, times, busyTimes)
		}
	}
}
