package converge

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/live"
)

// said is what one host says of its addresses.
type said struct {
	underlay, others, from string
	gone                   bool // it is UNREACHABLE
}

func list(s string) (out []netip.Addr) {
	for _, f := range strings.Fields(s) {
		out = append(out, netip.MustParseAddr(f))
	}
	return out
}

// TestAddresses: whose an address is. Host n was at 10.77.0.n, with 192.0.2.n beside it.
func TestAddresses(t *testing.T) {
	honest := func(n int) said {
		return said{underlay: fmt.Sprintf("10.77.0.%d", n), others: fmt.Sprintf("10.77.0.%d 192.0.2.%d", n, n),
			from: fmt.Sprintf("10.77.0.%d", n)}
	}
	for _, tt := range []struct {
		name   string
		one    said
		two    said
		fresh  bool // nothing was known before
		w1, w2 string
	}{
		{"as it was", honest(1), honest(2), false, "10.77.0.1 192.0.2.1", "10.77.0.2 192.0.2.2"},
		{"all is new", honest(1), honest(2), true, "10.77.0.1 192.0.2.1", "10.77.0.2 192.0.2.2"},
		{"IPv4 and IPv6, sorted, once", said{underlay: "10.77.0.1", others: "2001:db8::1 192.0.2.9 10.77.0.1 192.0.2.9 ::ffff:192.0.2.3"},
			honest(2), false, "10.77.0.1 192.0.2.3 192.0.2.9 2001:db8::1", "10.77.0.2 192.0.2.2"},
		{"what no host can have", said{underlay: "10.77.0.1",
			others: "0.0.0.0 :: 127.0.0.1 ::1 224.0.0.1 ff02::1 169.254.1.1 fe80::1 255.255.255.255 240.0.0.1 0.1.2.3"}, honest(2), false,
			"10.77.0.1", "10.77.0.2 192.0.2.2"},
		{"containers' addresses", said{underlay: "10.96.1.10", others: "10.96.0.1 10.111.255.255 fd48:4e00::1"}, honest(2), false,
			"10.77.0.1", "10.77.0.2 192.0.2.2"},
		{"another's underlay beside its own", said{underlay: "10.77.0.1", others: "10.77.0.2", from: "10.77.0.1"}, honest(2), false,
			"10.77.0.1", "10.77.0.2 192.0.2.2"},
		{"another's underlay as its own", said{underlay: "10.77.0.2", from: "10.77.0.1"}, honest(2), false, "10.77.0.1",
			"10.77.0.2 192.0.2.2"},
		{"another's, of whom nothing is known", said{underlay: "10.77.0.2", from: "10.77.0.1"}, honest(2), true, "", "10.77.0.2 192.0.2.2"},
		{"another's other address", said{underlay: "10.77.0.1", others: "192.0.2.2"}, honest(2), false, "10.77.0.1", "10.77.0.2 192.0.2.2"},
		{"another's other address as its underlay", said{underlay: "192.0.2.2", from: "10.77.0.1"}, honest(2), false, "192.0.2.2",
			"10.77.0.2"},
		{"they changed places", said{underlay: "10.77.0.2", from: "10.77.0.2"}, said{underlay: "10.77.0.1", from: "10.77.0.1"}, false,
			"10.77.0.2", "10.77.0.1"},
		{"the address of one that is gone", said{underlay: "10.77.0.2", from: "10.77.0.2"},
			said{underlay: "10.77.0.2", from: "10.77.0.2", gone: true}, false, "10.77.0.2", ""},
		{"both come from one address (NAT)", said{underlay: "10.77.0.1", from: "203.0.113.1"},
			said{underlay: "10.77.0.1", from: "203.0.113.1"}, false, "10.77.0.1", "10.77.0.2"},
		{"no underlay for a moment", said{others: "192.0.2.1"}, honest(2), false, "10.77.0.1 192.0.2.1", "10.77.0.2 192.0.2.2"},
		{"no report", said{gone: true}, honest(2), false, "10.77.0.1 192.0.2.1", "10.77.0.2 192.0.2.2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(3)
			w.in.Cluster.Range6 = netip.MustParsePrefix("fd48:4e00::/48")
			w.in.Live = live.Snapshot{}
			for i, s := range []said{1: tt.one, 2: tt.two} {
				id := w.in.Hosts[i].ID
				if i == 0 || s == (said{gone: true}) {
					continue
				}
				st := live.Status{State: live.State{State: operator.HostActive}, Report: &host.Report{Addrs: list(s.others)}}
				if s.underlay != "" {
					st.Report.Underlay = netip.MustParseAddr(s.underlay)
				}
				if s.from != "" {
					st.From = netip.MustParseAddr(s.from)
				}
				if s.gone {
					st.State.State = operator.HostUnreachable
				}
				w.in.Live[id] = st
			}
			if !tt.fresh {
				for i := 1; i <= 2; i++ {
					w.in.Peers.Hosts = append(w.in.Peers.Hosts,
						host.Peer{ID: w.in.Hosts[i].ID, Underlay: netip.MustParseAddr(fmt.Sprintf("10.77.0.%d", i)),
							Addrs: list(fmt.Sprintf("192.0.2.%d", i))})
				}
			}
			got := map[int]string{}
			for i, h := range Make(w.in).Peers.Hosts {
				var words []string
				if h.Underlay.IsValid() {
					words = append(words, h.Underlay.String())
				}
				for _, a := range h.Addrs {
					words = append(words, a.String())
				}
				got[i] = strings.Join(words, " ")
			}
			if got[1] != tt.w1 || got[2] != tt.w2 {
				t.Errorf("got %q and %q, want %q and %q", got[1], got[2], tt.w1, tt.w2)
			}
		})
	}
}

// TestManyAddresses: a host names so many, and the others keep what they had.
func TestManyAddresses(t *testing.T) {
	w := newWorld(2)
	r := *w.in.Live[w.in.Hosts[1].ID].Report
	for i := range 5000 {
		r.Addrs = append(r.Addrs, netip.AddrFrom4([4]byte{198, 51, byte(i >> 8), byte(i)}))
	}
	w.in.Live[w.in.Hosts[1].ID] = live.Status{State: live.State{State: operator.HostActive}, Report: &r}
	p := Make(w.in).Peers
	if got := p.Hosts[1].Addrs; len(got) != host.MaxAddrs || !slices.IsSortedFunc(got, netip.Addr.Compare) {
		t.Errorf("got %d addresses %v, want %d, sorted", len(got), got, host.MaxAddrs)
	}
	for i := range p.Hosts {
		p.Hosts[i].Identity = make([]byte, 32)
	}
	p.Hosts[0].ID, p.Hosts[1].ID = "h-000000000001", "h-000000000002"
	if err := p.Validate(); err != nil {
		t.Errorf("hosts would not take the document: %v", err)
	}
	w.in.Peers = *p
	w.in.Peers.Hosts[0].ID, w.in.Peers.Hosts[1].ID = w.in.Hosts[0].ID, w.in.Hosts[1].ID
	if again := addresses(w.in.Hosts, map[wire.HostID]host.Peer{w.in.Hosts[1].ID: w.in.Peers.Hosts[1]}, w.in.Cluster,
		w.status); !slices.Equal(again[w.in.Hosts[1].ID].others, w.in.Peers.Hosts[1].Addrs) {
		t.Errorf("asked again: %v, want the same", again[w.in.Hosts[1].ID].others)
	}
}
