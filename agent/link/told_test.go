package link

import (
	"fmt"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"hardnode.dev/internal/testkit/full"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// cluster is what an orchestrator has to tell of it, in either protocol: as little of each as a host can tell.
type cluster struct {
	mu       sync.Mutex
	protocol int
	revision wire.Revision
	zones    map[wire.EnvName]host.Zone // of the account admin
	spoil    bool                       // the next difference leads on from something else
	asked    []string                   // the queries, in order
}

func (c *cluster) set(protocol int, env wire.EnvName, node int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.protocol = protocol
	c.revision++
	addr := netip.AddrFrom4([4]byte{10, 96, 1, byte(node)})
	name := host.Name{Name: fmt.Sprintf("node%d.%s.internal", node, env), Addrs: []netip.Addr{addr}}
	c.zones[env] = host.Zone{Env: env, Sum: host.Sum(c.revision) << 20, Nodes: []host.Name{name}}
}

func (c *cluster) sum() (s host.Sum) {
	for _, z := range c.zones {
		s ^= z.Sum
	}
	return s
}

func (c *cluster) peers() host.Peers {
	id := make([]byte, 32)
	return host.Peers{Version: host.PeersVersion, Revision: c.revision, Range4: netip.MustParsePrefix("10.96.0.0/12"),
		Hosts: []host.Peer{{ID: hostID, Identity: id, Sum: 3}}}
}

// assignment answers a poll. Work has the revision of all, so that the host has something to confirm.
func (c *cluster) assignment(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = append(c.asked, r.URL.RawQuery)
	w.Header().Set(host.ProtocolHeader, strconv.Itoa(c.protocol))
	a := host.Assignment{}
	if r.URL.Query().Get("work") != fmt.Sprint(c.revision) {
		a.Work = &host.Work{Version: host.WorkVersion, Revision: c.revision, Containers: []host.Container{}}
	}
	if c.protocol == 1 {
		if r.URL.Query().Get("peers") != fmt.Sprint(c.revision) {
			p := c.peers()
			p.Hosts[0].Sum = 0
			for _, z := range c.zones {
				p.Names = append(p.Names, z.Nodes...)
			}
			a.Peers = &p
		}
	} else {
		known, err := host.ParseKnown(r.URL.Query())
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if to := host.Sum(c.revision)<<32 ^ 3; known.Hosts != to {
			a.PeersChange = &host.PeersChange{To: to, Head: to ^ 3, Peers: c.peers()}
		}
		if known.Names == nil || known.Names["admin"] != c.sum() {
			n := host.AccountNames{Account: "admin", To: c.sum()}
			for _, z := range c.zones {
				n.Zones = append(n.Zones, z)
			}
			if c.spoil {
				n.From, c.spoil = 1, false
			}
			a.Names = &host.NamesChange{Accounts: []host.AccountNames{n}}
		}
	}
	if a == (host.Assignment{}) {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	reply(w, a)
}

// An agent of this version at orchestrators of this one and of the one before it, one after the other: it always has the names there are,
// and asks each with what that one understands. An agent of protocol 1 at either is told all.
func TestProtocolsInTurn(t *testing.T) {
	for _, spoken := range []host.Protocols{{Oldest: 1, Newest: 1}, {Oldest: 1, Newest: 2}} {
		o := newOrchestrator(t)
		c := &cluster{zones: map[wire.EnvName]host.Zone{}}
		o.answers = c.assignment
		dir := t.TempDir()
		c.set(1, "first", 1)
		_, store, stop := start(t, dir, o.join(), spoken)
		in := func(protocol int) int { return min(protocol, spoken.Newest) }
		node := 1
		for _, protocol := range []int{1, 2, 2, 1, 1, 2} {
			node++
			c.set(in(protocol), "first", node)
			c.set(in(protocol), wire.EnvName(fmt.Sprintf("env%d", node)), 100+node)
			eventually(t, fmt.Sprintf("the host has what an orchestrator of protocol %d tells", protocol), func() bool {
				work, peers := store.Revisions()
				p := store.Peers()
				is := func(n host.Name) bool { return n.Name == fmt.Sprintf("node%d.first.internal", node) }
				return work == c.revision && peers == c.revision && p != nil && len(p.Names) == len(c.zones) &&
					slices.ContainsFunc(p.Names, is)
			})
			known := store.Known()
			if second := in(protocol) == 2; (known.Hosts != 0) != second || (known.Names != nil) != second || (known.Peers == 0) != second {
				t.Errorf("after protocol %d an agent that speaks %s asks with %s", protocol, spoken, known.Query())
			}
			stop() // with a new start what is on its disk is what counts
			var again func()
			_, store, again = start(t, dir, o.join(), spoken)
			if got := store.Known().Query(); got != known.Query() {
				t.Errorf("after a new start it asks with %s, before with %s", got, known.Query())
			}
			stop = again
		}
		stop()
	}
}

// A difference that does not fit what the host has is not taken in, but the Work beside it is; the host asks for all, and has it then.
func TestDifferenceThatDoesNotFit(t *testing.T) {
	o := newOrchestrator(t)
	c := &cluster{zones: map[wire.EnvName]host.Zone{}}
	o.answers = c.assignment
	c.set(2, "first", 1)
	l, store, _ := start(t, t.TempDir(), o.join(), host.Protocols{Oldest: 1, Newest: 2})
	eventually(t, "the host has the names", func() bool { p := store.Peers(); return p != nil && len(p.Names) == 1 })
	c.mu.Lock()
	c.spoil = true
	c.mu.Unlock()
	c.set(2, "second", 2)
	eventually(t, "the host has all", func() bool { return len(store.Peers().Names) == 2 })
	eventually(t, "no problem is left", func() bool { return len(l.Status().Problems) == 0 })
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.ContainsFunc(c.asked, func(q string) bool { return strings.HasPrefix(q, "work=2&peers=0&system=0&wait=") }) {
		t.Errorf("it never asked for all, with the work it was sent beside the difference: %q", c.asked)
	}
}

// On a full disk the host keeps the names it has, says so, and has the new ones as soon as there is room.
func TestDifferenceOnAFullDisk(t *testing.T) {
	dir := t.TempDir()
	disk := filepath.Join(dir, "desired")
	full.At(t, disk, 256)
	o := newOrchestrator(t)
	c := &cluster{zones: map[wire.EnvName]host.Zone{}}
	o.answers = c.assignment
	c.set(2, "first", 1)
	l, store, stop := start(t, dir, o.join())
	defer stop()
	eventually(t, "the host has the names", func() bool { p := store.Peers(); return p != nil && len(p.Names) == 1 })
	free := full.Fill(t, disk, 0)
	c.set(2, "second", 2)
	eventually(t, "it says that its disk is full", func() bool {
		ps := l.Status().Problems
		return len(ps) == 1 && ps[0].Code == "exhausted" && strings.Contains(ps[0].Reason, "no space left on device") &&
			!strings.Contains(ps[0].Reason, "\n") && strings.Contains(ps[0].Next, "make room")
	})
	if work, _ := store.Revisions(); work != 1 || len(store.Peers().Names) != 1 {
		t.Errorf("it has work %d and the names %v", work, store.Peers().Names)
	}
	free()
	eventually(t, "it has all", func() bool { work, _ := store.Revisions(); return work == 2 && len(store.Peers().Names) == 2 })
	eventually(t, "no problem is left", func() bool { return len(l.Status().Problems) == 0 })
}
