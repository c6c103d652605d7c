package zone

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// DnsSettings is how the cluster's own DNS answers for its domain; without Servers it answers for none.
type DnsSettings struct {
	Domain    string       `json:"domain" doc:"The cluster's domain"`
	Mail      string       `json:"mail,omitempty"`
	Servers   []DnsServer  `json:"servers,omitempty" doc:"The domain's name servers, with whole names: what the registrar is to be told"`
	Addresses []netip.Addr `json:"addresses,omitempty" doc:"Where all other names of the domain lead to"`
	Records   []string     `json:"records,omitempty"`
	Public    bool         `json:"public,omitempty" doc:"The world finds the domain here: the CA is asked for its certificate by DNS-01"`
	Serial    uint32       `json:"serial,omitempty"`
	Since     time.Time    `json:"since,omitzero"`
	By        string       `json:"by,omitempty"`
	// Lines are for the parent zone, in the form of a zone file.
	Lines []string `json:"lines,omitempty" doc:"NS and glue records for whoever runs the domain above, such as the registrar"`
}

// SetDnsSettings has the cluster's DNS answer for its domain, in place of what it did before.
type SetDnsSettings struct {
	Mail      string       `json:"mail,omitempty" maxLength:"254" doc:"Of whom answers for the domain; left out: hostmaster@ the domain"`
	Servers   []DnsServer  `json:"servers,omitempty" maxItems:"8" doc:"The domain's name servers; left out: ns1 and ns2, at the first two addresses"`
	Addresses []netip.Addr `json:"addresses,omitempty" maxItems:"16" doc:"Of the resolvers as the world reaches them; left out: the external addresses of the hosts that run them"`
	Records   []string     `json:"records,omitempty" maxItems:"128" doc:"Further records: NAME TYPE VALUE with the types A, AAAA, TXT and CAA; @ is the domain itself"`
	Public    bool         `json:"public,omitempty" doc:"The world finds the domain here: the CA, if one is named, is asked for its certificate by DNS-01"`
}

// Zone is the zone that s makes of a domain whose resolvers have these addresses. The error names the field.
func (s SetDnsSettings) Zone(domain string, resolvers []netip.Addr) (z *Zone, field string, err error) {
	z = &Zone{Domain: domain, Mail: s.Mail, Addresses: s.Addresses}
	if z.Mail == "" {
		z.Mail = "hostmaster@" + domain
	} else if err := ValidateMail(s.Mail); err != nil {
		return nil, "mail", err
	}
	if len(z.Addresses) == 0 {
		z.Addresses = resolvers
	}
	if len(z.Addresses) == 0 {
		return nil, "addresses", fmt.Errorf("addresses: nobody has said at which address the world reaches the cluster's resolvers")
	}
	if err := validateAddresses("addresses", z.Addresses); err != nil {
		return nil, "addresses", err
	}
	servers := s.Servers
	if len(servers) == 0 {
		servers = usual(z.Addresses)
	}
	for _, server := range servers {
		name := strings.ToLower(strings.TrimSuffix(server.Name, "."))
		if name != "" && !strings.Contains(name, ".") {
			name += "." + domain
		}
		if len(server.Addresses) == 0 && strings.HasSuffix(name, "."+domain) {
			server.Addresses = z.Addresses
		}
		z.Servers = append(z.Servers, DnsServer{Name: name, Addresses: server.Addresses})
	}
	if err := z.Validate(); err != nil {
		return nil, "servers", err
	}
	if len(s.Records) > MaxRecords {
		return nil, "records", fmt.Errorf("records: there are %d, at most %d", len(s.Records), MaxRecords)
	}
	for _, text := range s.Records {
		r, err := ParseRecord(text, domain)
		if err != nil {
			return nil, "records", err
		}
		z.Records = append(z.Records, r)
	}
	if err := z.Validate(); err != nil {
		return nil, "records", err
	}
	return z, "", nil
}

// usual are the servers where nobody says which: registrars want two, and each has one address of each family.
func usual(addresses []netip.Addr) []DnsServer {
	of := [2][]netip.Addr{}
	for _, is4 := range []bool{true, false} {
		var family []netip.Addr
		for _, a := range addresses {
			if a.Is4() == is4 {
				family = append(family, a)
			}
		}
		for i := range of {
			if len(family) > 0 {
				of[i] = append(of[i], family[i%len(family)])
			}
		}
	}
	return []DnsServer{{Name: "ns1", Addresses: of[0]}, {Name: "ns2", Addresses: of[1]}}
}

// Delegation are the records of the zone above that lead to z: NS, and the addresses of servers whose names are in z (glue; RFC 1034,
// section 4.2.1).
func (z *Zone) Delegation() (lines []string) {
	for _, s := range z.Servers {
		lines = append(lines, fmt.Sprintf("%s. 3600 IN NS %s.", z.Domain, s.Name))
	}
	for _, s := range z.Servers {
		for _, a := range s.Addresses {
			kind := "AAAA"
			if a.Is4() {
				kind = "A"
			}
			lines = append(lines, fmt.Sprintf("%s. 3600 IN %s %s", s.Name, kind, a))
		}
	}
	return lines
}

// DnsCheck is whether the world finds the domain here.
type DnsCheck struct {
	Right bool       `json:"right" doc:"All that was looked at is as it must be"`
	Looks []DnsLooks `json:"looks"`
}

// DnsLooks is one thing that was looked at.
type DnsLooks struct {
	What  string `json:"what"`
	Want  string `json:"want"`
	Found string `json:"found"`
	Right bool   `json:"right"`
	Next  string `json:"next,omitempty" doc:"What to do, if it is not right"`
}
