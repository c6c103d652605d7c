package proxy

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	wirefront "hardnode.dev/internal/wire/front"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/orchestrator/resolver/accesslog"
	"hardnode.dev/orchestrator/resolver/sites"
)

// settled is front with settings of site alpha.
func settled(t *testing.T, trusted Trusted, change func(*host.Site), backends ...string) (*httptest.Server, *Proxy, *sites.Book,
	host.Routes) {
	t.Helper()
	doc := document(1, backends...)
	doc.Cookies = []byte("0123456789abcdef0123456789abcdef")
	doc.Sites[0].Front = &wirefront.Settings{}
	change(&doc.Sites[0])
	book := &sites.Book{}
	book.Replace(doc)
	p := New(book, trusted, nil)
	return serveFront(t, p), p, book, doc
}

// browser is a client that keeps cookies, and comes to a.test at s.
func browser(t *testing.T, s *httptest.Server) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{Proxy: func(*http.Request) (*url.URL, error) { return url.Parse(s.URL) }}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Jar: jar, Transport: tr, Timeout: time.Minute}
}

func visit(t *testing.T, c *http.Client, url string, head ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(head); i += 2 {
		req.Header.Set(head[i], head[i+1])
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(raw)
}

// TestSticky: a client with a cookie stays with its node as long as that serves, and with the next one from then on; a cookie that nobody
// gave out says nothing.
func TestSticky(t *testing.T) {
	one, two := node(t, "one", nil), node(t, "two", nil)
	s, _, book, doc := settled(t, nil, func(s *host.Site) { s.Front.Sticky = true }, addr(one), addr(two), addr(node(t, "three", nil)))
	c := browser(t, s)
	resp, first := visit(t, c, "http://a.test/")
	set := resp.Header.Get("Set-Cookie")
	for _, want := range []string{"hardnode-node=", "HttpOnly", "SameSite=Lax", "Path=/"} {
		if !strings.Contains(set, want) {
			t.Errorf("the cookie %q has no %q", set, want)
		}
	}
	if strings.Contains(set, "10") && strings.Contains(set, "=101") || strings.Contains(set, "127.0.0.1") {
		t.Errorf("the cookie %q names the node", set)
	}
	if got := resp.Header.Get("Cache-Control"); got != "private" {
		t.Errorf("an answer with one client's cookie may be kept: %q", got)
	}
	for range 20 {
		resp, body := visit(t, c, "http://a.test/")
		if body != first || resp.Header.Get("Set-Cookie") != "" {
			t.Fatalf("it came to %s after %s, cookie %q", body, first, resp.Header.Get("Set-Cookie"))
		}
	}
	other := map[string]bool{}
	for range 20 {
		_, body := visit(t, &http.Client{Transport: c.Transport}, "http://a.test/", "Cookie", "hardnode-node=AAAAAAAAAAAAAAAAAAAA")
		other[body] = true
	}
	if len(other) != 3 {
		t.Errorf("clients with a cookie of their own making came to %v", other)
	}
	// The node is removed, and another one has the place in the document.
	at := map[string]int{"one": 0, "two": 1, "three": 2}[first]
	doc.Revision = 2
	doc.Sites[0].Backends = append(doc.Sites[0].Backends[:at:at], doc.Sites[0].Backends[at+1:]...)
	book.Replace(doc)
	resp, second := visit(t, c, "http://a.test/")
	if second == first || resp.Header.Get("Set-Cookie") == "" {
		t.Fatalf("its node is gone: it came to %s, cookie %q", second, resp.Header.Get("Set-Cookie"))
	}
	for range 10 {
		if _, body := visit(t, c, "http://a.test/"); body != second {
			t.Fatalf("it came to %s after %s", body, second)
		}
	}
	// One that does not answer any more: the request is not lost.
	map[string]*httptest.Server{"one": one, "two": two}[second].CloseClientConnections()
	if srv := map[string]*httptest.Server{"one": one, "two": two}[second]; srv != nil {
		srv.Close()
		if resp, body := visit(t, c, "http://a.test/"); resp.StatusCode != 200 || body == second {
			t.Errorf("its node ended: %s from %s", resp.Status, body)
		}
	}
}

// TestStickyOverHTTPS: there the cookie is for HTTPS only.
func TestStickyOverHTTPS(t *testing.T) {
	at, _, book, doc := secureFront(t, addr(node(t, "one", nil)))
	doc.Cookies, doc.Revision = []byte("0123456789abcdef0123456789abcdef"), 2
	doc.Sites[0].Front = &wirefront.Settings{Sticky: true}
	book.Replace(doc)
	for _, h2 := range []bool{false, true} {
		resp, _, err := ask(t, at, "a.test", "a.test", h2)
		if err != nil || !strings.Contains(resp.Header.Get("Set-Cookie"), "Secure") {
			t.Errorf("h2 %v: %v, cookie %q", h2, err, resp.Header.Get("Set-Cookie"))
		}
	}
}

// TestShares: nodes get requests by their shares; one without any none while another serves, and all when none does.
func TestShares(t *testing.T) {
	heavy := node(t, "heavy", nil)
	s, _, book, doc := settled(t, nil, func(s *host.Site) { s.Backends[1].Weight, s.Backends[2].Spare = 25, true },
		addr(heavy), addr(node(t, "light", nil)), addr(node(t, "spare", nil)))
	count := map[string]int{}
	for range 100 {
		_, body, _ := get(t, s, "a.test")
		count[body]++
	}
	if count["heavy"] < 78 || count["heavy"] > 82 || count["light"] != 100-count["heavy"] {
		t.Errorf("got %v, want 80 and 20", count)
	}
	doc.Sites[0].Backends, doc.Revision = doc.Sites[0].Backends[2:], 2
	book.Replace(doc)
	if _, body, _ := get(t, s, "a.test"); body != "spare" {
		t.Errorf("the only node there is did not answer: %q", body)
	}
}

// TestPerSource: an address has so many requests under way, and gets 429 beyond; others go on, and so does it when one has ended. What a
// client says in X-Forwarded-For counts behind trusted proxies only.
func TestPerSource(t *testing.T) {
	for name, trusted := range map[string]Trusted{"direct": nil, "behind a proxy": {netip.MustParsePrefix("127.0.0.0/8")}} {
		t.Run(name, func(t *testing.T) {
			begun, end := make(chan struct{}, 8), make(chan struct{})
			s, _, _, _ := settled(t, trusted, func(s *host.Site) { s.Front.PerSource = 2 },
				addr(node(t, "one", func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/wait" {
						begun <- struct{}{}
						<-end
					}
					io.WriteString(w, "done")
				})))
			c := browser(t, s)
			var waiting sync.WaitGroup
			for range 2 {
				waiting.Go(func() {
					req, _ := http.NewRequest(http.MethodGet, "http://a.test/wait", nil)
					req.Header.Set("X-Forwarded-For", "192.0.2.1")
					if resp, err := c.Do(req); err == nil {
						resp.Body.Close()
					}
				})
			}
			<-begun
			<-begun
			resp, body := visit(t, c, "http://a.test/", "X-Forwarded-For", "192.0.2.1")
			if resp.StatusCode != 429 || resp.Header.Get("Retry-After") == "" || !strings.Contains(body, "alpha") {
				t.Errorf("the third of one address: %s %q", resp.Status, body)
			}
			other, _ := visit(t, c, "http://a.test/", "X-Forwarded-For", "192.0.2.2")
			if want := map[bool]int{true: 200, false: 429}[trusted != nil]; other.StatusCode != want {
				t.Errorf("another address, as the client says: %s, want %d", other.Status, want)
			}
			close(end)
			waiting.Wait()
			until(t, "it is let in again", func() bool {
				resp, _ := visit(t, c, "http://a.test/", "X-Forwarded-For", "192.0.2.1")
				return resp.StatusCode == 200
			})
		})
	}
}

// TestMaintenance: nobody reaches a node but who has the pass; the page is the environment's own.
func TestMaintenance(t *testing.T) {
	sum := sha256.Sum256([]byte("letmein"))
	s, _, book, doc := settled(t, nil, func(s *host.Site) {
		s.Front.Maintenance, s.Pass = true, sum[:]
		s.Front.Pages = []wirefront.Page{{Name: "maintenance", HTML: "<h1>Soon</h1>"}}
	}, addr(node(t, "one", nil)))
	c := browser(t, s)
	shut := func(why string) {
		t.Helper()
		resp, body := visit(t, c, "http://a.test/", "Accept", "text/html")
		if resp.StatusCode != 503 || body != "<h1>Soon</h1>" || resp.Header.Get("Retry-After") == "" ||
			!strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") {
			t.Errorf("%s: %s %q", why, resp.Status, body)
		}
	}
	shut("at first")
	if resp, body := visit(t, c, "http://a.test/"); resp.StatusCode != 503 || strings.Contains(body, "<h1>") {
		t.Errorf("who takes no HTML: %s %q", resp.Status, body)
	}
	if resp, _ := visit(t, c, "http://a.test"+wirefront.BypassPath+"guessed"); resp.StatusCode != 503 {
		t.Errorf("a wrong pass: %s", resp.Status)
	}
	shut("after a wrong pass")
	resp, body := visit(t, c, "http://a.test"+wirefront.BypassPath+"letmein")
	if resp.StatusCode != 200 || body != "one" || resp.Request.URL.Path != "/" {
		t.Errorf("with the pass: %s %q at %s", resp.Status, body, resp.Request.URL)
	}
	if _, body := visit(t, c, "http://a.test/more"); body != "one" {
		t.Errorf("with the cookie: %q", body)
	}
	again := sha256.Sum256([]byte("another"))
	doc.Sites[0].Pass, doc.Revision = again[:], 2
	book.Replace(doc)
	shut("with a cookie of a pass before")
	doc.Sites[0].Pass, doc.Revision = nil, 3
	book.Replace(doc)
	shut("with no pass")
}

// TestOwnPages: the page of what is missing, for those who take HTML.
func TestOwnPages(t *testing.T) {
	s, _, book, doc := settled(t, nil, func(s *host.Site) {
		s.Front.Pages = []wirefront.Page{{Name: "error", HTML: "<p>broken"}, {Name: "down", HTML: "<p>asleep"}}
	}, closed(t))
	c := browser(t, s)
	if resp, body := visit(t, c, "http://a.test/", "Accept", "text/html"); resp.StatusCode != 502 || body != "<p>broken" {
		t.Errorf("no node answers: %s %q", resp.Status, body)
	}
	if resp, body := visit(t, c, "http://a.test/", "Accept", "application/json"); resp.StatusCode != 502 ||
		!strings.Contains(body, "environment alpha") {
		t.Errorf("for a program: %s %q", resp.Status, body)
	}
	doc.Sites[0].Running, doc.Sites[0].State, doc.Revision = false, "sleeping", 2
	book.Replace(doc)
	if resp, body := visit(t, c, "http://a.test/", "Accept", "text/html"); resp.StatusCode != 503 || body != "<p>asleep" {
		t.Errorf("it does not run: %s %q", resp.Status, body)
	}
}

type kept struct {
	sync.Mutex
	all []accesslog.Entry
}

func (k *kept) Add(name string, e accesslog.Entry) {
	k.Lock()
	defer k.Unlock()
	e.Agent = name
	k.all = append(k.all, e)
}

func (k *kept) last(t *testing.T, n int) accesslog.Entry {
	t.Helper()
	until(t, fmt.Sprintf("there are %d entries", n), func() bool {
		k.Lock()
		defer k.Unlock()
		return len(k.all) == n
	})
	return k.all[n-1]
}

// TestEntries: what is kept of a request, of a stream of events and of a tunnel; nothing that may be a secret, and nothing of an
// environment that did not ask.
func TestEntries(t *testing.T) {
	s, p, _, _ := settled(t, nil, func(s *host.Site) {
		s.Front.AccessLog, s.Front.Maintenance, s.Since = true, false, time.Unix(0, 0x10)
	}, addr(node(t, "one", func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/events":
			w.Header().Set("Content-Type", "text/event-stream")
			for i := range 3 {
				fmt.Fprintf(w, "data: %d\n\n", i)
				http.NewResponseController(w).Flush()
			}
			<-r.Context().Done()
		case "/tunnel":
			c, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
			line, _ := rw.ReadString('\n')
			io.WriteString(c, line)
		default:
			w.WriteHeader(http.StatusTeapot)
			io.WriteString(w, "four")
		}
	})))
	k := &kept{}
	p.Requests = k
	c := browser(t, s)
	visit(t, c, "http://a.test/a%20b?token=hush", "Cookie", "session=hush", "Authorization", "Bearer hush",
		"Referer", "http://me:hush@b.test/x?hush=1#hush")
	e := k.last(t, 1)
	if e.Method != "GET" || e.Path != "/a%20b" || e.Host != "a.test" || e.Status != 418 || e.Sent != 4 || e.Node != 101 ||
		e.Scheme != "http" || e.Client != "127.0.0.1" || e.Protocol != "HTTP/1.1" || e.Referrer != "http://b.test/x" || e.Agent != "alpha.10" || e.Millis <= 0 {
		t.Errorf("of a request: %+v", e)
	}
	if strings.Contains(fmt.Sprint(e), "hush") {
		t.Errorf("a secret is kept: %+v", e)
	}
	resp, err := c.Get("http://a.test/events")
	if err != nil {
		t.Fatal(err)
	}
	if line, _ := bufio.NewReader(resp.Body).ReadString('\n'); line != "data: 0\n" {
		t.Errorf("the first event is %q", line)
	}
	resp.Body.Close()
	if e := k.last(t, 2); e.Path != "/events" || e.Status != 200 || e.Sent == 0 {
		t.Errorf("of a stream of events: %+v", e)
	}
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "GET /tunnel HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	conn.SetDeadline(time.Now().Add(time.Minute))
	lines := bufio.NewReader(conn)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatalf("the tunnel: %v", err)
		}
		if line == "ping\n" {
			break
		}
		if line == "\r\n" { // the end of the answer's head
			io.WriteString(conn, "ping\n")
		}
	}
	conn.Close()
	if e := k.last(t, 3); e.Path != "/tunnel" || e.Status != 101 || e.Node != 101 {
		t.Errorf("of a tunnel: %+v", e)
	}
	get(t, s, "b.test")
	get(t, s, "a.test")
	if e := k.last(t, 4); e.Host != "a.test" {
		t.Errorf("one that did not ask is kept: %+v", e)
	}
}
