package lease

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"net"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
	"github.com/insomniacslk/dhcp/dhcpv4/server4"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
)

const (
	attempt  = 3 * time.Second // for one answer to the first questions; doubled each time
	attempts = 3
	patience = 10 * time.Second // for an answer while there is a lease
	retryMin = time.Second
	retryMax = time.Minute
)

// wanted is what servers are asked for, in the order of importance: 121 must come before 3 (RFC 3442).
var wanted = dhcpv4.WithOption(dhcpv4.OptParameterRequestList(dhcpv4.OptionClasslessStaticRoute, dhcpv4.OptionSubnetMask,
	dhcpv4.OptionRouter, dhcpv4.OptionDomainNameServer, dhcpv4.OptionInterfaceMTU, dhcpv4.OptionNTPServers, dhcpv4.OptionRenewTimeValue,
	dhcpv4.OptionRebindingTimeValue))

// errRefused: a server says that the address is not (or no longer) this host's (DHCPNAK). errOut: its time is over.
var (
	errRefused = errors.New("the server refuses the address")
	errOut     = errors.New("its time is over")
)

// Keep asks for a lease and keeps it until ctx ends. use gets every lease, and a zero one at its end; problem gets what went wrong.
func Keep(ctx context.Context, log *slog.Logger, link string, use func(Lease) error, problem func(error)) error {
	log = logging.Or(log).With("link", link)
	for n := 0; ctx.Err() == nil; n++ {
		held, err := one(ctx, log, link, use)
		if ctx.Err() != nil {
			return nil
		}
		problem(err)
		if held {
			log.Warn("DHCP lease ended", logging.Err, err)
			if err := use(Lease{}); err != nil {
				log.Error("take the lease's address away", logging.Err, err)
			}
			if errors.Is(err, errRefused) || errors.Is(err, errOut) {
				n = -1 // ask anew at once
				continue
			}
		}
		if n%10 == 0 {
			log.Warn("no DHCP lease", logging.Err, err)
		}
		run.Wait(ctx, run.Backoff(n, retryMin, retryMax, mathrand.Float64()))
	}
	return nil
}

// one gets a lease and keeps it as long as it can; held says whether there was one.
func one(ctx context.Context, log *slog.Logger, link string, use func(Lease) error) (held bool, err error) {
	began := time.Now()
	ack, err := first(ctx, link)
	if err != nil {
		return false, fmt.Errorf("ask for a lease on %s: %w", link, err)
	}
	for {
		l, err := FromACK(ack)
		if err != nil {
			return held, err
		}
		if err := use(l); err != nil {
			return true, err
		}
		if !held {
			log.Info("DHCP lease", logging.Addr, l.Address, "routes", len(l.Routes), "for", l.Time)
		}
		held = true
		if ack, began, err = longer(ctx, log, link, l, ack, began); err != nil {
			return true, err
		}
	}
}

// first asks all servers (DISCOVER, REQUEST).
func first(ctx context.Context, link string) (*dhcpv4.DHCPv4, error) {
	client, err := nclient4.New(link, nclient4.WithTimeout(attempt), nclient4.WithRetry(attempts))
	if err != nil {
		return nil, err
	}
	defer client.Close() // it reads every packet of the link: not kept while there is nothing to ask
	got, err := client.Request(ctx, wanted)
	if err != nil {
		return nil, err
	}
	return got.ACK, nil
}

// longer waits and asks for more time as long as the lease lasts. It returns the new answer and when it was asked for.
func longer(ctx context.Context, log *slog.Logger, link string, l Lease, ack *dhcpv4.DHCPv4,
	began time.Time) (*dhcpv4.DHCPv4, time.Time, error) {
	why := errors.New("no server answered")
	for last := time.Duration(0); ; {
		at, do := l.due(last)
		if !run.Wait(ctx, time.Until(began.Add(at))) {
			return nil, began, ctx.Err()
		}
		now := time.Now()
		last = now.Sub(began)
		if do = l.late(do, last); do == giveUp {
			return nil, began, fmt.Errorf("lease of %s on %s: %w: %v", l.Address.Addr(), link, errOut, why)
		}
		next, _ := l.due(last)
		tctx, cancel := context.WithTimeout(ctx, min(patience, max(time.Until(began.Add(next)), time.Second)))
		got, err := again(tctx, link, l, ack, do)
		cancel()
		switch {
		case err == nil:
			return got, now, nil
		case errors.Is(err, errRefused):
			return nil, began, fmt.Errorf("lease of %s on %s: %w", l.Address.Addr(), link, err)
		case ctx.Err() != nil:
			return nil, began, ctx.Err()
		}
		why = err
		log.Warn("renew DHCP lease", "by", do.String(), logging.Err, err)
	}
}

// again asks once for more time for the address: its server from the address itself, or all by broadcast.
func again(ctx context.Context, link string, l Lease, ack *dhcpv4.DHCPv4, do how) (*dhcpv4.DHCPv4, error) {
	options := []nclient4.ClientOpt{nclient4.WithTimeout(patience), nclient4.WithRetry(1)}
	to := nclient4.DefaultServers
	match := nclient4.IsMessageType(dhcpv4.MessageTypeAck, dhcpv4.MessageTypeNak)
	if do == renew && l.Server.IsValid() {
		to = &net.UDPAddr{IP: l.Server.AsSlice(), Port: dhcpv4.ServerPort}
		match = nclient4.IsAll(match, func(m *dhcpv4.DHCPv4) bool {
			return m.ServerIdentifier() == nil || m.ServerIdentifier().Equal(to.IP)
		})
	}
	client, err := direct(link, do == renew && l.Server.IsValid(), options...)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	var id dhcpv4.TransactionID
	rand.Read(id[:])
	q, err := dhcpv4.NewRenewFromAck(ack, wanted, dhcpv4.WithTransactionID(id),
		dhcpv4.WithOption(dhcpv4.OptMaxMessageSize(nclient4.MaxMessageSize)))
	if err != nil {
		return nil, err
	}
	got, err := client.SendAndRead(ctx, to, q, match)
	if err != nil {
		return nil, err
	}
	if got.MessageType() == dhcpv4.MessageTypeNak {
		return nil, fmt.Errorf("%w (it says %q)", errRefused, got.Message())
	}
	if !got.Options.Has(dhcpv4.OptionSubnetMask) && ack.Options.Has(dhcpv4.OptionSubnetMask) { // some servers say only what changes
		got.Options.Update(dhcpv4.OptGeneric(dhcpv4.OptionSubnetMask, ack.Options.Get(dhcpv4.OptionSubnetMask)))
	}
	return got, nil
}

// direct is a client that sends from the link's address, and hears what is sent to it and to all: a refusal is (RFC 2131 4.1). Not direct:
// one that sends to all without an address of its own.
func direct(link string, direct bool, options ...nclient4.ClientOpt) (*nclient4.Client, error) {
	if !direct {
		return nclient4.New(link, options...)
	}
	card, err := net.InterfaceByName(link)
	if err != nil {
		return nil, err
	}
	c, err := server4.NewIPv4UDPConn(link, &net.UDPAddr{IP: net.IPv4zero, Port: dhcpv4.ClientPort})
	if err != nil {
		return nil, err
	}
	client, err := nclient4.NewWithConn(c, card.HardwareAddr, options...)
	if err != nil {
		c.Close()
		return nil, err
	}
	return client, nil
}

// String is the state's name in RFC 2131.
func (h how) String() string { return [...]string{"renewing", "rebinding", "giving up"}[h] }
