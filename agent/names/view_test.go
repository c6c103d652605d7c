package names

import (
	"net/netip"
	"testing"

	"github.com/miekg/dns"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// TestViews: what containers see of each other's names and addresses follows their account and its groups, by both families and both ways.
func TestViews(t *testing.T) {
	zone := func(env string, n byte, group string) host.Zone {
		addrs := []netip.Addr{netip.AddrFrom4([4]byte{10, 96, 1, n}), netip.AddrFrom16([16]byte{0xfd, 0x48, 0x4e, 0, 15: n})}
		return host.Zone{Env: wire.EnvName(env), Sum: host.Sum(1) << n, Group: wire.GroupName(group),
			Nodes: []host.Name{{Name: "node" + string(rune(48+n)) + "." + env + ".internal", Addrs: addrs}}}
	}
	acme := []host.Zone{zone("shop", 1, ""), zone("crm", 2, ""), zone("lab", 3, "apart"), zone("test", 4, "apart")}
	eve := []host.Zone{zone("eve", 5, "apart")}
	sum := func(zones []host.Zone) (s host.Sum) {
		for _, z := range zones {
			s ^= z.Sum
		}
		return s
	}
	k := &host.Kept{Peers: host.Peers{Version: 1, Revision: 1, Range4: netip.MustParsePrefix("10.96.0.0/12"),
		Range6: netip.MustParsePrefix("fd48:4e00::/48")}}
	k, err := k.Take(host.Assignment{Names: &host.NamesChange{Accounts: []host.AccountNames{{Account: "acme", To: sum(acme), Zones: acme},
		{Account: "eve", To: sum(eve), Zones: eve}}}})
	if err != nil {
		t.Fatal(err)
	}
	table := newTable(&k.Peers, netip.Addr{})
	all := append(append([]host.Zone{}, acme...), eve...)
	group := []string{"", "", "apart", "apart", "eve"} // who sees whom
	for i, from := range all {
		for j, to := range all {
			want := group[i] == group[j]
			for six, qtype := range []uint16{dns.TypeA, dns.TypeAAAA} {
				caller, addr := from.Nodes[0].Addrs[six], to.Nodes[0].Addrs[six]
				r, ok := table.local(dns.Question{Name: to.Nodes[0].Name + ".", Qtype: qtype, Qclass: dns.ClassINET}, caller)
				if got := ok && len(r.answer) == 1; !ok || got != want || !want && r.rcode != dns.RcodeNameError {
					t.Errorf("%s asks for %s of %s: %v, %+v", from.Env, dns.TypeToString[qtype], to.Env, ok, r)
				}
				name, err := dns.ReverseAddr(addr.String())
				if err != nil {
					t.Fatal(err)
				}
				r, ok = table.local(dns.Question{Name: name, Qtype: dns.TypePTR, Qclass: dns.ClassINET}, caller)
				if got := ok && len(r.answer) == 1; !ok || got != want || !want && r.rcode != dns.RcodeNameError {
					t.Errorf("%s asks whose %s is: %v, %+v; want a name: %v", from.Env, addr, ok, r, want)
				}
			}
		}
	}
}
