package cli

import (
	"encoding/json"
	"net/http"
	"net/netip"

	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/zone"
)

// names keeps how the cluster answers for its domain.
func (f *fake) names(mux *http.ServeMux) {
	const path, domain = operator.Prefix + "/cluster/dns", "demo.example"
	now := zone.DnsSettings{Domain: domain}
	mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) { reply(w, 200, now) })
	mux.HandleFunc("PUT "+path, func(w http.ResponseWriter, r *http.Request) {
		var s zone.SetDnsSettings
		json.NewDecoder(r.Body).Decode(&s)
		z, field, err := s.Zone(domain, []netip.Addr{netip.MustParseAddr("192.0.2.2")})
		if err != nil {
			refuse(w, operator.Invalid, field, err.Error(), "change it")
			return
		}
		now = zone.DnsSettings{Domain: domain, Mail: z.Mail, Servers: z.Servers, Addresses: z.Addresses, Records: s.Records,
			Public: s.Public, Serial: 7, Since: f.now, By: "admin", Lines: z.Delegation()}
		reply(w, 200, now)
	})
	mux.HandleFunc("GET "+path+"/check", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, 200, zone.DnsCheck{Right: !now.Public, Looks: []zone.DnsLooks{{What: "name servers of " + domain, Want: "ns1." + domain,
			Found: "nothing", Right: !now.Public, Next: "tell the registrar"}}})
	})
	mux.HandleFunc("DELETE "+path, func(w http.ResponseWriter, _ *http.Request) {
		now = zone.DnsSettings{Domain: domain}
		w.WriteHeader(204)
	})
}
