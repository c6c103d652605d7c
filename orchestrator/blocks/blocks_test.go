package blocks

import (
	"maps"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestOf(t *testing.T) {
	four, six := netip.MustParsePrefix("10.96.0.0/12"), netip.MustParsePrefix("fd48:4e00:1::/48")
	for n, want := range map[int]string{0: "10.96.0.0/24 fd48:4e00:1::/64", 1: "10.96.1.0/24 fd48:4e00:1:1::/64",
		256: "10.97.0.0/24 fd48:4e00:1:100::/64", 4095: "10.111.255.0/24 fd48:4e00:1:fff::/64", 4096: "", -1: ""} {
		b4, b6, err := Of(four, six, n)
		if got := b4.String() + " " + b6.String(); want != "" && (err != nil || got != want) || want == "" && err == nil {
			t.Errorf("block %d: got %s, %v, want %q", n, got, err, want)
		}
		if back, ok := number(four, b4); err == nil && (!ok || back != n) {
			t.Errorf("block %s has number %d, %v, want %d", b4, back, ok, n)
		}
	}
	if _, b6, err := Of(four, netip.Prefix{}, 1); err != nil || b6.IsValid() {
		t.Errorf("without IPv6: %v, %v", b6, err)
	}
}

// The places of a host go through all its blocks, each address once, and begin anew.
func TestPlaces(t *testing.T) {
	p := netip.MustParsePrefix
	own, six := []netip.Prefix{p("10.96.1.0/24"), p("10.111.255.0/24"), p("10.96.0.0/24")}, p("fd48:4e00:0:1::/64")
	seen := map[netip.Addr]bool{}
	place := 0
	for i := range len(own) * Addresses {
		place = Next(place, len(own))
		v4, v6 := At(own, six, place)
		if !own[i/Addresses].Contains(v4) || !six.Contains(v6) || seen[v4] || seen[v6] {
			t.Fatalf("place %d, the %d. one: %s, %s", place, i+1, v4, v6)
		}
		seen[v4], seen[v6] = true, true
	}
	for _, c := range []struct{ place, of, want int }{{place, 3, 10}, {0, 1, 10}, {250, 1, 10}, {250, 2, 266}, {300, 1, 10}, {9, 1, 10},
		{255, 2, 266}, {First(1) - 1, 2, First(1)}} {
		if got := Next(c.place, c.of); got != c.want {
			t.Errorf("after place %d of %d blocks comes %d, want %d", c.place, c.of, got, c.want)
		}
	}
	for place, want := range map[int]string{10: "10.96.1.10 fd48:4e00:0:1::a", 256 + 250: "10.111.255.250 fd48:4e00:0:1::1fa"} {
		if v4, v6 := At(own, six, place); v4.String()+" "+v6.String() != want {
			t.Errorf("place %d: %s %s, want %s", place, v4, v6, want)
		}
	}
	if _, v6 := At(own, netip.Prefix{}, 10); v6.IsValid() {
		t.Errorf("without IPv6: %s", v6)
	}
}

// Whatever is taken and given back: no block is had twice, none that somebody had before all others were given, and none is lost.
func TestLedger(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		range4 := netip.PrefixFrom(netip.MustParseAddr("10.96.0.0"), rapid.IntRange(20, 24).Draw(t, "bits"))
		all := Count(range4)
		var l Ledger
		if late := rapid.Bool().Draw(t, "the range is known late"); !late {
			l.Within(range4)
		}
		l.Use(netip.MustParsePrefix("10.96.0.0/24"), 1) // number 0
		l.Use(netip.MustParsePrefix("192.0.2.0/24"), 1)
		l.Use(netip.Prefix{}, 1)
		l.Within(range4)
		has, next, ever := map[netip.Prefix]bool{}, 0, map[netip.Prefix]bool{}
		t.Repeat(map[string]func(*rapid.T){
			"give": func(t *rapid.T) {
				n, b, then, ok := l.Give(next, nil)
				if free := all - 1 - len(has); ok != (free > 0) || l.Free() != max(0, free) {
					t.Fatalf("given %v, said to be left %d, left are %d", ok, l.Free(), free)
				}
				if !ok {
					return
				}
				if has[b] || n < 1 || ever[b] && len(ever) < all-1 || then <= next {
					t.Fatalf("block %d %s, after %d: had now %v, ever %v of %d", n, b, next, has[b], ever[b], len(ever))
				}
				has[b], ever[b], next = true, true, then
				l.Use(b, 1)
				l.Use(b, 1)
			},
			"take back": func(t *rapid.T) {
				if len(has) == 0 {
					t.Skip("none is given")
				}
				list := slices.SortedFunc(maps.Keys(has), func(a, b netip.Prefix) int { return a.Addr().Compare(b.Addr()) })
				b := rapid.SampledFrom(list).Draw(t, "block")
				l.Use(b, -1)
				l.Use(b, -1)
				delete(has, b)
			},
		})
	})
}
