package host

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/neighbour"
)

// What a query says is said again by what was read of it: nothing is added, lost, or read in another way the second time.
func FuzzKnown(f *testing.F) {
	for _, q := range []string{"", "work=7&peers=9", "work=7&peers=0&hosts=3w5e11264sgsf", "hosts=0&names=", "names=.2,admin.0,bob.11",
		"names=a.1,a.2,,", "total=1s", "total=0", "total=5&names=a.5", "total=&names=a", "work=007&hosts=Z", "names=a.1&names=b.2",
		"peers=-1", "names=Admin.1"} {
		f.Add(q)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		q, err := url.ParseQuery(raw)
		if err != nil {
			return
		}
		k, err := ParseKnown(q)
		if err != nil {
			if !reflect.DeepEqual(k, Known{}) {
				t.Errorf("%q is refused (%v), and read as %+v", raw, err, k)
			}
			return
		}
		if q, err = url.ParseQuery(k.Query()); err != nil {
			t.Fatal(err)
		}
		again, err := ParseKnown(q)
		if err != nil || again.Query() != k.Query() {
			t.Fatalf("%q is %q, which is %q, %v", raw, k.Query(), again.Query(), err)
		}
		if len(k.Names) <= maxKnown && !reflect.DeepEqual(again, k) {
			t.Errorf("%q is read as %+v, and then as %+v", raw, k, again)
		}
	})
}

// elsewhere is a difference of the peers after which the cluster has other addresses than the hosts that it does not name.
func elsewhere() Assignment {
	c := cluster()
	c.Hosts, c.Range4 = []Peer{}, netip.MustParsePrefix("10.112.0.0/12")
	return Assignment{PeersChange: &PeersChange{From: 8 ^ 1 ^ 2, To: 8 ^ 1 ^ 2, Head: 8, Peers: c}}
}

// shared is a difference after which an environment is of two accounts.
func shared() Assignment {
	return Assignment{Names: &NamesChange{Accounts: []AccountNames{{Account: "admin", From: 192, To: 192},
		{Account: "bob", To: 3, Zones: []Zone{zone("web", 3, 7)}}}}}
}

// assignments are the seeds: those of the golden files, and differences to keptOf.
func assignments(f *testing.F) (out [][]byte) {
	golden, err := filepath.Glob("testdata/golden/assignment.*.json")
	if err != nil || len(golden) == 0 {
		f.Fatal("there are no golden files of an Assignment", err)
	}
	for _, path := range golden {
		raw, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		out = append(out, raw)
	}
	gone := cluster(peer(3))
	for _, a := range []Assignment{
		{PeersChange: &PeersChange{To: 8 ^ 1, Head: 8, Peers: cluster(peer(1))}},
		{PeersChange: &PeersChange{From: 8 ^ 1 ^ 2, To: 8 ^ 1 ^ 3, Head: 8, Peers: gone, Gone: []wire.HostID{"h-000000000002"}}},
		{PeersChange: &PeersChange{From: 12, To: 8, Head: 8, Peers: cluster()}},
		{Names: &NamesChange{Accounts: []AccountNames{{From: 16, To: 16}, {Account: "admin", From: 192, To: 64 ^ 1,
			Zones: []Zone{zone("web", 1, 5)}}, {Account: "bob", From: 32, Gone: []wire.EnvName{"shop", "none"}}}}},
		{Names: &NamesChange{}}, elsewhere(), shared(),
	} {
		raw, err := json.Marshal(a)
		if err != nil {
			f.Fatal(err)
		}
		out = append(out, raw)
	}
	return out
}

// An Assignment that is taken for valid is the same after it was written and read again. A host that it is sent to has afterwards all of it
// or what it had, and in both cases what it can run with and what can be brought on from.
func FuzzAssignment(f *testing.F) {
	for _, raw := range assignments(f) {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		a, err := DecodeAssignment(bytes.NewReader(raw))
		if err != nil {
			return
		}
		once := written(t, a)
		b, err := DecodeAssignment(bytes.NewReader(once))
		if err != nil {
			t.Fatalf("%s is refused when it was written again: %v", once, err)
		}
		if twice := written(t, b); !bytes.Equal(once, twice) {
			t.Errorf("written twice it is\n%s\n%s", once, twice)
		}
		for _, had := range []*Kept{nil, keptOf(t)} {
			taken(t, had, a)
		}
	})
}

// taken is what a host that has had has after it was told a.
func taken(t *testing.T, had *Kept, a Assignment) *Kept {
	t.Helper()
	before := written(t, had)
	next, err := had.Take(a)
	if after := written(t, had); !bytes.Equal(before, after) {
		t.Fatalf("what it was taken into was\n%s\nand is\n%s", before, after)
	}
	if err != nil {
		if next != nil || !errors.Is(err, ErrOther) {
			t.Errorf("it is refused with %v, and makes %+v", err, next)
		}
		return had
	}
	if err := fits(t, next, a); err != nil {
		t.Fatalf("%s\nmakes of\n%s\n%s\n%v", written(t, a), before, written(t, next), err)
	}
	return next
}

// choices are what fuzzing chooses: one of so many each time, the first when there is nothing left.
type choices []byte

func (c *choices) of(n int) int {
	if len(*c) == 0 {
		return 0
	}
	b := (*c)[0]
	*c = (*c)[1:]
	return int(b) % n
}

// peers is a difference to what k has, or to something else; mostly it leads to what it says.
func (c *choices) peers(k *Kept) *PeersChange {
	out := &PeersChange{From: []Sum{k.Known().Hosts, 0, 5}[c.of(3)], Head: Sum(8 + c.of(2)), Peers: cluster()}
	out.Peers.Hosts = []Peer{}
	if c.of(8) == 7 {
		out.Peers.Range4 = netip.MustParsePrefix("10.112.0.0/12")
	}
	sums := map[wire.HostID]Sum{}
	if k != nil && out.From != 0 {
		for _, h := range k.Hosts {
			sums[h.ID] = h.Sum
		}
	}
	for n := range 4 {
		switch h := peer(n); c.of(4) {
		case 1:
			out.Gone = append(out.Gone, h.ID)
			delete(sums, h.ID)
		case 2, 3:
			h.Sum = Sum(16 << c.of(4))
			out.Peers.Hosts, sums[h.ID] = append(out.Peers.Hosts, h), h.Sum
		}
	}
	out.To = out.Head ^ Sum(c.of(8)/7)
	for _, s := range sums {
		out.To ^= s
	}
	return out
}

// names is likewise.
func (c *choices) names(k *Kept) *NamesChange {
	out := &NamesChange{Accounts: []AccountNames{}}
	for _, account := range []wire.Account{"", "admin", "bob"} {
		if c.of(4) == 3 {
			continue
		}
		n := AccountNames{Account: account, From: []Sum{k.Known().Names[account], 0, 5}[c.of(3)]}
		sums := map[wire.EnvName]Sum{}
		if k != nil && n.From != 0 {
			for _, z := range k.Zones {
				if z.Account == account {
					sums[z.Env] = z.Sum
				}
			}
		}
		for _, e := range []wire.EnvName{"jelastic", "web", "db", "shop"} {
			switch c.of(6) {
			case 1:
				n.Gone = append(n.Gone, e)
				delete(sums, e)
			case 2:
				z := zone(e, Sum(1<<c.of(4)), 1+c.of(9))
				n.Zones, sums[e] = append(n.Zones, z), z.Sum
			}
		}
		n.To = Sum(c.of(8) / 7)
		for _, s := range sums {
			n.To ^= s
		}
		out.Accounts = append(out.Accounts, n)
	}
	return out
}

// A host that is told differences, right ones and others, one after the other, has after each all of it or what it had.
func FuzzDifferences(f *testing.F) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 3))
		raw := make([]byte, 40+r.IntN(200))
		for i := range raw {
			raw[i] = byte(r.Uint32())
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		c := (*choices)(&raw)
		var k *Kept
		if c.of(2) == 0 {
			k = keptOf(t)
		}
		for range 20 {
			if len(raw) == 0 {
				break
			}
			var a Assignment
			which := c.of(3)
			if which < 2 {
				a.PeersChange = c.peers(k)
			}
			if which > 0 {
				a.Names = c.names(k)
			}
			a, err := DecodeAssignment(bytes.NewReader(written(t, a)))
			if err == nil {
				k = taken(t, k, a)
			}
		}
	})
}

func written(t *testing.T, v any) []byte {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// fits says what is wrong with a host's having k after it was told a; k may be nil.
func fits(t *testing.T, k *Kept, a Assignment) error {
	if k == nil {
		return nil
	}
	if err := k.Validate(); err != nil {
		return err
	}
	var again Kept
	if err := neighbour.Decode(written(t, k), &again); err != nil {
		return fmt.Errorf("it can't be read again: %v", err)
	}
	if was, is := k.Known().Query(), again.Known().Query(); was != is {
		return fmt.Errorf("it asks with %s, and read again with %s", was, is)
	}
	known := k.Known()
	if c := a.PeersChange; c != nil && known.Hosts != c.To {
		return fmt.Errorf("it asks with %d for hosts, and was told %d", known.Hosts, c.To)
	}
	if a.Names == nil {
		return nil
	}
	for _, n := range a.Names.Accounts {
		if known.Names[n.Account] != n.To {
			return fmt.Errorf("it asks with %d for the names of %q, and was told %d", known.Names[n.Account], n.Account, n.To)
		}
		delete(known.Names, n.Account)
	}
	if len(known.Names) > 0 {
		return fmt.Errorf("it has the names of others: %v", known.Names)
	}
	owner := map[wire.EnvName]bool{}
	for _, z := range k.Zones {
		if owner[z.Env] {
			return fmt.Errorf("environment %s is there twice", z.Env)
		}
		owner[z.Env] = true
	}
	return nil
}
