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

	"hardnode.dev/internal/keep"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// long makes documents of that many bytes long ones.
func long(t *testing.T, bytes int64) {
	before := longDocument
	longDocument = bytes
	t.Cleanup(func() { longDocument = before })
}

// names is a host that is told of one environment after another.
type names struct {
	t   *testing.T
	dir string
	*Store
	n   int
	sum host.Sum // of the names of admin
}

func named(t *testing.T) *names {
	h := &names{t: t, dir: t.TempDir(), sum: 5}
	h.Store = open(t, h.dir)
	h.accept(host.Assignment{Work: &host.Work{Version: 1, Revision: 5}})
	h.accept(differences())
	return h
}

func (h *names) accept(a host.Assignment) {
	h.t.Helper()
	if err := h.Accept(a); err != nil {
		h.t.Fatal(err)
	}
}

// grow is a change by one environment with one node.
func (h *names) grow() host.Assignment {
	h.n++
	env, sum := fmt.Sprintf("e%05d", h.n), host.Sum(1000*h.n+7)
	zone := host.Zone{Env: wire.EnvName(env), Sum: sum, Nodes: []host.Name{{Name: fmt.Sprintf("node%d.%s.internal", 100+h.n, env),
		Addrs: []netip.Addr{netip.AddrFrom4([4]byte{10, 97, byte(h.n >> 8), byte(h.n)})}}}}
	from := h.sum
	h.sum ^= sum
	return host.Assignment{Names: &host.NamesChange{Accounts: []host.AccountNames{{Account: "admin", From: from, To: h.sum,
		Zones: []host.Zone{zone}}}}}
}

// says fails unless the host has so many names, and asks for what leads on from them.
func (h *names) says(s *Store, when string, envs int, sum host.Sum) {
	h.t.Helper()
	if p, known := s.Peers(), s.Known(); len(p.Names) != envs+1 || known.Names["admin"] != sum || known.Hosts != 9 {
		h.t.Fatalf("%s: %d names, it asks with %s; want %d names of sum %x", when, len(p.Names), known.Query(), envs+1, int64(sum))
	}
}

func (h *names) file(name string) string { return filepath.Join(h.dir, name) }

// Changes of names are on disk when they are accepted, however many there were and whenever the host is started anew; the document is
// written whole now and then.
func TestTrailIsDurable(t *testing.T) {
	long(t, 1)
	h := named(t)
	writes, last := 0, []byte(nil)
	for i := range 3*longTrail + 7 {
		h.accept(h.grow())
		h.says(h.Store, "accepted", h.n, h.sum)
		h.says(open(t, h.dir), "after a new start", h.n, h.sum)
		if i%9 == 4 {
			h.Store = open(t, h.dir)
		}
		doc, err := os.ReadFile(h.file("peers.json"))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(doc, last) {
			writes, last = writes+1, doc
		}
	}
	if writes != 4 { // the first one, and each time that the trail was long
		t.Errorf("the document was written %d times for %d changes", writes, 3*longTrail+7)
	}
	whole := more()
	whole.Names, whole.PeersChange = nil, differences().PeersChange
	h.accept(whole) // of the hosts
	h.says(open(t, h.dir), "after a change of hosts", h.n, h.sum)
	if _, err := os.Stat(h.file("peers.trail")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("beside the whole document there is a trail: %v", err)
	}
}

// A short document is written whole each time: an earlier version of this program finds all of it at any moment.
func TestShortDocumentHasNoTrail(t *testing.T) {
	h := named(t)
	for range 5 {
		h.accept(h.grow())
	}
	if _, err := os.Stat(h.file("peers.trail")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("there is a trail: %v", err)
	}
}

// What is written for a change does not grow with the document.
func TestTrailCostsTheChange(t *testing.T) {
	long(t, 1)
	grown := func(before int) (size int64) {
		h := named(t)
		all := h.grow()
		for range before {
			next := h.grow().Names.Accounts[0]
			all.Names.Accounts[0].Zones, all.Names.Accounts[0].To = append(all.Names.Accounts[0].Zones, next.Zones...), next.To
		}
		all.PeersChange = differences().PeersChange
		all.PeersChange.From = 9
		h.accept(all)
		h.n = 90_000
		doc, _ := os.Stat(h.file("peers.json"))
		h.accept(h.grow())
		if now, err := os.Stat(h.file("peers.json")); err != nil || !os.SameFile(doc, now) {
			t.Errorf("a document of %d bytes was written anew for one change: %v", doc.Size(), err)
		}
		st, err := os.Stat(h.file("peers.trail"))
		if err != nil {
			t.Fatal(err)
		}
		return st.Size()
	}
	if few, many := grown(2), grown(2000); many > few+few/10 {
		t.Errorf("%d bytes are written for a change beside few names, %d beside many", few, many)
	}
}

// However the power cut left the trail: the host has a state that it had, tells what that is, and is brought on from there.
func TestTrailIsCut(t *testing.T) {
	long(t, 1)
	h := named(t)
	sums, changes := []host.Sum{h.sum}, []host.Assignment{{}}
	for range 4 {
		a := h.grow()
		h.accept(a)
		sums, changes = append(sums, h.sum), append(changes, a)
	}
	whole, err := os.ReadFile(h.file("peers.trail"))
	if err != nil {
		t.Fatal(err)
	}
	damage := func(name string, trail []byte) {
		if err := os.WriteFile(h.file("peers.trail"), trail, 0o600); err != nil {
			t.Fatal(err)
		}
		s := open(t, h.dir)
		at := len(s.Peers().Names) - 1
		if h.says(s, name, at, sums[at]); len(s.Problems()) > 0 {
			t.Fatalf("%s: a person is told of it: %v", name, s.Problems())
		}
		if at == 4 {
			return
		}
		doc, _ := os.ReadFile(h.file("peers.json"))
		if err := s.Accept(changes[at+1]); err != nil {
			t.Fatalf("%s: with %d it is not brought on: %v", name, at, err)
		}
		h.says(open(t, h.dir), name+", brought on", at+1, sums[at+1])
		if err := os.WriteFile(h.file("peers.json"), doc, 0o600); err != nil { // as before, for the next one
			t.Fatal(err)
		}
	}
	for n := range len(whole) {
		damage(fmt.Sprintf("cut at byte %d", n), whole[:n])
		if n%7 == 0 {
			other := bytes.Clone(whole)
			other[n] ^= 1
			damage(fmt.Sprintf("byte %d is another one", n), other)
		}
	}
	damage("whole", whole)
}

// The host is moved back to an earlier version of this program and forward again: that one finds a document that it knows, at most some
// changes old, or after an orderly end the newest; once it has written its own, the trail is no part of it.
func TestBackWithTrail(t *testing.T) {
	long(t, 1)
	for _, orderly := range []bool{false, true} {
		h := named(t)
		for range 5 {
			h.accept(h.grow())
		}
		if orderly {
			h.Settle()
		}
		old := keep.Doc[*host.Kept]{Path: h.file("peers.json"), Version: 1, Sent: true}
		k, found, err := old.Load()
		want := 1
		if orderly {
			want = 6
		}
		if err != nil || !found || k.Validate() != nil || len(k.Names) != want {
			t.Fatalf("orderly %v: an earlier version reads %d names, want %d: %v", orderly, len(k.Names), want, err)
		}
		if k, err = k.Take(host.Assignment{PeersChange: differences().PeersChange, Names: differences().Names}); err != nil {
			t.Fatal(err)
		}
		k.Revision = 80
		if err := old.Save(k); err != nil {
			t.Fatal(err)
		}
		s := open(t, h.dir)
		if p := s.Peers(); p.Revision != 80 || len(p.Names) != 1 || len(s.Problems()) > 0 {
			t.Errorf("orderly %v: forward again it has peers %d with %d names, %v", orderly, p.Revision, len(p.Names), s.Problems())
		}
		h.Store, h.n, h.sum = s, 0, 5
		h.accept(h.grow())
		h.says(open(t, h.dir), "after the next change", 1, h.sum)
	}
}

// A trail of a later version is not read; what it leads on from is there.
func TestTrailOfALaterVersion(t *testing.T) {
	long(t, 1)
	h := named(t)
	h.accept(h.grow())
	raw, err := os.ReadFile(h.file("peers.trail"))
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(strings.TrimSuffix(string(raw), "\n"), " ")
	body = strings.Replace(body, `"version":1`, `"version":2`, 1)
	later := sumOf([]byte(body)) + " " + body + "\n"
	if err := os.WriteFile(h.file("peers.trail"), []byte(later), 0o600); err != nil {
		t.Fatal(err)
	}
	h.says(open(t, h.dir), "with a later version's trail", 0, 5)
}
