package proxy

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/testkit/ports"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/orchestrator/resolver/sites"
)

// front is a resolver's proxy on loopback, serving a.test with the given backends.
func front(t testing.TB, backends ...string) (*httptest.Server, *Proxy, *sites.Book) {
	t.Helper()
	book := &sites.Book{}
	book.Replace(document(1, backends...))
	p := New(book, nil, nil)
	return serveFront(t, p), p, book
}

// serveFront serves p as the program does.
func serveFront(t testing.TB, p *Proxy) *httptest.Server {
	s := httptest.NewUnstartedServer(nil)
	s.Config = p.Server()
	s.Listener = p.Listen(s.Listener)
	s.Start()
	t.Cleanup(func() { s.Close(); p.Close() })
	return s
}

func document(rev wire.Revision, backends ...string) host.Routes {
	site := host.Site{Env: "alpha", Domain: "a.test", Running: true}
	for i, a := range backends {
		site.Backends = append(site.Backends, host.Backend{CTID: wire.CTID(101 + i), Addr: netip.MustParseAddrPort(a)})
	}
	return host.Routes{Version: 1, Revision: rev,
		Sites: []host.Site{site, {Env: "beta", Domain: "b.test", State: "sleeping"}, {Env: "gamma", Domain: "c.test", Running: true}}}
}

// node is a backend that answers with its name.
func node(t testing.TB, name string, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	if h == nil {
		h = func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, name) }
	}
	return ports.Server(t, h)
}

func addr(s *httptest.Server) string { return s.Listener.Addr().String() }

// closed is an address where nothing listens.
func closed(t testing.TB) string {
	t.Helper()
	return ports.Own(t)
}

func get(t testing.TB, s *httptest.Server, hostName string) (int, string, http.Header) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, s.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = hostName
	resp, err := s.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(raw), resp.Header
}

// raw sends bytes and returns the answer's first line and body.
func raw(t *testing.T, s *httptest.Server, request string) string {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr(s), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute))
	io.WriteString(c, request)
	all, _ := io.ReadAll(c)
	return string(all)
}

func post(s *httptest.Server, text string) (*http.Response, error) {
	req, err := http.NewRequest(http.MethodPost, s.URL, strings.NewReader(text))
	if err != nil {
		return nil, err
	}
	req.Host = "a.test"
	return s.Client().Do(req)
}
