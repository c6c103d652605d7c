package network

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/host"
)

// zone is answered from Peers; everything else is forwarded.
const zone = "internal."

// DNS is the server containers ask, on Gateway port 53.
type DNS struct {
	Addr     string          // "" is Gateway:53
	Upstream func() []string // host:port of the servers everything else is forwarded to, in order
	Log      *slog.Logger

	names atomic.Pointer[map[string][]netip.Addr]
}

// Set makes names the answers for the zone.
func (d *DNS) Set(names []host.Name) {
	m := make(map[string][]netip.Addr, len(names))
	for _, n := range names {
		m[strings.ToLower(n.Name)+"."] = n.Addrs
	}
	d.names.Store(&m)
}

// Run serves until ctx ends. It listens before any veth carries the address (IP_FREEBIND), and again whenever listening breaks.
func (d *DNS) Run(ctx context.Context) error {
	for n := 0; ctx.Err() == nil; n++ {
		if err := d.serve(ctx); err != nil && ctx.Err() == nil {
			logging.Or(d.Log).Warn("DNS does not listen", logging.Err, err)
		}
		run.Wait(ctx, run.Backoff(n, time.Second, 30*time.Second, 0.5))
	}
	return nil
}

func (d *DNS) serve(ctx context.Context) error {
	at := d.Addr
	if at == "" {
		at = netip.AddrPortFrom(Gateway, 53).String()
	}
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var serr error
		err := c.Control(func(fd uintptr) { serr = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_FREEBIND, 1) })
		return errors.Join(err, serr)
	}}
	pc, err := lc.ListenPacket(ctx, "udp", at)
	if err != nil {
		return err
	}
	l, err := lc.Listen(ctx, "tcp", pc.LocalAddr().String())
	if err != nil {
		pc.Close()
		return err
	}
	h := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) { w.WriteMsg(d.answer(ctx, q, w.LocalAddr().Network())) })
	udp := &dns.Server{PacketConn: pc, Handler: h}
	tcp := &dns.Server{Listener: l, Handler: h, ReadTimeout: 5 * time.Second, WriteTimeout: 5 * time.Second}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(udp.ActivateAndServe)
	g.Go(tcp.ActivateAndServe)
	g.Go(func() error {
		<-gctx.Done()
		pc.Close()
		l.Close()
		return nil
	})
	return g.Wait()
}

// answer is the reply to one query.
func (d *DNS) answer(ctx context.Context, q *dns.Msg, network string) *dns.Msg {
	r := new(dns.Msg)
	if len(q.Question) != 1 || q.Opcode != dns.OpcodeQuery {
		return r.SetRcode(q, dns.RcodeNotImplemented)
	}
	name := strings.ToLower(q.Question[0].Name)
	if !dns.IsSubDomain(zone, name) {
		return d.forward(ctx, q, network)
	}
	r.SetReply(q)
	r.Authoritative, r.RecursionAvailable = true, true
	names := d.names.Load()
	if names == nil {
		return r.SetRcode(q, dns.RcodeServerFailure) // no Peers yet: the name may well exist
	}
	addrs, ok := (*names)[name]
	if !ok {
		r.SetRcode(q, dns.RcodeNameError)
		r.Ns = []dns.RR{soa()}
		return r
	}
	for _, a := range addrs {
		hdr := dns.RR_Header{Name: q.Question[0].Name, Class: dns.ClassINET, Ttl: 1}
		switch {
		case a.Is4() && q.Question[0].Qtype == dns.TypeA:
			hdr.Rrtype = dns.TypeA
			r.Answer = append(r.Answer, &dns.A{Hdr: hdr, A: a.AsSlice()})
		case a.Is6() && q.Question[0].Qtype == dns.TypeAAAA:
			hdr.Rrtype = dns.TypeAAAA
			r.Answer = append(r.Answer, &dns.AAAA{Hdr: hdr, AAAA: a.AsSlice()})
		}
	}
	if len(r.Answer) == 0 {
		r.Ns = []dns.RR{soa()}
	}
	if network == "udp" {
		size := dns.MinMsgSize
		if o := q.IsEdns0(); o != nil {
			size = int(o.UDPSize())
		}
		r.Truncate(size)
	}
	return r
}

// soa bounds how long a negative answer is kept (RFC 2308).
func soa() dns.RR {
	return &dns.SOA{Hdr: dns.RR_Header{Name: zone, Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: 1}, Ns: "ns." + zone, Mbox: "host." + zone,
		Serial: 1, Refresh: 1, Retry: 1, Expire: 1, Minttl: 1}
}

// forward asks the host's own servers, one after the other.
func (d *DNS) forward(ctx context.Context, q *dns.Msg, network string) *dns.Msg {
	if d.Upstream != nil {
		for _, server := range d.Upstream() {
			c := dns.Client{Net: network, Timeout: 2 * time.Second, UDPSize: 4096}
			ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
			r, _, err := c.ExchangeContext(ctx, q, server)
			cancel()
			if err == nil {
				return r
			}
		}
	}
	return new(dns.Msg).SetRcode(q, dns.RcodeServerFailure)
}

// Resolvers reads the name servers of a resolv.conf, as host:port. A file that is not there names none.
func Resolvers(path string) []string {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	var out []string
	for sc := bufio.NewScanner(f); sc.Scan(); {
		fields := strings.Fields(sc.Text())
		if len(fields) < 2 || fields[0] != "nameserver" {
			continue
		}
		if a, err := netip.ParseAddr(fields[1]); err == nil && a != Gateway {
			out = append(out, netip.AddrPortFrom(a, 53).String())
		}
	}
	return out
}

// ResolvConf is the /etc/resolv.conf of the containers of an environment.
func ResolvConf(env string) []byte {
	return fmt.Appendf(nil, "nameserver %s\nsearch %s.internal\noptions timeout:2 attempts:2\n", Gateway, env)
}
