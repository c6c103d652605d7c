package certify

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"hardnode.dev/internal/wire"
	"hardnode.dev/orchestrator/store"
)

var moment = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

func issuedFor(lasts time.Duration) store.Issue {
	return store.Issue{Name: "shop.example", Certificate: &store.Certificate{Ends: moment.Add(lasts)}, Begins: moment,
		Renew: renewAt(moment, moment.Add(lasts), time.Time{})}
}

// TestRenewAt: at a third of the life left, or when the CA says, but not too late.
func TestRenewAt(t *testing.T) {
	ends := moment.Add(90 * day)
	for suggested, want := range map[time.Time]time.Time{{}: moment.Add(60 * day), moment.Add(day): moment.Add(day),
		moment.Add(70 * day): moment.Add(70 * day), moment.Add(89 * day): moment.Add(75 * day),
		moment.Add(900 * day): moment.Add(75 * day)} {
		if got := renewAt(moment, ends, suggested); !got.Equal(want) {
			t.Errorf("suggested %s: got %s, want %s", suggested, got, want)
		}
	}
	if got := renewAt(moment, moment.Add(90*time.Second), time.Time{}); !got.Equal(moment.Add(time.Minute)) {
		t.Errorf("of 90 s: %s", got)
	}
}

// TestNext: what is done for a name, and when.
func TestNext(t *testing.T) {
	looked := issuedFor(90 * day)
	looked.Look = moment.Add(6 * time.Hour)
	late := looked
	late.Look = moment.Add(61 * day)
	failed := issuedFor(90 * day)
	failed.Next = moment.Add(61 * day)
	ordered := failed
	ordered.Order = &store.Order{}
	for _, c := range []struct {
		name string
		rec  store.Issue
		do   to
		at   time.Time
	}{
		{"new", store.Issue{}, begin, time.Time{}}, {"failed", store.Issue{Next: moment}, begin, moment},
		{"issued", issuedFor(90 * day), begin, moment.Add(60 * day)}, {"renewal failed", failed, begin, moment.Add(61 * day)},
		{"under way", ordered, advance, time.Time{}}, {"asked when", looked, look, looked.Look},
		{"asked when, after it", late, begin, moment.Add(60 * day)},
	} {
		if do, at := next(c.rec); do != c.do || !at.Equal(c.at) {
			t.Errorf("%s: got %d at %s, want %d at %s", c.name, do, at, c.do, c.at)
		}
	}
}

// TestRest: pauses double, up to a bound; the CA's word is heeded, but not for ever; what ends soon is tried again soon.
func TestRest(t *testing.T) {
	tried := func(rec store.Issue, tries int, asked bool) store.Issue {
		rec.Tries, rec.Asked = tries, asked
		return rec
	}
	for _, c := range []struct {
		rec  store.Issue
		hint time.Duration // 0: none
		want time.Duration
	}{
		{tried(store.Issue{}, 1, false), 0, time.Minute}, {tried(store.Issue{}, 3, false), 0, 4 * time.Minute},
		{tried(store.Issue{}, 99, false), 0, 15 * time.Minute},
		{tried(store.Issue{}, 1, true), 0, 15 * time.Minute}, {tried(store.Issue{}, 2, true), 0, 30 * time.Minute},
		{tried(store.Issue{}, 99, true), 0, 12 * time.Hour},
		{tried(store.Issue{}, 1, true), 30 * time.Hour, 30 * time.Hour}, {tried(store.Issue{}, 1, true), time.Minute, 15 * time.Minute},
		{tried(store.Issue{}, 1, true), 99 * day, 7 * day},
		{tried(issuedFor(90*day), 99, true), 0, 12 * time.Hour}, {tried(issuedFor(90*time.Second), 99, true), 0, 5 * time.Second},
		{tried(issuedFor(90*time.Second), 1, true), time.Hour, time.Hour},
	} {
		var hint time.Time
		if c.hint != 0 {
			hint = moment.Add(c.hint)
		}
		if got := rest(c.rec, moment, hint); got != c.want {
			t.Errorf("after %d tries, asked %v, lasting %s, told %s: got %s, want %s", c.rec.Tries, c.rec.Asked, life(c.rec), c.hint, got,
				c.want)
		}
	}
}

// TestAdmit: an account can't take what the others need, renewals come before new ones, and what is old counts no more.
func TestAdmit(t *testing.T) {
	of := func(owner string, n int, ago time.Duration) (a store.Asked) {
		a.Account = wire.Account(owner)
		for i := range n {
			a.Times = append(a.Times, moment.Add(-ago-time.Duration(i)*time.Millisecond))
		}
		return a
	}
	var all []store.Asked
	for i := range 10 {
		all = append(all, of(fmt.Sprint("a", i), MaxAccount, time.Hour))
	}
	renewed := of("acme", MaxAccount, time.Hour)
	renewed.Renewed = renewed.Times
	for _, c := range []struct {
		name    string
		all     []store.Asked
		renewal bool
		want    string
	}{
		{"nothing was", nil, false, ""}, {"less", []store.Asked{of("acme", MaxAccount-1, time.Hour)}, false, ""},
		{"all", []store.Asked{of("acme", MaxAccount, time.Hour)}, false,
			"the account has asked for 20 certificates in the last 3 hours, and asks for no more before 2026-11-28T13:59:59Z"},
		{"long ago", []store.Asked{of("acme", MaxAccount, window)}, false, ""},
		{"another's", []store.Asked{of("globex", MaxAccount, time.Hour)}, false, ""},
		{"renewals don't count", []store.Asked{renewed}, false, ""},
		{"the cluster", all, false, "the cluster has asked for 200"}, {"a renewal then", all, true, ""},
		{"a renewal of an account that asked for much", []store.Asked{of("acme", 99, time.Hour)}, true, ""},
		{"too many renewals", append(all, of("b", MaxCluster-200, time.Minute)), true, "the cluster has asked for 250"},
	} {
		why, until := admit(c.all, "acme", c.renewal, moment)
		if c.want == "" && why != "" || !strings.HasPrefix(why, c.want) || (why != "") != until.After(moment) {
			t.Errorf("%s: got %q until %s, want %q", c.name, why, until, c.want)
		}
	}
}

// TestAdmitProperty: whatever accounts ask, in no window does the cluster ask for more than it may, nor an account for more new ones; and
// one that is told to wait is admitted then if nobody else asks.
func TestAdmitProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now, all := moment, map[wire.Account]store.Asked{}
		list := func() (out []store.Asked) {
			for _, a := range all {
				out = append(out, a)
			}
			return out
		}
		for range rapid.IntRange(1, 400).Draw(t, "asks") {
			now = now.Add(time.Duration(rapid.IntRange(1, 300).Draw(t, "seconds")) * time.Second)
			owner := wire.Account(rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "owner"))
			renewal := rapid.IntRange(0, 3).Draw(t, "kind") == 0
			why, until := admit(list(), owner, renewal, now)
			if why != "" {
				if late, _ := admit(list(), owner, renewal, until); late != "" {
					t.Fatalf("told to wait until %s, and then: %s", until, late)
				}
				continue
			}
			a := all[owner]
			a.Account, a.Times = owner, append(lately(a.Times, now), now)
			if a.Renewed = lately(a.Renewed, now); renewal {
				a.Renewed = append(a.Renewed, now)
			}
			all[owner] = a
			if fresh := len(a.Times) - len(a.Renewed); fresh > MaxAccount {
				t.Fatalf("account %s has asked for %d new ones in a window", owner, fresh)
			}
		}
	})
}

// TestLeads: a name is asked for only if all that the DNS says of it leads here; the words say what to change.
func TestLeads(t *testing.T) {
	addrs := func(list ...string) (out []netip.Addr) {
		for _, a := range list {
			out = append(out, netip.MustParseAddr(a))
		}
		return out
	}
	ours := addrs("198.51.100.4", "2001:db8::4")
	for _, c := range []struct {
		found []netip.Addr
		err   error
		ours  []netip.Addr
		want  string
	}{
		{addrs("198.51.100.4"), nil, ours, ""}, {addrs("::ffff:198.51.100.4"), nil, ours, ""},
		{addrs("2001:db8::4", "198.51.100.4"), nil, ours, ""},
		{addrs("192.0.2.7"), nil, ours[:1], "shop.example points to 192.0.2.7, not to this cluster's resolver 198.51.100.4"},
		{addrs("198.51.100.4", "2001:db8::9"), nil, ours[:1],
			"shop.example also points to 2001:db8::9, not to this cluster's resolver 198.51.100.4"},
		{nil, nil, ours[:1], "shop.example has no address in the DNS: let it point to 198.51.100.4"},
		{nil, errors.New("no server answers"), ours, "the DNS was asked where shop.example points to: no server answers"},
		{addrs("192.0.2.7"), nil, nil, "nobody has said at which address"},
	} {
		if got := leads("shop.example", c.found, c.err, c.ours); c.want == "" && got != "" || !strings.HasPrefix(got, c.want) {
			t.Errorf("%v: got %q, want %q", c.found, got, c.want)
		}
	}
}

// TestRetryAfter: what CAs write there.
func TestRetryAfter(t *testing.T) {
	for text, want := range map[string]time.Time{"": {}, "x": {}, "-1": {}, "120": moment.Add(2 * time.Minute),
		"Sat, 28 Nov 2026 13:00:00 GMT": moment.Add(time.Hour), "999999999999": {}, "99999999": moment.Add(longHint)} {
		if got := retryAfter(text, moment); !got.Equal(want) && text != "999999999999" {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
	if got := plain("a\nb\x1b[31m" + strings.Repeat("c", 600)); strings.ContainsAny(got, "\n\x1b") || len(got) > maxWords+3 {
		t.Errorf("somebody else's words are %q", got)
	}
}

// TestInTurn: an account with many names, whose DNS may be slow, holds up neither orders under way nor others' names for longer than a few
// lookups take; nor do many accounts together.
func TestInTurn(t *testing.T) {
	var due []name
	add := func(owner wire.Account, do to, n int) {
		for range n {
			due = append(due, name{owner: owner, do: do})
		}
	}
	add("acme", advance, 5)
	add("greedy", begin, 1000)
	add("globex", begin, 1)
	add("acme", begin, 3)
	count := func(list []name) map[wire.Account]int {
		out := map[wire.Account]int{}
		for _, n := range list {
			out[n.owner]++
		}
		return out
	}
	if got := count(inTurn(due)); got["greedy"] != begunOfOne || got["globex"] != 1 || got["acme"] != 5+begunOfOne {
		t.Errorf("of many of one: %v", got)
	}
	due = nil
	for i := range 100 {
		add(wire.Account(fmt.Sprint("greedy", i)), begin, 10)
	}
	add("acme", look, 1)
	if got := inTurn(due); len(got) != begunOfAll+1 || count(got)["acme"] != 1 {
		t.Errorf("of many: %d, %v", len(got), count(got))
	}
	if before(turn{store.Issue{Name: "a", Tries: 9}, 0}, turn{store.Issue{Name: "b"}, 0}) < 0 {
		t.Error("a name that is tried again and again goes before a new one")
	}
}
