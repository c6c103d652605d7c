package gossip

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/testkit/ports"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

const cluster = wire.ClusterID("cl-0123456789abcdef")

func newKey(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func largest() Card {
	return Card{Host: "h-0123456789ab", Role: host.RoleHypervisor, Version: "100.100.100-rc.10+1234567", Boot: strings.Repeat("b", 36),
		Started: 1 << 40, Seq: 1 << 40,
		MeshKey: strings.Repeat("k", 44), Endpoint: netip.MustParseAddr("fd48:4e00:1234:5678:9abc:def0:1234:5678"), Class: "128c2048g",
		Leader: "orchestrator-1.example.org:7444"}
}

func TestCard(t *testing.T) {
	key, other := newKey(t), newKey(t)
	c := largest()
	raw, err := c.Encode(cluster, key)
	if err != nil {
		t.Fatal(err)
	}
	if len(raw) > MaxCard {
		t.Errorf("the largest card has %d bytes", len(raw))
	}
	keyOf := func(k ed25519.PrivateKey) func(wire.HostID) ed25519.PublicKey {
		return func(id wire.HostID) ed25519.PublicKey {
			if id != c.Host {
				return nil
			}
			return k.Public().(ed25519.PublicKey)
		}
	}
	if got, err := Decode(raw, cluster, keyOf(key)); err != nil || got != c {
		t.Errorf("got %+v, %v", got, err)
	}
	changed := slices.Clone(raw)
	changed[len(changed)-3] ^= 1
	for name, try := range map[string]func() error{
		"another host's key": func() error { _, err := Decode(raw, cluster, keyOf(other)); return err },
		"another cluster":    func() error { _, err := Decode(raw, "cl-ffffffffffffffff", keyOf(key)); return err },
		"unknown host": func() error {
			_, err := Decode(raw, cluster, func(wire.HostID) ed25519.PublicKey { return nil })
			return err
		},
		"changed body": func() error { _, err := Decode(changed, cluster, keyOf(key)); return err },
		"too large": func() error {
			_, err := Card{Host: c.Host, Version: strings.Repeat("x", 500)}.Encode(cluster, key)
			return err
		},
	} {
		if try() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestNewer(t *testing.T) {
	base := Card{Boot: "a", Started: 100, Seq: 5}
	for _, tt := range []struct {
		name string
		c    Card
		boot string // what the peers document says
		want bool
	}{
		{"the same again", base, "a", true},
		{"later in this boot", Card{Boot: "a", Started: 100, Seq: 6}, "a", true},
		{"earlier in this boot", Card{Boot: "a", Started: 100, Seq: 4}, "a", false},
		{"later in this boot, clock set back", Card{Boot: "a", Started: 10, Seq: 6}, "a", true},
		{"later boot, peers do not know it yet", Card{Boot: "b", Started: 101, Seq: 1}, "", true},
		{"later boot, its clock is behind, peers know it", Card{Boot: "b", Started: 50, Seq: 1}, "b", true},
		{"earlier boot, replayed", Card{Boot: "z", Started: 99, Seq: 9}, "a", false},
		{"earlier boot with a clock that was ahead, replayed", Card{Boot: "z", Started: 999, Seq: 9}, "a", false},
	} {
		if got := tt.c.newer(base, tt.boot); got != tt.want {
			t.Errorf("%s: got %v", tt.name, got)
		}
	}
}

func FuzzDecode(f *testing.F) {
	key := newKey(f)
	raw, err := largest().Encode(cluster, key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := Decode(b, cluster, func(wire.HostID) ed25519.PublicKey { return key.Public().(ed25519.PublicKey) })
		if err == nil && c != largest() {
			t.Errorf("a card nobody signed was accepted: %+v", c)
		}
	})
}

// member is one host of the test's cluster, on a loopback address of its own.
type member struct {
	id   wire.HostID
	key  ed25519.PrivateKey
	addr netip.Addr
	g    *Gossip
	stop func()

	leader  atomic.Value // string
	current func() bool
}

func newMember(t *testing.T, n int) *member {
	m := &member{id: wire.HostID(fmt.Sprintf("h-%012x", n)), key: newKey(t), addr: netip.AddrFrom4([4]byte{127, 0, 0, byte(20 + n)})}
	m.leader.Store("")
	return m
}

func (m *member) peer() host.Peer {
	return host.Peer{ID: m.id, Identity: m.key.Public().(ed25519.PublicKey), Underlay: m.addr}
}

// ownPort is a port that members on several addresses listen on, some of them again.
func ownPort(t *testing.T) int {
	t.Helper()
	return int(netip.MustParseAddrPort(ports.Own(t)).Port())
}

func gossipKey(c string) secret.Bytes { return secret.Bytes(strings.Repeat(c, 32)) }

func startMembers(t *testing.T, n int) (ms []*member) {
	t.Helper()
	port := ownPort(t)
	peers := &atomic.Pointer[host.Peers]{}
	p := &host.Peers{Version: 1, Revision: 1, Cluster: cluster, Gossip: host.GossipKeys{Use: gossipKey("k")}}
	for i := range n {
		m := newMember(t, i)
		p.Hosts = append(p.Hosts, m.peer())
		ms = append(ms, m)
	}
	ms[n-1].key = newKey(t) // the last one is a rogue: it has the gossip key, but signs with a key that is not enrolled
	peers.Store(p)
	for _, m := range ms {
		m.start(t, port, peers)
	}
	return ms
}

func (m *member) start(t *testing.T, port int, peers *atomic.Pointer[host.Peers]) {
	m.g = New(Options{Self: func() wire.HostID { return m.id }, Key: m.key, Peers: peers.Load, Port: port, Current: m.current,
		Card: func() Card {
			return Card{Role: host.RoleUser, Boot: "b", Started: 1, Endpoint: m.addr, Leader: m.leader.Load().(string)}
		}})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.g.Run(ctx) }()
	m.stop = func() { cancel(); <-done }
	t.Cleanup(func() { cancel() })
}

func (m *member) sees() string {
	m.g.mu.Lock()
	defer m.g.mu.Unlock()
	var out []string
	for _, id := range slices.Sorted(maps.Keys(m.g.mu.alive)) {
		out = append(out, fmt.Sprintf("%s=%v", string(id)[len(id)-1:], m.g.mu.alive[id]))
	}
	return strings.Join(out, " ")
}

func eventually(t *testing.T, what string, within time.Duration, f func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	for time.Since(began) < within {
		if f() {
			return time.Since(began)
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("not within %s: %s", within, what)
	return 0
}

func TestDeathIsNoticed(t *testing.T) {
	ms := startMembers(t, 4)
	rogue := ms[3]
	want := map[int]string{0: "1=true 2=true", 1: "0=true 2=true", 2: "0=true 1=true"}
	for i, w := range want {
		eventually(t, fmt.Sprintf("host %d sees %s (it sees %s)", i, w, ms[i].sees()), time.Minute, func() bool {
			return strings.HasPrefix(ms[i].sees(), w)
		})
	}
	for i, w := range want {
		if got := ms[i].sees(); got != w {
			t.Errorf("host %d sees %s, want %s: the rogue was taken in", i, got, w)
		}
	}
	if dead := ms[0].g.Dead(); len(dead) != 0 {
		t.Errorf("host 0 names %+v though all are alive: a report is not to grow with the cluster", dead)
	}
	ms[2].stop()
	took := eventually(t, "both see the death", time.Minute, func() bool {
		return strings.Contains(ms[0].sees(), "2=false") && strings.Contains(ms[1].sees(), "2=false")
	})
	if dead := ms[0].g.Dead(); len(dead) != 1 || dead[0] != (host.GossipView{Host: ms[2].id}) {
		t.Errorf("host 0 names %+v, want host 2, which is dead", dead)
	}
	t.Logf("death noticed after %s", took)
	if took > 20*time.Second { // some 2 s where there is nothing else to do
		t.Errorf("noticed after %s, want about 2 s", took)
	}
	ms[0].stop()
	ms[1].stop()
	rogue.stop()
}
