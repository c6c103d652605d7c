package gossip

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// silent is a host that takes connections and never says a word, as a dead one behind a firewall costs the whole time limit.
func silent(t *testing.T, m *member, port int) {
	t.Helper()
	l, err := net.Listen("tcp", fmt.Sprintf("%s:%d", m.addr, port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { c.Close() })
		}
	}()
}

// Forty dead hosts before the two that live, two seconds each: the living must find each other, and say something new, meanwhile.
func TestDeadPeersHoldNobodyUp(t *testing.T) {
	port := ownPort(t)
	p := &host.Peers{Version: 1, Revision: 1, Cluster: cluster, Gossip: host.GossipKeys{Use: gossipKey("k")}}
	for i := range 40 {
		m := newMember(t, 10+i)
		silent(t, m, port)
		p.Hosts = append(p.Hosts, m.peer())
	}
	a, b := newMember(t, 0), newMember(t, 1)
	p.Hosts = append(p.Hosts, a.peer(), b.peer())
	peers := &atomic.Pointer[host.Peers]{}
	peers.Store(p)
	a.start(t, port, peers)
	b.start(t, port, peers)
	leader := func() string { c, _ := a.g.Card(b.id); return c.Leader }
	eventually(t, "a and b see each other", time.Minute, func() bool {
		return strings.Contains(a.sees(), "1=true") && strings.Contains(b.sees(), "0=true")
	})
	b.leader.Store("new")
	eventually(t, "a hears what is new of b while the dead are dialled", 10*time.Second, func() bool { return leader() == "new" })
	a.stop()
	b.stop()
}

// What a membership that is over knew of others is no news: a host that isn't heard in this one is neither alive nor dead.
func TestViewEndsWithTheMembership(t *testing.T) {
	ms := startMembers(t, 3) // the last one is a rogue
	eventually(t, "a sees b", time.Minute, func() bool { return ms[0].sees() == "1=true" })
	ms[1].stop()
	ms[0].stop()
	if got := ms[0].sees(); got != "" {
		t.Errorf("a host that takes no part any more says %q", got)
	}
	if got := ms[0].g.Keys(); got.Use != "" {
		t.Errorf("it still names the key %+v", got)
	}
	ms[2].stop()
}

// A key is replaced in three steps, and nobody loses anybody; whoever was away comes back only with the newest key.
func TestKeyRotation(t *testing.T) {
	port := ownPort(t)
	a, b, late := newMember(t, 0), newMember(t, 1), newMember(t, 2)
	hosts := []host.Peer{a.peer(), b.peer(), late.peer()}
	var revision wire.Revision
	var newest atomic.Pointer[host.Peers]
	publish := func(use string, accept ...string) *host.Peers {
		revision++
		p := &host.Peers{Version: 1, Revision: revision, Cluster: cluster, Hosts: hosts, Gossip: host.GossipKeys{Use: gossipKey(use)}}
		for _, k := range accept {
			p.Gossip.Accept = append(p.Gossip.Accept, gossipKey(k))
		}
		newest.Store(p)
		return p
	}
	old := publish("k")
	a.start(t, port, &newest)
	b.start(t, port, &newest)
	both := func() bool { return strings.Contains(a.sees(), "1=true") && strings.Contains(b.sees(), "0=true") }
	eventually(t, "a and b see each other", time.Minute, both)
	confirmed := func(use string, accept ...string) func() bool {
		want := host.GossipKeyIDs{Use: host.GossipKeyID(gossipKey(use))}
		for _, k := range accept {
			want.Accept = append(want.Accept, host.GossipKeyID(gossipKey(k)))
		}
		return func() bool {
			for _, m := range []*member{a, b} {
				if got := m.g.Keys(); got.Use != want.Use || !slices.Equal(got.Accept, want.Accept) {
					return false
				}
			}
			return both()
		}
	}
	for _, s := range []struct {
		use    string
		accept []string
	}{{"k", []string{"n"}}, {"n", []string{"k"}}, {"n", nil}} {
		publish(s.use, s.accept...)
		eventually(t, fmt.Sprintf("both work with %s and accept %s", s.use, s.accept), time.Minute, confirmed(s.use, s.accept...))
		for range 20 {
			if !both() {
				t.Fatalf("using %s, accepting %s: a sees %q, b sees %q", s.use, s.accept, a.sees(), b.sees())
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
	// The late one has the old document on its disk, and its link has told it of a newer one.
	var has atomic.Pointer[host.Peers]
	has.Store(old)
	late.current = func() bool { return has.Load() == newest.Load() }
	late.start(t, port, &has)
	for range 20 {
		if got := late.g.Keys(); got.Use != "" {
			t.Fatalf("it gossips with the key %s that was given up", got.Use)
		}
		time.Sleep(100 * time.Millisecond)
	}
	has.Store(newest.Load())
	eventually(t, "the late one is among them", time.Minute, func() bool {
		return strings.Contains(a.sees(), "2=true") && late.sees() == "0=true 1=true"
	})
	for _, m := range []*member{a, b, late} {
		m.stop()
	}
}
