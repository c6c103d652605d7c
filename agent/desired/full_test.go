package desired

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"hardnode.dev/internal/testkit/full"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// has is all that the store has, in memory and on its disk.
type has struct {
	peers *host.Peers
	known string
	disk  string
}

func look(t *testing.T, s *Store, dir string) has {
	t.Helper()
	var disk strings.Builder
	all, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		if raw, err := os.ReadFile(filepath.Join(dir, e.Name())); err == nil && e.Name() != "ballast" {
			fmt.Fprintf(&disk, "%s %s\n", e.Name(), raw)
		}
	}
	return has{s.Peers(), s.Known().Query(), disk.String()}
}

// hinted tells whether there was a hint since the last look.
func hinted(s *Store) bool {
	select {
	case <-s.Changed():
		return true
	default:
		return false
	}
}

// many is a difference of the account's names that has about so many KiB.
func many(kib int) host.Assignment {
	a := []netip.Addr{netip.MustParseAddr("10.96.1.8")}
	z := host.Zone{Env: "more", Sum: 6}
	for i := range kib << 10 / 60 {
		z.Nodes = append(z.Nodes, host.Name{Name: fmt.Sprintf("node%d.more.internal", 1000+i), Addrs: a})
	}
	return host.Assignment{Names: &host.NamesChange{Accounts: []host.AccountNames{
		{Account: "admin", From: 5, To: 5 ^ 6, Zones: []host.Zone{z}}}}}
}

// manyHosts is a difference of the peers that has about so many KiB.
func manyHosts(kib int) host.Assignment {
	c := *differences().PeersChange
	c.From, c.To, c.Peers.Revision, c.Peers.Hosts = 9, 8^1, 10, nil
	for i := range 2 * (kib << 10 / 200) {
		sum := host.Sum(1000 + i/2) // each twice: together they are nothing
		c.Peers.Hosts = append(c.Peers.Hosts, host.Peer{ID: wire.HostID(fmt.Sprintf("h-%012x", 100+i)), Name: fmt.Sprintf("host%d", i),
			Identity: bytes.Repeat([]byte{1}, 32), Sum: sum})
	}
	return host.Assignment{PeersChange: &c}
}

// On a full disk a difference changes nothing, on disk or in memory, and with room it is taken in. The work beside it is taken in where
// there is room for that: it may be what makes room.
func TestDifferencesOnAFullDisk(t *testing.T) {
	t.Run("whole", onAFullDisk)
	usual := longDocument
	defer func() { longDocument = usual }()
	longDocument = 0
	t.Run("trail", onAFullDisk)
}

func onAFullDisk(t *testing.T) {
	big := []host.Container{}
	for i := range 60 {
		c := component(wire.CTID(2 + i))
		c.Component = fmt.Sprintf("component%d", i)
		big = append(big, c)
	}
	work := func(rev wire.Revision, containers ...host.Container) *host.Work {
		return &host.Work{Version: 1, Revision: rev, Containers: containers}
	}
	for name, c := range map[string]struct {
		kib   int64 // that are free
		a     host.Assignment
		work  *host.Work
		peers bool // they are taken in all the same
		does  bool // the work likewise
	}{
		"names, and not a byte":           {0, more(), nil, false, false},
		"names that are too many":         {16, many(40), nil, false, false},
		"hosts that are too many":         {16, manyHosts(40), nil, false, false},
		"names and work, and not a byte":  {0, more(), work(6), false, false},
		"too many names, and little work": {16, many(40), work(6), false, true},
		"too many hosts, and little work": {16, manyHosts(40), work(6), false, true},
		"few names, and much work":        {16, more(), work(6, big...), true, false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := full.Disk(t, 512)
			s := open(t, dir)
			if err := errors.Join(s.Accept(host.Assignment{Work: work(5)}), s.Accept(differences())); err != nil {
				t.Fatal(err)
			}
			hinted(s)
			before, free := look(t, s, dir), full.Fill(t, dir, c.kib)
			c.a.Work = c.work
			for range 2 { // it is sent again
				if err := s.Accept(c.a); !errors.Is(err, unix.ENOSPC) {
					t.Fatalf("it is accepted: %v", err)
				}
				if c.peers {
					c.a.Names = nil // of what was taken in it is not told again
				}
			}
			after := look(t, s, dir)
			if same := after == before; same == (c.peers || c.does) {
				t.Errorf("it had\n%v\nand has\n%v", before, after)
			}
			if c.does {
				c.a.Work = nil
			}
			if w, _ := s.Revisions(); c.does != (w == 6) || c.peers == (s.Peers() == before.peers) {
				t.Errorf("it has work %d, and its peers are other ones: %v", w, s.Peers() != before.peers)
			}
			if got := hinted(s); got != (c.peers || c.does) {
				t.Errorf("a hint of a change: %v", got)
			}
			if again := open(t, dir); look(t, again, dir).known != after.known || fmt.Sprint(*again.Peers()) != fmt.Sprint(*s.Peers()) {
				t.Errorf("after a new start it has %+v, before it had %+v", again.Peers(), s.Peers())
			}
			free()
			if err := s.Accept(c.a); err != nil || !hinted(s) {
				t.Fatalf("with room: %v", err)
			}
			again := open(t, dir)
			if k := again.Known(); k.Query() != s.Known().Query() || c.work != nil && k.Work != 6 || k.Hosts != 9 {
				t.Errorf("with room it asks with %s, after a new start with %s", s.Known().Query(), k.Query())
			}
			if fmt.Sprint(*again.Peers()) == fmt.Sprint(*before.peers) {
				t.Error("with room it has what it had before")
			}
		})
	}
}

// What another version of the program accepted is asked for anew until this one has taken it in, also when only the work found room.
func TestAnotherVersionsPeersOnAFullDisk(t *testing.T) {
	dir, this := full.Disk(t, 512), program
	defer func() { program = this }()
	s := open(t, dir)
	if err := errors.Join(s.Accept(host.Assignment{Work: &host.Work{Version: 1, Revision: 5}}), s.Accept(differences())); err != nil {
		t.Fatal(err)
	}
	program = "0.2.0 another"
	s = open(t, dir)
	free := full.Fill(t, dir, 16)
	whole := many(40)
	whole.PeersChange, whole.Names.Accounts[0].From, whole.Names.Accounts[0].To = differences().PeersChange, 0, 6
	whole.Work = &host.Work{Version: 1, Revision: 6}
	if err := s.Accept(whole); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("it is accepted: %v", err)
	}
	if got := s.Known().Query(); got != "work=6&peers=0&system=0" {
		t.Errorf("it asks with %s", got)
	}
	s = open(t, dir)
	if k := s.Known(); k.Hosts != 0 || k.Names != nil {
		t.Errorf("after a new start it takes what another version accepted for its own, and asks with %s", k.Query())
	}
	free()
	if err := s.Accept(whole); err != nil {
		t.Fatal(err)
	}
	if got := open(t, dir).Known().Query(); got != "work=6&peers=0&system=0&hosts=9&names=admin.6" {
		t.Errorf("with room it asks with %s", got)
	}
}
