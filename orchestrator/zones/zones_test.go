package zones

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/zone"
	"hardnode.dev/orchestrator/store"
)

// world is a DNS as the test says it.
type fakeWorld struct {
	servers   []string
	addresses map[string]string // "*" is any other
	serial    uint32
	err       error
}

func (w *fakeWorld) Servers(context.Context, string) ([]string, error) { return w.servers, w.err }

func (w *fakeWorld) Addresses(_ context.Context, name string) ([]netip.Addr, error) {
	a := w.addresses[name]
	if a == "" {
		a = w.addresses["*"]
	}
	if a == "" {
		return nil, nil
	}
	return []netip.Addr{netip.MustParseAddr(a)}, nil
}

func (w *fakeWorld) Serial(_ context.Context, network string, _ netip.Addr, _ string) (uint32, error) {
	if network == "tcp" && w.err != nil {
		return 0, w.err
	}
	return w.serial, nil
}

func opened(t *testing.T) (*Desk, *fakeWorld) {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Dir: t.TempDir(), Unsafe: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	if _, err := s.Update(t.Context(), func(tx *store.Tx) error {
		store.Clusters.Put(tx, store.Only, store.Cluster{Domain: "paas.example"})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	w := &fakeWorld{addresses: map[string]string{"*": "198.51.100.4"}}
	return &Desk{Store: s, Now: time.Now, Look: w,
		Resolvers: func(*store.View) []netip.Addr { return []netip.Addr{netip.MustParseAddr("198.51.100.4")} }}, w
}

// TestZone: the zone is what was set, its serial grows with each change and with nothing else, also from one orchestrator to the next.
func TestZone(t *testing.T) {
	d, _ := opened(t)
	now := func() *zone.Zone { return d.Zone(d.Store.View()) }
	if z := now(); z.Domain != "" || z != now() {
		t.Errorf("before anything was said: %+v", z)
	}
	if s := d.Settings(); s.Domain != "paas.example" || len(s.Servers) != 0 {
		t.Errorf("before anything was said: %+v", s)
	}
	err := d.Set(t.Context(), zone.SetDnsSettings{Records: []string{"x"}}, "admin")
	var p *operator.Problem
	if !errors.As(err, &p) || p.Object != "records" || d.Settings().Since != (time.Time{}) {
		t.Errorf("what is wrong: %v", err)
	}
	set := func(s zone.SetDnsSettings) *zone.Zone {
		t.Helper()
		if err := d.Set(t.Context(), s, "admin"); err != nil {
			t.Fatal(err)
		}
		return now()
	}
	one := set(zone.SetDnsSettings{})
	if one.Domain != "paas.example" || len(one.Servers) != 2 || one.Serial == 0 {
		t.Errorf("the usual one: %+v", one)
	}
	if again := set(zone.SetDnsSettings{Public: true}); again != one {
		t.Errorf("what changes nothing in the zone makes another one: %+v", again)
	}
	two := set(zone.SetDnsSettings{Records: []string{"@ TXT hello"}})
	if two.Serial <= one.Serial || len(two.Records) != 1 {
		t.Errorf("with a record: %+v", two)
	}
	next := &Desk{Store: d.Store, Now: time.Now, Resolvers: d.Resolvers}
	if z := next.Zone(d.Store.View()); z.Serial < two.Serial {
		t.Errorf("of the next orchestrator: %+v", z)
	}
	s := d.Settings()
	if !strings.Contains(strings.Join(s.Lines, "\n"), "ns1.paas.example. 3600 IN A 198.51.100.4") || s.Serial != two.Serial ||
		s.By != "admin" {
		t.Errorf("the settings are %+v", s)
	}
	if err := d.Remove(t.Context()); err != nil || now().Domain != "" {
		t.Errorf("removed: %+v, %v", now(), err)
	}
	if err := d.Remove(t.Context()); !errors.As(err, &p) || p.Code != operator.NotFound {
		t.Errorf("removed again: %v", err)
	}
}

// TestCheck: what is right is said to be so, and what is not is named with what to do.
func TestCheck(t *testing.T) {
	d, w := opened(t)
	var p *operator.Problem
	if _, err := d.Check(t.Context()); !errors.As(err, &p) || p.Code != operator.Conflict {
		t.Errorf("before anything was said: %v", err)
	}
	if err := d.Set(t.Context(), zone.SetDnsSettings{}, "admin"); err != nil {
		t.Fatal(err)
	}
	check := func() (wrong []string) {
		t.Helper()
		got, err := d.Check(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range got.Looks {
			if !l.Right {
				wrong = append(wrong, l.What+": "+l.Found)
			}
			if l.Right != (l.Next == "") {
				t.Errorf("%+v", l)
			}
		}
		if got.Right != (len(wrong) == 0) {
			t.Errorf("right: %t with %v", got.Right, wrong)
		}
		return wrong
	}
	w.servers, w.serial = []string{"ns2.paas.example", "ns1.paas.example"}, d.Zone(d.Store.View()).Serial
	if wrong := check(); len(wrong) > 0 {
		t.Errorf("what is right: %v", wrong)
	}
	if why := d.Leads(t.Context(), d.Store.View()); why != "" {
		t.Errorf("what is right: %s", why)
	}
	w.servers = []string{"ns1.paas.example", "ns.provider.example"}
	w.addresses["ns2.paas.example"], w.serial = "192.0.2.9", 1
	wrong := strings.Join(check(), "\n")
	for _, want := range []string{"name servers of paas.example: ns1.paas.example, ns.provider.example",
		"address of ns2.paas.example: 192.0.2.9", "ns1.paas.example at 198.51.100.4 over UDP: serial 1"} {
		if !strings.Contains(wrong, want) {
			t.Errorf("%q is not in\n%s", want, wrong)
		}
	}
	if why := d.Leads(t.Context(), d.Store.View()); !strings.Contains(why, "not this cluster's") {
		t.Errorf("with another's server: %q", why)
	}
	w.servers, w.err, w.addresses = nil, errors.New("no way there"), nil
	wrong = strings.Join(check(), "\n")
	for _, want := range []string{"name servers of paas.example: no way there", "over TCP: no way there", "address of check-"} {
		if !strings.Contains(wrong, want) {
			t.Errorf("%q is not in\n%s", want, wrong)
		}
	}
	w.err = nil
	if why := d.Leads(t.Context(), d.Store.View()); !strings.Contains(why, "knows no name servers") {
		t.Errorf("without servers: %q", why)
	}
}
