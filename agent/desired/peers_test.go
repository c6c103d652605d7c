package desired

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"hardnode.dev/internal/keep"
	"hardnode.dev/internal/wire/host"
)

// differences are what an orchestrator of protocol 2 sends to a host that has nothing.
func differences() host.Assignment {
	a := []netip.Addr{netip.MustParseAddr("10.96.1.7")}
	return host.Assignment{
		PeersChange: &host.PeersChange{To: 8 ^ 1, Head: 8, Peers: host.Peers{Version: 1, Revision: 9,
			Range4: netip.MustParsePrefix("10.96.0.0/12"), Hosts: []host.Peer{{ID: "h-000000000001", Identity: make([]byte, 32), Sum: 1}}}},
		Names: &host.NamesChange{Accounts: []host.AccountNames{{Account: "admin", To: 5,
			Zones: []host.Zone{{Env: "web", Sum: 5, Nodes: []host.Name{{Name: "node7.web.internal", Addrs: a}}}}}}}}
}

func more() host.Assignment {
	a := []netip.Addr{netip.MustParseAddr("10.96.1.8")}
	return host.Assignment{Names: &host.NamesChange{Accounts: []host.AccountNames{{Account: "admin", From: 5, To: 5 ^ 6,
		Zones: []host.Zone{{Env: "more", Sum: 6, Nodes: []host.Name{{Name: "node8.more.internal", Addrs: a}}}}}}}}
}

// Differences are on disk when they are accepted, and the next ones lead on from there after a new start.
func TestDifferencesAreDurable(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	program := host.Assignment{Work: &host.Work{Version: 1, Revision: 5}}
	if err := errors.Join(s.Accept(program), s.Accept(differences())); err != nil {
		t.Fatal(err)
	}
	before := s.Peers()
	if s = open(t, dir); s.Known().Query() != "work=5&peers=0&system=0&hosts=9&names=admin.5" {
		t.Errorf("after a new start it asks with %s", s.Known().Query())
	}
	if err := s.Accept(more()); err != nil {
		t.Fatal(err)
	}
	p := s.Peers()
	if p == before || p.Revision != 9 || len(p.Names) != 2 || fmt.Sprint(p.Groups) != "[{account admin [10.96.1.8 10.96.1.7]}]" {
		t.Errorf("it has %+v", p)
	}
	if got := open(t, dir).Known().Query(); got != "work=5&peers=0&system=0&hosts=9&names=admin.3" {
		t.Errorf("after another new start it asks with %s", got)
	}
}

// A difference to something else changes nothing; the work beside it is taken in, and all of the rest is asked for.
func TestDifferenceToSomethingElse(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if err := errors.Join(s.Accept(host.Assignment{Work: &host.Work{Version: 1, Revision: 5}}), s.Accept(differences())); err != nil {
		t.Fatal(err)
	}
	wrong := more()
	wrong.Names.Accounts[0].From = 4
	wrong.Work = &host.Work{Version: 1, Revision: 6}
	if err := s.Accept(wrong); !errors.Is(err, host.ErrOther) {
		t.Errorf("it is accepted: %v", err)
	}
	if w, _ := s.Revisions(); w != 6 || len(s.Peers().Names) != 1 || s.Known().Query() != "work=6&peers=0&system=0" {
		t.Errorf("work is %d, the names are %v, it asks with %s", w, s.Peers().Names, s.Known().Query())
	}
	if err := s.Accept(differences()); err != nil || s.Known().Query() != "work=6&peers=0&system=0&hosts=9&names=admin.5" {
		t.Errorf("after all was sent: %v, it asks with %s", err, s.Known().Query())
	}
}

// The host is moved back to an agent of protocol 1 and forward again. That one finds Peers as it knows them, with all names and groups, and
// writes them so; what is left of protocol 2 is then nothing.
func TestBackToProtocol1(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if err := errors.Join(s.Accept(host.Assignment{Work: &host.Work{Version: 1, Revision: 5}}), s.Accept(differences())); err != nil {
		t.Fatal(err)
	}
	old := keep.Doc[*host.Peers]{Path: filepath.Join(dir, "peers.json"), Version: 1, Sent: true}
	p, found, err := old.Load()
	if err != nil || !found || p.Validate() != nil || len(p.Names) != 1 || len(p.Groups) != 1 {
		t.Fatalf("an agent of protocol 1 reads %+v, %v", p, err)
	}
	p.Revision, p.Hosts[0].Sum = 80, 0
	if err := old.Save(p); err != nil {
		t.Fatal(err)
	}
	if s = open(t, dir); s.Known().Query() != "work=5&peers=80&system=0" || len(s.Peers().Names) != 1 {
		t.Errorf("forward again it asks with %s, and has the names %v", s.Known().Query(), s.Peers().Names)
	}
	if err := s.Accept(differences()); err != nil || s.Known().Query() != "work=5&peers=0&system=0&hosts=9&names=admin.5" {
		t.Errorf("%v, it asks with %s", err, s.Known().Query())
	}
}

// Every state between the two writes of an assignment is one that a host can run with and be brought on from.
func TestPowerCutBetweenDocuments(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if err := errors.Join(s.Accept(host.Assignment{Work: &host.Work{Version: 1, Revision: 5}}), s.Accept(differences())); err != nil {
		t.Fatal(err)
	}
	work, err := os.ReadFile(filepath.Join(dir, "work.json"))
	if err != nil {
		t.Fatal(err)
	}
	next := more()
	next.Work = &host.Work{Version: 1, Revision: 6, Containers: []host.Container{component(1)}}
	if err := s.Accept(next); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "work.json"), work, 0o600); err != nil { // as if the power had been cut before it was written
		t.Fatal(err)
	}
	if s = open(t, dir); s.Known().Query() != "work=5&peers=0&system=0&hosts=9&names=admin.3" || len(s.Peers().Names) != 2 {
		t.Errorf("it asks with %s, and has the names %v", s.Known().Query(), s.Peers().Names)
	}
}

// A document whose zones do not fit its names is used, but no difference leads on from it.
func TestZonesThatDoNotFit(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if err := errors.Join(s.Accept(host.Assignment{Work: &host.Work{Version: 1, Revision: 5}}), s.Accept(differences())); err != nil {
		t.Fatal(err)
	}
	d := keep.Doc[*host.Kept]{Path: filepath.Join(dir, "peers.json"), Version: 1, Sent: true}
	k, _, err := d.Load()
	if err != nil {
		t.Fatal(err)
	}
	k.Zones[0].Nodes = 2
	if err := d.Save(k); err != nil {
		t.Fatal(err)
	}
	if s = open(t, dir); s.Known().Query() != "work=5&peers=0&system=0" || len(s.Peers().Names) != 1 {
		t.Errorf("it asks with %s, and has the names %v", s.Known().Query(), s.Peers().Names)
	}
	if err := s.Accept(differences()); err != nil {
		t.Error(err)
	}
}
