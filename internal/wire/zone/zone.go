// Package zone is the cluster's domain in the DNS: what the resolvers answer, and what people read and say of it.
//
// Owns: the zone as resolvers are told it, the settings it is made of, and their rules of form.
// In: what an admin writes.
// Out: a Zone; resources of the API; an error that names the field.
// Never: asks or answers the DNS (orchestrator/zones and orchestrator/resolver/nameserver do).
package zone

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Limits of a zone.
const (
	MaxServers   = 8
	MaxAddresses = 16
	MaxRecords   = 128 // that admins say; those for a CA come beside them
	maxTexts     = 8
	maxValue     = 1024 // bytes of a record's value
	maxMail      = 254
)

// Zone is the cluster's domain as the resolvers answer for it. Every name of it that is neither a server's nor a record's leads to
// Addresses, whether an environment has it or not: nobody learns from the DNS which names there are.
//
// History: 2026-11-28.
type Zone struct {
	Domain string `json:"domain,omitempty"` // "": none is served
	Serial uint32 `json:"serial,omitempty"` // grows with each change (RFC 1982)
	Mail   string `json:"mail,omitempty"`   // who answers for the zone
	// Servers are the zone's name servers; of one whose name is in the zone the addresses are here.
	Servers   []DnsServer  `json:"servers,omitempty"`
	Addresses []netip.Addr `json:"addresses,omitempty"` // of the resolvers as the world reaches them
	Records   []Record     `json:"records,omitempty"`
}

// DnsServer is a name server of the zone.
type DnsServer struct {
	Name      string       `json:"name" doc:"One label for a name in the cluster's domain, a whole name for any other"`
	Addresses []netip.Addr `json:"addresses,omitempty" doc:"Of a name in the domain; left out: those of the resolvers"`
}

// Record is one record of the zone beside those that follow from servers and addresses.
type Record struct {
	Name  string `json:"name"` // whole, lower-case, without a trailing dot
	Type  string `json:"type"` // A, AAAA, TXT or CAA
	Value string `json:"value"`
	Brief bool   `json:"brief,omitempty"` // it goes soon: others keep it for a second only
}

// Validate says what is wrong with z, or nil.
func (z *Zone) Validate() error {
	if z == nil {
		return nil
	}
	if z.Domain == "" {
		if len(z.Servers)+len(z.Addresses)+len(z.Records) > 0 {
			return errors.New("zone: it has no domain, and yet something in it")
		}
		return nil
	}
	switch {
	case !isName(z.Domain, false) || len(z.Domain) > 200:
		return fmt.Errorf("zone: domain %q: want lower-case DNS labels joined by dots", z.Domain)
	case ValidateMail(z.Mail) != nil:
		return fmt.Errorf("zone %s: %v", z.Domain, ValidateMail(z.Mail))
	case len(z.Servers) == 0 || len(z.Servers) > MaxServers:
		return fmt.Errorf("zone %s: it has %d servers, want 1 to %d", z.Domain, len(z.Servers), MaxServers)
	case len(z.Addresses) == 0:
		return fmt.Errorf("zone %s: it has no addresses of resolvers", z.Domain)
	case len(z.Records) > MaxRecords+maxTexts:
		return fmt.Errorf("zone %s: it has %d records, at most %d", z.Domain, len(z.Records), MaxRecords+maxTexts)
	}
	if err := validateAddresses("addresses", z.Addresses); err != nil {
		return fmt.Errorf("zone %s: %v", z.Domain, err)
	}
	seen := map[string]bool{}
	for i, s := range z.Servers {
		inside := strings.HasSuffix(s.Name, "."+z.Domain)
		switch {
		case !isName(s.Name, false) || seen[s.Name] || s.Name == z.Domain:
			return fmt.Errorf("zone %s: servers[%d]: %q: want a name, each once, other than the domain", z.Domain, i, s.Name)
		case inside && strings.Contains(strings.TrimSuffix(s.Name, "."+z.Domain), "."):
			return fmt.Errorf("zone %s: servers[%d]: %q: want one label below the domain", z.Domain, i, s.Name)
		case inside && len(s.Addresses) == 0:
			return fmt.Errorf("zone %s: servers[%d]: %s has no address", z.Domain, i, s.Name)
		case !inside && len(s.Addresses) > 0:
			return fmt.Errorf("zone %s: servers[%d]: %s is in another zone, which says its addresses: leave them out", z.Domain, i, s.Name)
		}
		if err := validateAddresses("addresses", s.Addresses); err != nil {
			return fmt.Errorf("zone %s: servers[%d]: %v", z.Domain, i, err)
		}
		seen[s.Name] = true
	}
	for i, r := range z.Records {
		if err := r.validate(z.Domain); err != nil {
			return fmt.Errorf("zone %s: records[%d]: %v", z.Domain, i, err)
		}
		if (r.Type == "A" || r.Type == "AAAA") && seen[r.Name] {
			return fmt.Errorf("zone %s: records[%d]: %s is a name server: say its addresses there", z.Domain, i, r.Name)
		}
	}
	return nil
}

func (r Record) validate(domain string) error {
	if !isName(r.Name, true) || r.Name != domain && !strings.HasSuffix(r.Name, "."+domain) {
		return fmt.Errorf("%q: want a name in %s, in lower case", r.Name, domain)
	}
	if len(r.Value) > maxValue {
		return fmt.Errorf("%s: its value has %d bytes, at most %d", r.Name, len(r.Value), maxValue)
	}
	switch r.Type {
	case "A", "AAAA":
		a, err := netip.ParseAddr(r.Value)
		if err != nil || a.Is4() != (r.Type == "A") || a.Is4In6() || a.Zone() != "" {
			return fmt.Errorf("%s %s: %q is no such address", r.Name, r.Type, r.Value)
		}
		if r.Name == domain {
			return fmt.Errorf("%s %s: the domain itself has the resolvers' addresses: say those", r.Name, r.Type)
		}
	case "TXT":
		if r.Value == "" || strings.ContainsFunc(r.Value, func(c rune) bool { return c < ' ' || c > '~' }) {
			return fmt.Errorf("%s TXT: want a text of ASCII characters", r.Name)
		}
	case "CAA":
		if _, _, _, err := r.CAA(); err != nil {
			return fmt.Errorf("%s CAA: %v", r.Name, err)
		}
	default:
		return fmt.Errorf("%s: type %q: want A, AAAA, TXT or CAA", r.Name, r.Type)
	}
	return nil
}

// CAA are the parts of a CAA record's value (RFC 8659, section 4.1.1), such as `0 issue "ca.example"`.
func (r Record) CAA() (flag uint8, tag, value string, err error) {
	first, rest, _ := strings.Cut(r.Value, " ")
	tag, value, ok := strings.Cut(strings.TrimSpace(rest), " ")
	value = strings.Trim(strings.TrimSpace(value), `"`)
	switch {
	case first != "0" && first != "128":
		err = fmt.Errorf("%q: want a flag, 0 or 128, a tag and a value", r.Value)
	case !ok || tag == "" || len(tag) > 15 || strings.Trim(tag, "abcdefghijklmnopqrstuvwxyz0123456789") != "":
		err = fmt.Errorf("%q: want a flag, a tag such as issue, and a value", r.Value)
	case strings.ContainsFunc(value, func(c rune) bool { return c < ' ' || c > '~' || c == '\\' || c == '"' }):
		err = fmt.Errorf("%q: its value has characters that no CA has", r.Value)
	}
	if first == "128" {
		flag = 128
	}
	return flag, tag, value, err
}

// ParseRecord reads what an admin writes: NAME TYPE VALUE, the name being @ for the domain itself, or without the domain behind it.
func ParseRecord(text, domain string) (Record, error) {
	parts := strings.SplitN(strings.TrimSpace(text), " ", 3)
	if len(parts) != 3 {
		return Record{}, fmt.Errorf("%q: want a name, a type and a value, such as: _dmarc TXT v=DMARC1; p=reject", text)
	}
	r := Record{Name: strings.ToLower(parts[0]) + "." + domain, Type: strings.ToUpper(parts[1]), Value: strings.TrimSpace(parts[2])}
	if parts[0] == "@" {
		r.Name = domain
	}
	if n := len(r.Value); r.Type == "TXT" && n > 1 && r.Value[0] == '"' && r.Value[n-1] == '"' {
		r.Value = r.Value[1 : n-1]
	}
	return r, r.validate(domain)
}

// isName tells whether s is DNS labels joined by dots, lower-case, without a trailing dot; with underscore also those that are no hosts'.
func isName(s string, underscore bool) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && (c != '_' || !underscore) {
				return false
			}
		}
	}
	return true
}

// ValidateMail says why s can't stand in an SOA record (RFC 1035, section 8), or nil.
func ValidateMail(s string) error {
	local, host, ok := strings.Cut(s, "@")
	bad := func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("._+-", c)
	}
	if !ok || local == "" || len(local) > 63 || len(s) > maxMail || strings.ContainsFunc(local, bad) ||
		!isName(strings.ToLower(host), false) {
		return fmt.Errorf("mail %q: want an address such as hostmaster@example.com", s)
	}
	return nil
}

func validateAddresses(field string, list []netip.Addr) error {
	if len(list) > MaxAddresses {
		return fmt.Errorf("%s: there are %d, at most %d", field, len(list), MaxAddresses)
	}
	for i, a := range list {
		if !a.IsValid() || a.IsUnspecified() || a.IsMulticast() || a.Zone() != "" || a.Is4In6() || slices.Contains(list[:i], a) {
			return fmt.Errorf("%s: %s is no address of a server, or is there twice", field, a)
		}
	}
	return nil
}
