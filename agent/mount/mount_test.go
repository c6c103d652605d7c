package mount

import (
	"context"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"hardnode.dev/agent/mount/message"
	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/testkit/founded"
	"hardnode.dev/internal/testkit/ports"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/mount"
)

// The hosts.
const (
	h1 = wire.HostID("h-000000000001")
	h2 = wire.HostID("h-000000000002")
	h3 = wire.HostID("h-000000000003")
)

type nobody struct{}

func (nobody) Keep(string, *os.File) error { return nil }
func (nobody) Drop(string) error           { return nil }

// fleet is a cluster of hosts on loopback, all with one Work.
type fleet struct {
	t       *testing.T
	cluster *founded.Cluster
	port    uint16
	volume  string

	mu   sync.Mutex
	work host.Work
}

func (f *fleet) is(list ...host.Container) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.work = host.Work{Containers: list}
}

func (f *fleet) host(id wire.HostID) *Mounts {
	f.t.Helper()
	key, err := identity.NewKey()
	if err != nil {
		f.t.Fatal(err)
	}
	csr, err := identity.CSR(key)
	if err != nil {
		f.t.Fatal(err)
	}
	chain, err := f.cluster.Authority.Sign(csr, identity.Peer{Cluster: f.cluster.Seed.Cluster, Host: id, Name: string(id),
		Role: host.RoleUser}, nil, time.Now())
	if err != nil {
		f.t.Fatal(err)
	}
	cred, err := identity.NewCredential(key, chain)
	if err != nil {
		f.t.Fatal(err)
	}
	holder := &identity.Holder{}
	holder.Set(cred)
	return New(Options{
		Work: func() *host.Work {
			f.mu.Lock()
			defer f.mu.Unlock()
			w := f.work
			return &w
		},
		Peers: func() *host.Peers {
			return &host.Peers{Hosts: []host.Peer{{ID: h1, Underlay: netip.MustParseAddr("127.0.0.1")}}}
		},
		Self:   func() wire.HostID { return id },
		Trust:  func() identity.Trust { return identity.Trust{Pin: f.cluster.Pin, Cluster: f.cluster.Seed.Cluster} },
		Holder: func() *identity.Holder { return holder },
		Volume: func(id wire.CTID, name string) (*os.File, error) {
			if name != "data" {
				return nil, os.ErrNotExist
			}
			return os.Open(f.volume)
		},
		Keeper: nobody{}, Port: f.port, Boot: "b"})
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	c, err := founded.New(2, "127.0.0.1:1", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	l := ports.Listen(t)
	defer l.Close()
	return &fleet{t: t, cluster: c, port: uint16(l.Addr().(*net.TCPAddr).Port), volume: t.TempDir()}
}

func eventually(t *testing.T, not string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(not)
		}
	}
}

// TestWho: a host gets what Work says, and no other gets it; what Work says no more ends.
func TestWho(t *testing.T) {
	f := newFleet(t)
	has := host.Container{CTID: 101, Shares: []mount.Share{{Volume: "data", To: 102, Host: h2}, {Volume: "none", To: 102, Host: h2}}}
	gets := host.Container{CTID: 102, Mounts: []mount.Mount{{Name: "shared", From: 101, Host: h1, Volume: "data"},
		{Name: "none", From: 101, Host: h1, Volume: "none"}, {Name: "lost", From: 101, Host: h3, Volume: "data"}}}
	other := host.Container{CTID: 103, Mounts: []mount.Mount{{Name: "shared", From: 101, Host: h1, Volume: "data"},
		{Name: "away", From: 104, Host: h1, Volume: "data"}}}
	f.is(has, gets, other)
	server, client, stranger := f.host(h1), f.host(h2), f.host(h3)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { server.Run(ctx); close(done) }()
	defer func() { stop(); <-done }()
	dial := func(m *Mounts, id wire.CTID, name, nonce string) (net.Conn, error) {
		return m.dial(t.Context(), &mounted{id: id, name: name, nonce: nonce})
	}
	const nonce = "0123456789abcdef"
	var conn net.Conn
	eventually(t, "it can't be mounted", func() (ok bool) {
		var err error
		if conn, err = dial(client, 102, "shared", nonce); err != nil && strings.Contains(err.Error(), "another form") {
			t.Skip(err)
		}
		return err == nil
	})
	for _, c := range []struct {
		m    *Mounts
		id   wire.CTID
		name string
		want string
	}{
		{client, 103, "shared", "container 103 of host h-000000000002 may not mount"},
		{client, 103, "away", "container 104 is not on this host"},
		{client, 102, "none", "is not there: it is made when"},
		{client, 102, "lost", "the address of host h-000000000003 is not known"},
		{client, 102, "gone", `has no mount "gone" any more`},
		{stranger, 102, "shared", "container 102 of host h-000000000003 may not mount"},
	} {
		if _, err := dial(c.m, c.id, c.name, "fedcba9876543210"); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%d %s: %v, want %q", c.id, c.name, err, c.want)
		}
	}
	again, err := dial(client, 102, "shared", nonce)
	if err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(time.Minute))
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("the connection before goes on")
	}
	again.SetDeadline(time.Now().Add(time.Minute))
	if _, err := again.Write(message.Request{Op: message.Ping}.Bytes()); err != nil {
		t.Fatal(err)
	}
	if b, err := message.ReadOne(again, make([]byte, message.Max), message.AnswerAt); err != nil || len(b) != message.AnswerAt {
		t.Errorf("a ping: %x, %v", b, err)
	}
	has.Shares = has.Shares[1:]
	f.is(has, gets)
	if _, err := again.Read(make([]byte, 1)); err == nil {
		t.Error("what is shared no more goes on")
	}
	f.is(gets)
	eventually(t, "it listens though nothing is shared", func() bool {
		_, err := dial(client, 102, "shared", nonce)
		return err != nil && strings.Contains(err.Error(), "refused")
	})
}

// TestStrangers: what comes without a certificate, or says nothing, gets nothing.
func TestStrangers(t *testing.T) {
	f := newFleet(t)
	f.is(host.Container{CTID: 101, Shares: []mount.Share{{Volume: "data", To: 102, Host: h2}}},
		host.Container{CTID: 102, Mounts: []mount.Mount{{Name: "shared", From: 101, Host: h1, Volume: "data"}}})
	server, client := f.host(h1), f.host(h2)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { server.Run(ctx); close(done) }()
	defer func() { stop(); <-done }()
	client.o.Holder = func() *identity.Holder { return &identity.Holder{} }
	eventually(t, "a host without a certificate is not told", func() bool {
		_, err := client.dial(t.Context(), &mounted{id: 102, name: "shared", nonce: "0123456789abcdef"})
		if err == nil {
			t.Fatal("a host without a certificate may mount")
		}
		return !strings.Contains(err.Error(), "connection refused")
	})
	conn, err := net.Dial("tcp", netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), f.port).String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	conn.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
	for b := make([]byte, 1000); err == nil; {
		_, err = conn.Read(b)
	}
	if len(server.sessions.at) != 0 {
		t.Errorf("%d sessions were begun", len(server.sessions.at))
	}
}
