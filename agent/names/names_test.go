package names

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"hardnode.dev/internal/testkit/ports"
)

func a(s string) netip.Addr { return netip.MustParseAddr(s) }

// The callers of the tests.
var (
	hello, acme, lost, resolver = a("10.96.1.10"), a("10.96.2.10"), a("10.96.9.9"), a("10.96.0.14")
	self                        = a("127.0.0.1")
)

// TestServesOnTheNet is the whole way over UDP and TCP, with a dead server before the one that answers.
func TestServesOnTheNet(t *testing.T) {
	up := upstream(t, func(w dns.ResponseWriter, q *dns.Msg) {
		r := new(dns.Msg).SetReply(q)
		r.Answer = []dns.RR{rr("%s 60 IN A 192.0.2.1", q.Question[0].Name)}
		w.WriteMsg(r)
	})
	s := server("127.0.0.1:1", up)
	s.Addr = ports.Own(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	for _, network := range []string{"udp", "tcp"} {
		for _, name := range []string{"cp.hello.internal.", "example.com."} {
			c := dns.Client{Net: network, Timeout: time.Second}
			q := new(dns.Msg).SetQuestion(name, dns.TypeA)
			var r *dns.Msg
			var err error
			for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
				if r, _, err = c.Exchange(q, s.Addr); err == nil {
					break
				}
			}
			if err != nil || len(r.Answer) == 0 {
				t.Errorf("%s %s: got %v, %v after 30 s", network, name, r, err)
			}
		}
	}
}

// TestPipelining: on one connection an answer does not wait for one before it that takes long (RFC 7766 6.2.1.1).
func TestPipelining(t *testing.T) {
	release := make(chan struct{})
	up := upstream(t, func(w dns.ResponseWriter, q *dns.Msg) {
		if q.Question[0].Name == "slow.example." {
			<-release
		}
		w.WriteMsg(new(dns.Msg).SetRcode(q, dns.RcodeNameError))
	})
	s := server(up)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.tcp(ctx, l) }()
	defer func() { cancel(); l.Close(); <-done }()
	c, err := dns.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(30 * time.Second))
	for _, name := range []string{"slow.example.", "cp.hello.internal.", "fast.example."} {
		if err := c.WriteMsg(new(dns.Msg).SetQuestion(name, dns.TypeA)); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for range 3 {
		m, err := c.ReadMsg()
		if err != nil {
			t.Fatalf("after %q: %v", got, err)
		}
		if got = append(got, m.Question[0].Name); len(got) == 2 {
			close(release)
		}
	}
	if got[2] != "slow.example." {
		t.Errorf("answers came in the order %q: the slow one held up the others", got)
	}
}

// TestBigQueryOverTCP: the length of a message is the client's word; the connection ends instead of memory being kept for it.
func TestBigQueryOverTCP(t *testing.T) {
	one, two := net.Pipe()
	defer one.Close()
	done := make(chan struct{})
	go func() { server().conn(t.Context(), two); close(done) }()
	one.SetDeadline(time.Now().Add(30 * time.Second))
	one.Write([]byte{0xff, 0xff})
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Error("a query of 65535 bytes was waited for")
	}
}

func TestLimits(t *testing.T) {
	var l limits
	now := time.Now()
	asked := 0
	for range burst * 3 {
		if l.ask(hello, now) {
			asked++
		}
	}
	if asked != burst || !l.ask(acme, now) {
		t.Errorf("%d of %d queries were taken at once, want %d, and another container's too", asked, burst*3, burst)
	}
	if tell := l.drop(hello, now); tell != 1 {
		t.Errorf("the first dropped query: told of %d, want 1", tell)
	}
	for range 9 {
		if l.drop(hello, now) != 0 {
			t.Error("each dropped query is told of")
		}
	}
	if tell := l.drop(hello, now.Add(tellEvery)); tell != 10 {
		t.Errorf("after a minute: told of %d, want 10", tell)
	}
	if now = now.Add(time.Second); !l.ask(hello, now) {
		t.Error("after a second nothing may be asked")
	}

	const most = waiting/9 + 1 // the first that wants an eighth of what is left free
	held := map[netip.Addr]int{}
	for _, greedy := range []netip.Addr{hello, acme, lost} {
		l.ask(greedy, now)
		for {
			if _, ok := l.enter(greedy); !ok {
				break
			}
			held[greedy]++
		}
	}
	if held[hello] != most || held[acme] >= held[hello] || held[lost] < 40 {
		t.Errorf("greedy containers hold %v of %d places", held, waiting)
	}
	l.ask(resolver, now)
	leave, ok := l.enter(resolver)
	if !ok {
		t.Fatal("three greedy containers leave no place for a fourth")
	}
	leave()
	if l.by[resolver].waiting != 0 {
		t.Error("a place was not given back")
	}
	for i := range 2 * callers { // silent ones make room
		at := netip.AddrFrom4([4]byte{10, 100, byte(i >> 8), byte(i)})
		if !l.ask(at, now.Add(time.Duration(i)*time.Second)) {
			t.Fatalf("caller %d: no room", i)
		}
	}
	if len(l.by) > callers {
		t.Errorf("%d callers are remembered, want at most %d", len(l.by), callers)
	}
}

// TestOneContainerCantStarveOthers: one waits for as many answers as it may, and another's query is still answered.
func TestOneContainerCantStarveOthers(t *testing.T) {
	release := make(chan struct{})
	var asked atomic.Int32
	up := upstream(t, func(w dns.ResponseWriter, q *dns.Msg) {
		asked.Add(1)
		if strings.HasPrefix(q.Question[0].Name, "slow") {
			<-release
		}
		w.WriteMsg(new(dns.Msg).SetRcode(q, dns.RcodeNameError))
	})
	s := server(up)
	var running []chan []byte
	refused := 0
	for i := range 200 {
		s.limits.ask(hello, time.Now())
		out, later := s.begin(t.Context(), question(fmt.Sprintf("slow%d.example.", i), dns.TypeA), hello, false)
		if later == nil {
			if m := new(dns.Msg); m.Unpack(out) != nil || m.Rcode != dns.RcodeRefused {
				t.Fatalf("got %v, want REFUSED", m)
			}
			refused++
			continue
		}
		ch := make(chan []byte, 1)
		running = append(running, ch)
		go func() { ch <- later() }()
	}
	if len(running) != waiting/9+1 || refused != 200-len(running) {
		t.Errorf("%d queries wait and %d were refused, want %d and the others", len(running), refused, waiting/9+1)
	}
	if got := render(say(t, s, question("fast.example.", dns.TypeA), acme, false)); got != "NXDOMAIN" {
		t.Errorf("another container's query meanwhile: got %q", got)
	}
	close(release)
	for _, ch := range running {
		<-ch
	}
	if s.limits.waiting != 0 {
		t.Errorf("%d places are still taken", s.limits.waiting)
	}
}

func TestOrderOfServers(t *testing.T) {
	var h health
	now := time.Now()
	h.note("a:53", false, now)
	if got := h.order([]string{"a:53", "b:53"}, now); !slices.Equal(got, []string{"b:53", "a:53"}) {
		t.Errorf("got %v: one that did not answer goes last", got)
	}
	if got := h.order([]string{"a:53", "b:53"}, now.Add(avoid)); !slices.Equal(got, []string{"a:53", "b:53"}) || len(h.failed) != 0 {
		t.Errorf("got %v, %v: after a while it is as it was", got, h.failed)
	}
}

func TestResolvers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resolv.conf")
	os.WriteFile(path,
		[]byte("# made by netd\nsearch x\nnameserver 10.0.2.3\nnameserver 169.254.1.1\nnameserver junk\nnameserver fd00::3\n"), 0o644)
	if got, want := Resolvers(path, a("169.254.1.1")), []string{"10.0.2.3:53", "[fd00::3]:53"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v (never this server itself)", got, want)
	}
	if got := Resolvers(path+".none", a("169.254.1.1")); got != nil {
		t.Errorf("no file: got %v", got)
	}
}

// TestFlood: one container sends as fast as it can; it gets no more answers than its share, and another's query is answered meanwhile.
func TestFlood(t *testing.T) {
	s := server()
	l, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	pc := l.(*net.UDPConn)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.udp(ctx, pc) }()
	defer func() { cancel(); pc.Close(); <-done }()
	from := func(ip string) *net.UDPConn {
		c, err := net.DialUDP("udp", &net.UDPAddr{IP: net.ParseIP(ip)}, pc.LocalAddr().(*net.UDPAddr))
		if err != nil {
			t.Skipf("no address %s here: %v", ip, err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	greedy, other := from("127.0.0.2"), from("127.0.0.3")
	raw := question("cp.hello.internal.", dns.TypeA)
	var answers atomic.Int64
	go func() {
		for buf := make([]byte, 4096); ; answers.Add(1) {
			if _, err := greedy.Read(buf); err != nil {
				return
			}
		}
	}()
	began := time.Now()
	var stop atomic.Bool
	flood := make(chan struct{})
	go func() {
		defer close(flood)
		for !stop.Load() {
			greedy.Write(raw)
		}
	}()
	for dropped := 0; dropped == 0; time.Sleep(time.Millisecond) { // until it has used up its share
		s.limits.mu.Lock()
		if sh := s.limits.by[a("127.0.0.2")]; sh != nil && !sh.told.IsZero() {
			dropped = 1
		}
		s.limits.mu.Unlock()
		if time.Since(began) > 30*time.Second {
			stop.Store(true)
			t.Skip("this machine sends too slowly: after 30 s nothing was dropped")
		}
	}
	buf, ok := make([]byte, 4096), false
	// the kernel may drop it: it is asked again, as resolvers do
	for end := time.Now().Add(30 * time.Second); !ok && time.Now().Before(end); {
		other.Write(raw)
		other.SetReadDeadline(time.Now().Add(time.Second))
		_, err := other.Read(buf)
		ok = err == nil
	}
	stop.Store(true)
	<-flood
	if !ok {
		t.Error("another container's query was not answered within 30 s")
	}
	if most := int64(burst + perSecond*(time.Since(began).Seconds()+1)); answers.Load() > most {
		t.Errorf("the greedy one got %d answers, want at most %d", answers.Load(), most)
	}
	t.Logf("%d answers in %s", answers.Load(), time.Since(began))
}
