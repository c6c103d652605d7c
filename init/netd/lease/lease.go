// Package lease keeps a DHCPv4 lease on one link (RFC 2131).
//
// Owns: asking, renewing at half time, asking anew when the lease has run out.
// In: a link's name.
// Out: leases, each through a function; a zero Lease when it is gone.
// Never: sets an address (package link does).
package lease

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
)

// Lease is what a server gave.
type Lease struct {
	Address netip.Prefix
	Router  netip.Addr
	DNS     []netip.Addr
	NTP     []netip.Addr
	MTU     int // bytes; 0: not said, or below what IPv6 needs
	Time    time.Duration
}

// FromACK reads a server's answer.
func FromACK(ack *dhcpv4.DHCPv4) (Lease, error) {
	ip, ok := netip.AddrFromSlice(ack.YourIPAddr.To4())
	if !ok || ip.IsUnspecified() {
		return Lease{}, fmt.Errorf("read lease: no address in it")
	}
	ones, bits := ack.SubnetMask().Size()
	if bits != 32 || ones == 0 {
		ones = 24 // RFC 2132 lets a server leave the mask out; no one does, and a host needs one
	}
	l := Lease{Address: netip.PrefixFrom(ip, ones), Time: ack.IPAddressLeaseTime(time.Hour)}
	addrs := func(ips []byte) netip.Addr { a, _ := netip.AddrFromSlice(ips); return a }
	for _, r := range ack.Router() {
		if !l.Router.IsValid() {
			l.Router = addrs(r.To4())
		}
	}
	for _, d := range ack.DNS() {
		l.DNS = append(l.DNS, addrs(d.To4()))
	}
	for _, n := range ack.NTPServers() {
		l.NTP = append(l.NTP, addrs(n.To4()))
	}
	if raw := ack.Options.Get(dhcpv4.OptionInterfaceMTU); len(raw) == 2 {
		if mtu := int(raw[0])<<8 | int(raw[1]); mtu >= 1280 {
			l.MTU = mtu
		}
	}
	return l, nil
}

const (
	attempt   = 3 * time.Second // for one answer
	attempts  = 3
	retryMin  = time.Second
	retryMax  = time.Minute
	shortest  = 30 * time.Second // a lease is never renewed more often
	unlimited = 1<<32 - 1        // seconds: a lease for ever (RFC 2131, 3.3)
)

// renewIn is how long after it was got a lease is renewed: half of its time, and later half of what is left, as RFC 2131 4.4.5 has it.
func renewIn(lease, since time.Duration) time.Duration {
	if lease >= unlimited*time.Second {
		return 24 * time.Hour
	}
	return max((lease-since)/2, min(shortest, lease/2))
}

// Keep asks for a lease and keeps it until ctx ends. use is told of every lease, and of its end by a zero one; problem of what went wrong.
func Keep(ctx context.Context, log *slog.Logger, link string, use func(Lease) error, problem func(error)) error {
	log = logging.Or(log).With("link", link)
	for n := 0; ctx.Err() == nil; n++ {
		held, err := one(ctx, log, link, use)
		if ctx.Err() != nil {
			return nil
		}
		problem(err)
		if held {
			n = 0
			if err := use(Lease{}); err != nil {
				log.Error("take the lease's address away", logging.Err, err)
			}
		}
		if n == 0 || n%10 == 0 {
			log.Warn("no DHCP lease", logging.Err, err)
		}
		run.Wait(ctx, run.Backoff(n, retryMin, retryMax, rand.Float64()))
	}
	return nil
}

// one gets a lease and keeps it as long as it can; held says whether there was one.
func one(ctx context.Context, log *slog.Logger, link string, use func(Lease) error) (held bool, err error) {
	client, err := nclient4.New(link, nclient4.WithTimeout(attempt), nclient4.WithRetry(attempts))
	if err != nil {
		return false, fmt.Errorf("ask for a lease on %s: %w", link, err)
	}
	defer client.Close()
	got, err := client.Request(ctx, dhcpv4.WithRequestedOptions(dhcpv4.OptionNTPServers, dhcpv4.OptionInterfaceMTU))
	if err != nil {
		return false, fmt.Errorf("ask for a lease on %s: %w", link, err)
	}
	for {
		l, err := FromACK(got.ACK)
		if err != nil {
			return held, err
		}
		if err := use(l); err != nil {
			return true, err
		}
		if !held {
			log.Info("DHCP lease", logging.Addr, l.Address, "router", l.Router, "for", l.Time)
		}
		held = true
		began := time.Now()
		for {
			if !run.Wait(ctx, renewIn(l.Time, time.Since(began))) {
				return true, ctx.Err()
			}
			next, err := client.Renew(ctx, got)
			if err == nil {
				got = next
				break
			}
			if time.Since(began) >= l.Time {
				return true, fmt.Errorf("lease of %s on %s ran out: %w", l.Address, link, err)
			}
			log.Warn("renew DHCP lease", logging.Err, err)
		}
	}
}
