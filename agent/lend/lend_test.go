package lend

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/run/listen"
	"hardnode.dev/internal/testkit/founded"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/slots"
)

// The hosts.
const (
	h1 = wire.HostID("h-000000000001")
	h2 = wire.HostID("h-000000000002")
	h3 = wire.HostID("h-000000000003")
)

// member is who takes part in a cluster.
func member(t *testing.T, c *founded.Cluster, p identity.Peer) *identity.Holder {
	t.Helper()
	key, err := identity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	csr, err := identity.CSR(key)
	if err != nil {
		t.Fatal(err)
	}
	chain, err := c.Authority.Sign(csr, p, nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	cred, err := identity.NewCredential(key, chain)
	if err != nil {
		t.Fatal(err)
	}
	h := &identity.Holder{}
	h.Set(cred)
	return h
}

func cluster(t *testing.T) *founded.Cluster {
	t.Helper()
	c, err := founded.New(2, "127.0.0.1:1", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func hostPeer(c *founded.Cluster, id wire.HostID) identity.Peer {
	return identity.Peer{Cluster: c.Seed.Cluster, Host: id, Name: string(id), Role: host.RoleUser}
}

// lender serves a system on loopback, and gives its port and what it is called in an index.
func lender(t *testing.T, c *founded.Cluster, system []byte) (*Lender, uint16, wire.Digest) {
	t.Helper()
	sum := sha256.Sum256(system)
	is := slots.Status{Installed: true, Slots: []slots.Slot{{Name: slots.A, State: slots.Committed, Booted: true,
		SHA256: hex.EncodeToString(sum[:])}, {Name: slots.B, State: slots.Empty}}}
	l := New(Options{Status: func() slots.Status { return is }, Trust: func() identity.Trust {
		return identity.Trust{Pin: c.Pin, Cluster: c.Seed.Cluster}
	}, Holder: member(t, c, hostPeer(c, h1)), Self: func() wire.HostID { return h1 },
		Read: func(n slots.Name, f func(io.Reader) error) error {
			if n != slots.A {
				return errors.New("no such slot")
			}
			return f(bytes.NewReader(system))
		}})
	at, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- listen.HTTP(at, identity.ServerTLS(l.o.Trust(), aHost, l.o.Holder), l.Handler(), listen.Limits{}, nil)(ctx)
	}()
	t.Cleanup(func() { cancel(); <-done })
	return l, uint16(at.Addr().(*net.TCPAddr).Port), wire.DigestOf(sum)
}

// A host of the cluster gets what a slot holds, and nothing else; nobody else gets anything.
func TestLend(t *testing.T) {
	c, other := cluster(t), cluster(t)
	system := bytes.Repeat([]byte("a system "), 100_000)
	_, port, digest := lender(t, c, system)
	at := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port)
	component := hostPeer(c, h1)
	component.Name, component.Role, component.CTID, component.Component = "", "", 5, "resolver"
	mine, alien := member(t, c, hostPeer(c, h2)), member(t, other, hostPeer(other, h2))
	for _, x := range []struct {
		name   string
		as     *identity.Holder
		wants  wire.HostID
		digest wire.Digest
		offset int64
		length int
		why    string
	}{
		{"a host", mine, h1, digest, 1000, 5000, ""},
		{"the end", mine, h1, digest, int64(len(system)) - 10, 10, ""},
		{"beyond the end", mine, h1, digest, int64(len(system)) - 10, 20, "10 bytes came, want 20"},
		{"another system", mine, h1, wire.DigestOf([32]byte{1}), 0, 10, "404"},
		{"too much", mine, h1, digest, 0, host.MaxRange + 1, "422"},
		{"nothing", mine, h1, digest, 0, 0, "422"},
		{"before the beginning", mine, h1, digest, -5, 10, "422"},
		{"no digest", mine, h1, "sha256:zz", 0, 10, "422"},
		{"another host stands there", mine, h3, digest, 0, 10, "want host " + string(h3)},
		{"a component", member(t, c, component), h1, digest, 0, 10, "tls"},
		{"a host of another cluster", alien, h1, digest, 0, 10, "tls"},
		{"nobody", nil, h1, digest, 0, 10, "403"},
	} {
		l := New(Options{Trust: func() identity.Trust { return identity.Trust{Pin: c.Pin, Cluster: c.Seed.Cluster} }, Holder: x.as})
		raw, err := l.taker(x.wants, at, x.digest)(t.Context(), x.offset, x.length)
		if x.why == "" && (err != nil || !bytes.Equal(raw, system[x.offset:x.offset+int64(x.length)])) ||
			x.why != "" && (err == nil || !strings.Contains(err.Error(), x.why)) {
			t.Errorf("%s: %d bytes, %v, want %q", x.name, len(raw), err, x.why)
		}
	}
}

// It gives to so many at a time, and not faster than it may.
func TestBounds(t *testing.T) {
	c := cluster(t)
	l, port, digest := lender(t, c, make([]byte, 1<<20))
	take := l.taker(h1, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port), digest)
	for range takers {
		l.serving <- struct{}{}
	}
	if _, err := take(t.Context(), 0, 10); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("all places are taken: %v", err)
	}
	for range takers {
		<-l.serving
	}
	if _, err := take(t.Context(), 0, 10); err != nil {
		t.Error(err)
	}
	<-l.paced
	l.paced <- time.Now().Add(-time.Hour)
	began := time.Now()
	for range 4 {
		l.pace(t.Context(), rate/20)
	}
	if took := time.Since(began); took < 3*time.Second/20 {
		t.Errorf("a fifth of a second's bytes went in %s", took)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	l.pace(t.Context(), 100*rate)
	if l.pace(ctx, 1) {
		t.Error("who has gone is waited for")
	}
}

// Who has it is what the orchestrator says, where they are what Peers say; this host itself is none of them.
func TestOf(t *testing.T) {
	answer, fails := `{"hosts":["`+string(h1)+`","`+string(h2)+`","h-00000000000f"]}`, error(nil)
	peers := &host.Peers{Hosts: []host.Peer{{ID: h1, Name: "one", Underlay: netip.MustParseAddr("10.0.0.1")},
		{ID: h2, Name: "two", Underlay: netip.MustParseAddr("10.0.0.2")},
		{ID: h3, Name: "three", Underlay: netip.MustParseAddr("10.0.0.3")}}}
	l := New(Options{Self: func() wire.HostID { return h1 }, Trust: func() identity.Trust { return identity.Trust{} },
		Peers: func() *host.Peers { return peers },
		Get: func(_ context.Context, path string) ([]byte, error) {
			if path != host.PathReleasePeers+"sha256:x" {
				t.Errorf("asked for %s", path)
			}
			return []byte(answer), fails
		}})
	of := func(want string) {
		t.Helper()
		names, from := l.Of(t.Context(), "sha256:x")
		if got := strings.Join(names, " "); got != want || len(from) != len(names) {
			t.Errorf("hosts %q, %d ways, want %q", got, len(from), want)
		}
	}
	of("two")
	peers.Hosts[1].Underlay = netip.Addr{}
	of("")
	peers.Hosts[1].Underlay, fails = netip.MustParseAddr("10.0.0.2"), errors.New("404")
	of("")
	fails, answer = nil, "[]"
	of("")
	answer, peers = `{"hosts":["`+string(h2)+`"]}`, nil
	of("")
}
