package host

import (
	"fmt"
	"net/url"
	"reflect"
	"testing"

	"hardnode.dev/internal/wire"
)

// What a host says it has is what the orchestrator reads.
func TestKnown(t *testing.T) {
	for _, c := range []struct {
		known Known
		query string
	}{
		{Known{}, "work=0&peers=0&system=0"},
		{Known{Work: 7, Peers: 9, System: NoSystem}, "work=7&peers=9"},
		{Known{Work: 7, Peers: 9, System: 5}, "work=7&peers=9&system=5"},
		{Known{Work: 7, Hosts: 1<<64 - 1}, "work=7&peers=0&system=0&hosts=3w5e11264sgsf"},
		{Known{Hosts: 36, Names: map[wire.Account]Sum{}}, "work=0&peers=0&system=0&hosts=10&names="},
		{Known{Hosts: 1, Names: map[wire.Account]Sum{"": 2, "bob": 37, "admin": 0}},
			"work=0&peers=0&system=0&hosts=1&names=.2,admin.0,bob.11"},
	} {
		if got := c.known.Query(); got != c.query {
			t.Errorf("%+v is asked with as %q, want %q", c.known, got, c.query)
		}
		q, err := url.ParseQuery(c.query)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ParseKnown(q); err != nil || !reflect.DeepEqual(got, c.known) {
			t.Errorf("%q is read as %+v, %v; want %+v", c.query, got, err, c.known)
		}
	}
	// Total is instead of the names, also where the sums of all make nothing.
	for query, want := range map[string]Known{
		"total=0":           {Names: map[wire.Account]Sum{}, System: NoSystem},
		"total=5&names=a.1": {Names: map[wire.Account]Sum{}, Total: 5, System: NoSystem},
	} {
		q, _ := url.ParseQuery(query)
		if got, err := ParseKnown(q); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q is read as %+v, %v; want %+v", query, got, err, want)
		}
	}
	for _, bad := range []string{"work=x", "peers=-1", "system=-1", "hosts=-1", "hosts=3w5e11264sgsg",
		"names=admin", "names=Admin.1", "names=a.1,b", "total=!"} {
		q, _ := url.ParseQuery(bad)
		if k, err := ParseKnown(q); err == nil {
			t.Errorf("%q is read as %+v", bad, k)
		}
	}
}

// A host with containers of very many accounts asks with what all their sums make together: its request stays short.
func TestKnownOfManyAccounts(t *testing.T) {
	many := Known{Names: map[wire.Account]Sum{}}
	total := Sum(0)
	for i := range maxKnown + 1 {
		many.Names[wire.Account(fmt.Sprintf("%038d%d", i, i%10))] = Sum(1<<63) + Sum(i)
		total ^= Sum(1<<63) + Sum(i)
	}
	if q := many.Query(); len(q) > 100 {
		t.Errorf("%d accounts make %d bytes of query", len(many.Names), len(q))
	}
	q, err := url.ParseQuery(many.Query())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ParseKnown(q); err != nil || got.Total != total || len(got.Names) != 0 || got.Names == nil {
		t.Errorf("read as %+v, %v", got, err)
	}
	delete(many.Names, wire.Account(fmt.Sprintf("%038d%d", 0, 0)))
	if q := many.Query(); len(q) > 25<<10 {
		t.Errorf("%d accounts make %d bytes of query, a listener takes 32 KiB of header", len(many.Names), len(q))
	}
}
