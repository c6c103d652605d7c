package store

import (
	"net/netip"
	"time"

	"hardnode.dev/internal/wire/zone"
)

// DNS is how the cluster answers for its domain in the DNS. Orchestrators before 2026-11-28 keep it, and answer nothing.
type DNS struct {
	Domain    string           `json:"domain"` // the cluster's, when this was said: another one is not answered for by it
	Mail      string           `json:"mail"`
	Servers   []zone.DnsServer `json:"servers"` // with whole names
	Addresses []netip.Addr     `json:"addresses"`
	Records   []string         `json:"records,omitempty"` // as admins wrote them: zone.ParseRecord
	Public    bool             `json:"public,omitempty"`  // the world finds the domain here
	Since     time.Time        `json:"since"`
	By        string           `json:"by"`
}
