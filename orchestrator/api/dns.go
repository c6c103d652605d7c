package api

import (
	"context"

	"hardnode.dev/internal/wire/zone"
	"hardnode.dev/orchestrator/authz"
)

// dnsOperations are those on the cluster's domain in the DNS.
func (s *Server) dnsOperations() {
	serve(s, route{"getDns", "GET", "/cluster/dns",
		"How the cluster answers for its domain in the DNS, and what the registrar is to be told", authz.Admin, 200},
		func(context.Context, caller, *none) (zone.DnsSettings, error) { return s.Zones.Settings(), nil })
	serve(s, route{"setDns", "PUT", "/cluster/dns", "Have the cluster answer for its domain in the DNS", authz.Admin, 200}, s.setDNS)
	serveWith(s, route{"removeDns", "DELETE", "/cluster/dns", "Answer for the domain no more; port 53 is closed", authz.Admin, 204},
		s.removeDNS)
	serve(s, route{"checkDns", "GET", "/cluster/dns/check",
		"Whether the world finds the domain here: name servers, their addresses, answers", authz.Admin, 200},
		func(ctx context.Context, _ caller, _ *none) (zone.DnsCheck, error) { return s.Zones.Check(ctx) })
}

func (s *Server) setDNS(ctx context.Context, c caller, in *body[zone.SetDnsSettings]) (zone.DnsSettings, error) {
	err := s.do(c, "dns.set", "cluster/dns", func() error { return s.Zones.Set(ctx, in.Body, c.Name) })
	if err == nil {
		s.Certify.Look()
	}
	return s.Zones.Settings(), err
}

func (s *Server) removeDNS(ctx context.Context, c caller, _ *none) (*none, error) {
	return nil, s.do(c, "dns.remove", "cluster/dns", func() error { return s.Zones.Remove(ctx) })
}
