package network

import (
	"context"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"hardnode.dev/internal/wire/host"
)

func ask(t *testing.T, d *DNS, name string, kind uint16) string {
	t.Helper()
	q := new(dns.Msg)
	q.SetQuestion(name, kind)
	r := d.answer(context.Background(), q, "udp")
	var out []string
	for _, rr := range r.Answer {
		out = append(out, strings.ReplaceAll(rr.String(), "\t", " "))
	}
	return dns.RcodeToString[r.Rcode] + " " + strings.Join(out, ", ")
}

func TestAnswers(t *testing.T) {
	d := &DNS{}
	if got := ask(t, d, "node101.hello.internal.", dns.TypeA); got != "SERVFAIL " {
		t.Errorf("before the first names: got %q, want SERVFAIL (the name may exist)", got)
	}
	d.Set([]host.Name{{Name: "Node101.hello.internal", Addrs: []netip.Addr{a("10.96.1.10"), a("fd48::1")}}})
	tests := []struct {
		name string
		kind uint16
		want string
	}{
		{"node101.hello.internal.", dns.TypeA, "NOERROR node101.hello.internal. 1 IN A 10.96.1.10"},
		{"NODE101.Hello.Internal.", dns.TypeA, "NOERROR NODE101.Hello.Internal. 1 IN A 10.96.1.10"},
		{"node101.hello.internal.", dns.TypeAAAA, "NOERROR node101.hello.internal. 1 IN AAAA fd48::1"},
		{"node101.hello.internal.", dns.TypeMX, "NOERROR "},
		{"node102.hello.internal.", dns.TypeA, "NXDOMAIN "},
		{"notinternal.", dns.TypeA, "SERVFAIL "},
		{"example.com.", dns.TypeA, "SERVFAIL "}, // no upstream
	}
	for _, tt := range tests {
		if got := ask(t, d, tt.name, tt.kind); got != tt.want {
			t.Errorf("%s %s: got %q, want %q", tt.name, dns.TypeToString[tt.kind], got, tt.want)
		}
	}
}

func TestServesAndForwards(t *testing.T) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	upstream := &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		r := new(dns.Msg)
		r.SetReply(q)
		r.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60}, A: net.IPv4(192, 0, 2, 1)}}
		w.WriteMsg(r)
	})}
	go upstream.ActivateAndServe()
	defer upstream.Shutdown()

	free, _ := net.ListenPacket("udp", "127.0.0.1:0")
	addr := free.LocalAddr().String()
	free.Close()
	d := &DNS{Addr: addr, Upstream: func() []string { return []string{"127.0.0.1:1", pc.LocalAddr().String()} }}
	d.Set([]host.Name{{Name: "hello.internal", Addrs: []netip.Addr{a("10.96.1.10")}}})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	for _, network := range []string{"udp", "tcp"} {
		q := new(dns.Msg)
		q.SetQuestion("hello.internal.", dns.TypeA)
		c := dns.Client{Net: network, Timeout: time.Second}
		var r *dns.Msg
		for range 50 {
			if r, _, err = c.Exchange(q, addr); err == nil {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		if err != nil || len(r.Answer) != 1 {
			t.Fatalf("%s: got %v, %v", network, r, err)
		}
	}
	q := new(dns.Msg)
	q.SetQuestion("example.com.", dns.TypeA)
	c := dns.Client{Timeout: 10 * time.Second}
	if r, _, err := c.Exchange(q, addr); err != nil || len(r.Answer) != 1 {
		t.Errorf("forwarded: got %v, %v", r, err)
	}
}

func TestResolvers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resolv.conf")
	os.WriteFile(path, []byte("# made by netd\nsearch x\nnameserver 10.0.2.3\nnameserver 169.254.1.1\nnameserver junk\nnameserver fd00::3\n"), 0o644)
	if got, want := Resolvers(path), []string{"10.0.2.3:53", "[fd00::3]:53"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v (never this server itself)", got, want)
	}
	if got := Resolvers(path + ".none"); got != nil {
		t.Errorf("no file: got %v", got)
	}
}
