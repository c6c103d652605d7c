package names

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"hardnode.dev/internal/wire/host"
)

func hostName(name string, addrs []netip.Addr) host.Name { return host.Name{Name: name, Addrs: addrs} }

// answers makes a server that answers with records; %s in them is the name asked for.
func answers(t *testing.T, change func(*dns.Msg), records ...string) string {
	return upstream(t, func(w dns.ResponseWriter, q *dns.Msg) {
		r := new(dns.Msg).SetReply(q)
		for _, text := range records {
			r.Answer = append(r.Answer, rr("%s", strings.ReplaceAll(text, "%s", q.Question[0].Name)))
		}
		if change != nil {
			change(r)
		}
		if size := dns.MinMsgSize; w.LocalAddr().Network() == "udp" {
			if o := q.IsEdns0(); o != nil {
				size = int(o.UDPSize())
			}
			r.Truncate(size)
		}
		w.WriteMsg(r)
	})
}

// TestForwardedIsCut: a CNAME and eight addresses with long names, to a client without EDNS, is compressed, and cut when even that is too
// long; over TCP it is whole. The other server's OPT stays outside.
func TestForwardedIsCut(t *testing.T) {
	target := strings.Repeat("a-rather-long-label-of-a-provider.", 2) + "cdn.example.net."
	records := []string{"%s 60 IN CNAME " + target}
	for i := range 8 {
		records = append(records, fmt.Sprintf("%s 60 IN A 198.51.100.%d", target, i))
	}
	for i := range 60 {
		records = append(records, fmt.Sprintf("%s 60 IN A 203.0.113.%d", target, i))
	}
	optIn := func(r *dns.Msg) {
		r.SetEdns0(4096, true)
		r.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_NSID{Code: dns.EDNS0NSID, Nsid: "abcd"}}
	}
	eight, all := answers(t, optIn, records[:9]...), answers(t, optIn, records...)
	for _, tt := range []struct {
		name      string
		up        string
		tcp       bool
		change    []func(*dns.Msg)
		records   int
		truncated bool
	}{
		{"eight fit once compressed", eight, false, nil, 9, false},
		{"more do not", all, false, nil, -1, true},
		{"EDNS takes them", all, false, []func(*dns.Msg){edns(0, 1400, false)}, 69, false},
		{"so does TCP", all, true, nil, 69, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := server(tt.up)
			s.limits.ask(hello, time.Now())
			_, later := s.begin(t.Context(), question("www.example.", dns.TypeA, tt.change...), hello, tt.tcp)
			out := later()
			m := new(dns.Msg)
			if err := m.Unpack(out); err != nil {
				t.Fatal(err)
			}
			if m.Truncated != tt.truncated || tt.records >= 0 && len(m.Answer) != tt.records || len(tt.change) == 0 && !tt.tcp &&
				len(out) > 512 {
				t.Errorf("got %d bytes, TC %v, %d records; want TC %v, %d records", len(out), m.Truncated, len(m.Answer), tt.truncated,
					tt.records)
			}
			if o := m.IsEdns0(); (o != nil) != (len(tt.change) > 0) || o != nil &&
				(len(o.Option) > 0 || o.Do() || o.UDPSize() != advertised) {
				t.Errorf("got OPT %v: want one of our own, only when the client sent one", o)
			}
		})
	}
}

// TestForwarded: what is passed on of other servers' answers.
func TestForwarded(t *testing.T) {
	rcode := func(n int) func(*dns.Msg) { return func(r *dns.Msg) { r.Rcode = n } }
	tests := []struct {
		name, ask string
		up        []string
		want      string
	}{
		{"a cloud's names are not ours", "ip-10-0-0-1.eu-west-1.compute.internal.", []string{answers(t, nil, "%s 60 IN A 10.0.0.1")},
			"NOERROR; ip-10-0-0-1.eu-west-1.compute.internal. A 10.0.0.1"},
		{"the client's case", "ExAmPle.COM.", []string{answers(t, func(r *dns.Msg) {
			r.Question[0].Name = "example.com."
			r.Answer[0].Header().Name = "example.com."
		}, "%s 60 IN A 192.0.2.1")}, "NOERROR; ExAmPle.COM. A 192.0.2.1"},
		{"aliases", "www.example.", []string{answers(t, nil, "%s 60 IN CNAME a.example.", "a.example. 60 IN A 192.0.2.1")},
			"NOERROR; www.example. CNAME a.example.; a.example. A 192.0.2.1"},
		{"nobody vouches here", "example.com.", []string{answers(t, func(r *dns.Msg) {
			r.AuthenticatedData, r.Authoritative = true, true
		}, "%s 60 IN A 192.0.2.1")}, "NOERROR; example.com. A 192.0.2.1"},
		{"a refusal is no answer: the next is asked", "example.com.", []string{answers(t, rcode(dns.RcodeRefused)),
			answers(t, rcode(dns.RcodeServerFailure)), answers(t, nil, "%s 60 IN A 192.0.2.1")}, "NOERROR; example.com. A 192.0.2.1"},
		{"NXDOMAIN is one", "example.com.", []string{answers(t, rcode(dns.RcodeNameError)), answers(t, nil, "%s 60 IN A 192.0.2.1")},
			"NXDOMAIN"},
		{"all refuse", "example.com.", []string{answers(t, rcode(dns.RcodeRefused))}, "REFUSED"},
		{"about EDNS between servers", "example.com.",
			[]string{answers(t, func(r *dns.Msg) { r.SetEdns0(512, false); r.Rcode = dns.RcodeBadCookie })}, "SERVFAIL"},
		{"a type nobody knows", "example.com.", []string{answers(t, nil, `%s 60 IN TYPE65280 \# 4 0a000001`)},
			`NOERROR; example.com. TYPE65280 \# 4 0a000001`},
		{"no data, with its SOA", "example.com.", []string{answers(t, func(r *dns.Msg) {
			r.Ns = []dns.RR{rr("example.com. 60 IN SOA a. b. 1 1 1 1 1")}
		})}, "NOERROR; /example.com. SOA"},

		{"rebinding: a container", "evil.example.", []string{answers(t, nil, "%s 1 IN A 10.96.1.10")}, "NOERROR"},
		{"rebinding: one of two", "evil.example.", []string{answers(t, nil, "%s 1 IN A 192.0.2.1", "%s 1 IN A 10.111.255.255")},
			"NOERROR; evil.example. A 192.0.2.1"},
		{"rebinding: behind an alias", "evil.example.",
			[]string{answers(t, nil, "%s 1 IN CNAME a.example.", "a.example. 1 IN A 10.96.1.10")},
			"NOERROR; evil.example. CNAME a.example."},
		{"rebinding: IPv6", "evil.example.", []string{answers(t, nil, "%s 1 IN AAAA fd48:4e00:0:1::a")}, "NOERROR"},
		{"rebinding: mapped", "evil.example.", []string{answers(t, nil, "%s 1 IN AAAA ::ffff:10.96.1.10")}, "NOERROR"},
		{"rebinding: NAT64", "evil.example.", []string{answers(t, nil, "%s 1 IN AAAA 64:ff9b::10.96.1.10")}, "NOERROR"},
		{"rebinding: a hint", "evil.example.", []string{answers(t, nil, "%s 1 IN HTTPS 1 . ipv4hint=192.0.2.1,10.96.1.10")}, "NOERROR"},
		{"rebinding: a user host", "evil.example.", []string{answers(t, nil, "%s 1 IN A 10.77.0.11")}, "NOERROR"},
		{"rebinding: a user host's other address", "evil.example.", []string{answers(t, nil, "%s 1 IN A 192.0.2.11")}, "NOERROR"},
		{"rebinding: this server", "evil.example.", []string{answers(t, nil, "%s 1 IN A 169.254.1.1")}, "NOERROR"},
		{"an infra host serves the cluster's domains", "hello.example.", []string{answers(t, nil, "%s 1 IN A 10.77.0.2")},
			"NOERROR; hello.example. A 10.77.0.2"},
		{"a container's own loopback means it no harm", "2.0.0.127.bl.example.", []string{answers(t, nil, "%s 1 IN A 127.0.0.2")},
			"NOERROR; 2.0.0.127.bl.example. A 127.0.0.2"},
		{"nobody outside says what our names are", "evil.example.",
			[]string{answers(t, nil, "%s 1 IN CNAME cp.hello.internal.", "cp.hello.internal. 1 IN A 192.0.2.66")},
			"NOERROR; evil.example. CNAME cp.hello.internal."},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := server(tt.up...)
			m := say(t, s, question(tt.ask, dns.TypeA), hello, false)
			if got := render(m); got != tt.want || m.AuthenticatedData || m.Question[0].Name != tt.ask {
				t.Errorf("got %q (AD %v), want %q", got, m.AuthenticatedData, tt.want)
			}
		})
	}
	s := server(answers(t, nil, "%s 1 IN A 10.96.1.10"))
	m := say(t, s, question("evil.example.", dns.TypeA, edns(0, 1232, false)), hello, false)
	if o := m.IsEdns0(); o == nil || len(o.Option) != 1 || o.Option[0].(*dns.EDNS0_EDE).InfoCode != dns.ExtendedErrorCodeBlocked {
		t.Errorf("got %v: want the reason (RFC 8914)", o)
	}
}

// TestUpstreamTruncates: what another server cuts is asked of it again over TCP (RFC 7766 5), so that the client need not.
func TestUpstreamTruncates(t *testing.T) {
	up := upstream(t, func(w dns.ResponseWriter, q *dns.Msg) {
		r := new(dns.Msg).SetReply(q)
		if r.Truncated = w.LocalAddr().Network() == "udp"; !r.Truncated {
			r.Answer = []dns.RR{rr("%s 60 IN A 192.0.2.1", q.Question[0].Name)}
		}
		w.WriteMsg(r)
	})
	if got, want := render(say(t, server(up), question("example.com.", dns.TypeA), hello, false)),
		"NOERROR; example.com. A 192.0.2.1"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	pc, err := net.ListenPacket("udp", "127.0.0.1:0") // no TCP
	if err != nil {
		t.Fatal(err)
	}
	u := &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		r := new(dns.Msg).SetReply(q)
		r.Truncated = true
		w.WriteMsg(r)
	})}
	go u.ActivateAndServe()
	t.Cleanup(func() { pc.Close() })
	if got, want := render(say(t, server(pc.LocalAddr().String()), question("example.com.", dns.TypeA), hello, false)),
		"NOERROR; TC"; got != want {
		t.Errorf("a server without TCP: got %q, want %q", got, want)
	}
}

// TestOldUpstream: a server that does not know EDNS is asked without it (RFC 6891 7).
func TestOldUpstream(t *testing.T) {
	up := upstream(t, func(w dns.ResponseWriter, q *dns.Msg) {
		r := new(dns.Msg)
		if q.IsEdns0() != nil {
			w.WriteMsg(r.SetRcodeFormatError(q))
			return
		}
		r.SetReply(q)
		r.Answer = []dns.RR{rr("%s 60 IN A 192.0.2.1", q.Question[0].Name)}
		w.WriteMsg(r)
	})
	if got, want := render(say(t, server(up), question("example.com.", dns.TypeA), hello, false)),
		"NOERROR; example.com. A 192.0.2.1"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestGuessedAnswers: answers under another number, to another question, or that are queries are not taken; each query has a number and a
// port of its own (RFC 5452 9).
func TestGuessedAnswers(t *testing.T) {
	var mu sync.Mutex
	ids, ports := map[uint16]bool{}, map[string]bool{}
	up := upstream(t, func(w dns.ResponseWriter, q *dns.Msg) {
		mu.Lock()
		ids[q.Id], ports[w.RemoteAddr().String()] = true, true
		mu.Unlock()
		for _, change := range []func(*dns.Msg){
			func(r *dns.Msg) { r.Id++ },
			func(r *dns.Msg) { r.Question[0].Name = "other.example." },
			func(r *dns.Msg) { r.Question[0].Qtype = dns.TypeAAAA },
			func(r *dns.Msg) { r.Question = nil },
			func(r *dns.Msg) { r.Response = false },
			func(r *dns.Msg) { r.Opcode = dns.OpcodeNotify },
		} {
			r := new(dns.Msg).SetReply(q)
			r.Answer = []dns.RR{rr("%s 60 IN A 192.0.2.66", q.Question[0].Name)}
			change(r)
			w.WriteMsg(r)
		}
		r := new(dns.Msg).SetReply(q)
		r.Answer = []dns.RR{rr("%s 60 IN A 192.0.2.1", q.Question[0].Name)}
		w.WriteMsg(r)
	})
	s := server(up)
	for range 50 {
		raw := question("example.com.", dns.TypeA, func(m *dns.Msg) { m.Id = 7 })
		if got, want := render(say(t, s, raw, hello, false)), "NOERROR; example.com. A 192.0.2.1"; got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if len(ids) < 45 || len(ports) < 25 {
		t.Errorf("50 queries had %d numbers and %d ports", len(ids), len(ports))
	}
}

// TestLongAnswerOverUDP: a server that sends more than it was asked for is asked again over TCP.
func TestLongAnswerOverUDP(t *testing.T) {
	up := upstream(t, func(w dns.ResponseWriter, q *dns.Msg) {
		r := new(dns.Msg).SetReply(q)
		for i := range 250 {
			r.Answer = append(r.Answer, rr("%s 60 IN TXT %q", q.Question[0].Name, fmt.Sprintf("something long %d", i)))
		}
		w.WriteMsg(r)
	})
	m := say(t, server(up), question("example.com.", dns.TypeTXT), hello, true)
	if len(m.Answer) != 250 {
		t.Errorf("over TCP: got %d records, want all 250", len(m.Answer))
	}
	if m = say(t, server(up), question("example.com.", dns.TypeTXT), hello, false); !m.Truncated {
		t.Errorf("over UDP: got %s, want TC", render(m))
	}
}
