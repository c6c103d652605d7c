package proxy

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	wirefront "hardnode.dev/internal/wire/front"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/orchestrator/resolver/sites"
)

// cert makes a self-signed certificate for names that holds from now+begin for an hour.
func cert(t testing.TB, begin time.Duration, names ...string) *host.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	from := time.Now().Add(begin)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		NotBefore: from, NotAfter: from.Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return &host.Certificate{Chain: [][]byte{der}, Key: raw}
}

// secureFront serves with TLS: a.test and b.test have the cluster's certificate, shop.example one of its own to site alpha, and
// bare.example is alpha's without one.
func secureFront(t testing.TB, backends ...string) (at string, p *Proxy, book *sites.Book, doc host.Routes) {
	t.Helper()
	doc = document(1, backends...)
	doc.Default = cert(t, -time.Minute, "*.test", "test")
	doc.Sites[0].Names = []host.SiteName{{Name: "shop.example", Certificate: cert(t, -time.Minute, "shop.example", "c.test"),
		Scheme: wirefront.Scheme{HSTS: 600}}, {Name: "bare.example"}}
	book = &sites.Book{}
	book.Replace(doc)
	p = New(book, nil, nil)
	s := httptest.NewUnstartedServer(nil)
	s.Config, s.Listener = p.Server(), p.ListenTLS(s.Listener)
	s.Start()
	t.Cleanup(func() { s.Close(); p.Close() })
	return s.Listener.Addr().String(), p, book, doc
}

// ask asks over one new connection that names sni, by HTTP/2 or HTTP/1.1.
func ask(t testing.TB, at, sni, hostName string, h2 bool) (resp *http.Response, body string, err error) {
	t.Helper()
	tr := &http.Transport{TLSClientConfig: &tls.Config{ServerName: sni, InsecureSkipVerify: true}, ForceAttemptHTTP2: h2}
	if sni == "" { // crypto/tls names what it dials
		tr.DialTLS = func(network, addr string) (net.Conn, error) {
			return tls.Dial(network, addr, &tls.Config{InsecureSkipVerify: true})
		}
	}
	defer tr.CloseIdleConnections()
	req, err := http.NewRequest(http.MethodGet, "https://"+at+"/x?y", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = hostName
	resp, err = (&http.Client{Transport: tr, Timeout: time.Minute}).Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	raw, _ := io.ReadAll(resp.Body)
	return resp, string(raw), nil
}

// TestServerNames: which certificate a client is shown, and which hosts it may ask for then.
func TestServerNames(t *testing.T) {
	at, _, _, doc := secureFront(t, addr(node(t, "one", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "[%s %s]", r.Host, r.Header.Get("X-Forwarded-Proto"))
	})))
	cluster, shop := string(doc.Default.Chain[0]), string(doc.Sites[0].Names[0].Certificate.Chain[0])
	for _, h2 := range []bool{false, true} {
		for _, c := range []struct {
			sni, host, cert string
			code            int
			text            string
		}{
			{"a.test", "a.test", cluster, 200, "[a.test https]"},
			{"A.TEST", "a.test", cluster, 200, "[a.test https]"},
			{"a.test", "b.test", cluster, 503, "sleeping"},            // one certificate: connections are shared
			{"nobody.test", "nobody.test", cluster, 404, "No such"},   // the cluster's own names
			{"", "a.test", cluster, 200, "[a.test https]"},            // names nothing
			{"", "shop.example", cluster, 421, "another certificate"}, // and gets nobody else's
			{"shop.example", "shop.example", shop, 200, "[shop.example https]"},
			{"shop.example", "a.test", shop, 421, "another certificate"}, // fronting
			{"a.test", "shop.example", cluster, 421, "another certificate"},
			{"shop.example", "c.test", shop, 421, "another certificate"}, // it says so in the certificate, but is not asked
			{"a.test", "bare.example", cluster, 421, "another certificate"},
			{"a.test", "nobody.example", cluster, 421, "another certificate"},
		} {
			resp, body, err := ask(t, at, c.sni, c.host, h2)
			if err != nil {
				t.Errorf("%q, host %q: %v", c.sni, c.host, err)
				continue
			}
			if got := string(resp.TLS.PeerCertificates[0].Raw); got != c.cert || resp.StatusCode != c.code ||
				!strings.Contains(body, c.text) {
				t.Errorf("%q, host %q, HTTP/2 %v: got %d %q, its certificate %v; want %d %q", c.sni, c.host, h2, resp.StatusCode, body,
					got == c.cert, c.code, c.text)
			}
		}
	}
}

// TestRefusedHandshakes: what is asked for by a name that no certificate has, with old TLS, or without any.
func TestRefusedHandshakes(t *testing.T) {
	at, p, book, doc := secureFront(t, addr(node(t, "one", nil)))
	refused := func(name, want string, conf *tls.Config) {
		t.Helper()
		conf.InsecureSkipVerify = true
		c, err := tls.Dial("tcp", at, conf)
		if err == nil {
			c.Close()
		}
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", name, err, want)
		}
	}
	refused("a stranger's name", "unrecognized name", &tls.Config{ServerName: "nobody.example"})
	refused("a name without a certificate", "unrecognized name", &tls.Config{ServerName: "bare.example"})
	refused("two labels", "unrecognized name", &tls.Config{ServerName: "x.a.test"})
	refused("a huge name", "unrecognized name", &tls.Config{ServerName: strings.Repeat("a", 40_000) + ".test"})
	refused("TLS 1.1", "protocol version", &tls.Config{ServerName: "a.test", MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11})
	refused("a suite without forward secrecy", "handshake failure", &tls.Config{ServerName: "a.test", MaxVersion: tls.VersionTLS12,
		CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}})
	refused("CBC", "handshake failure", &tls.Config{ServerName: "a.test", MaxVersion: tls.VersionTLS12,
		CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}})
	refused("TLS 1.2", "", &tls.Config{ServerName: "a.test", MaxVersion: tls.VersionTLS12})
	refused("another protocol", "no application protocol", &tls.Config{ServerName: "a.test", NextProtos: []string{"smtp"}})
	c, err := net.Dial("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute))
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
	if got, _ := io.ReadAll(c); !strings.Contains(string(got), "speaks HTTPS") {
		t.Errorf("HTTP without TLS: got %q", got)
	}
	// a session of one name is no ticket to another's
	cache := tls.NewLRUClientSessionCache(8)
	for _, sni := range []string{"shop.example", "shop.example"} {
		c, err := tls.Dial("tcp", at, &tls.Config{ServerName: sni, InsecureSkipVerify: true, ClientSessionCache: cache})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")
		if got, _ := io.ReadAll(c); !strings.HasPrefix(string(got), "HTTP/1.1 421") {
			t.Errorf("resumed %v: got %.60q, want 421", c.ConnectionState().DidResume, got)
		}
		c.Close()
	}
	// a table without that certificate: a connection that was made before is worth nothing for the name any more
	old, err := tls.Dial("tcp", at, &tls.Config{ServerName: "shop.example", InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	doc.Revision, doc.Sites[0].Names = 2, nil
	book.Replace(doc)
	refused("a name that is gone", "unrecognized name", &tls.Config{ServerName: "shop.example"})
	fmt.Fprintf(old, "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")
	if got, _ := io.ReadAll(old); !strings.HasPrefix(string(got), "HTTP/1.1 421") {
		t.Errorf("a connection of a name that is gone: got %.60q, want 421", got)
	}
	book.Replace(host.Routes{Version: 1, Revision: 3})
	refused("no certificate at all", "unrecognized name", &tls.Config{ServerName: "a.test"})
	_ = p
}

// TestWrongClock: certificates that are over, or not yet valid by the resolver's clock, are shown all the same.
func TestWrongClock(t *testing.T) {
	at, _, book, doc := secureFront(t, addr(node(t, "one", nil)))
	for _, begin := range []time.Duration{-1000 * time.Hour, 1000 * time.Hour} {
		doc.Revision++
		doc.Default = cert(t, begin, "*.test")
		book.Replace(doc)
		if resp, body, err := ask(t, at, "a.test", "a.test", true); err != nil || resp.StatusCode != 200 || body != "one" {
			t.Errorf("%s: got %v, %v", begin, resp, err)
		}
	}
}

// TestBadCertificate: one that can't be used leaves its name without, and others with theirs.
func TestBadCertificate(t *testing.T) {
	at, _, book, doc := secureFront(t, addr(node(t, "one", nil)))
	doc.Revision = 2
	doc.Sites[0].Names[0].Certificate = &host.Certificate{Chain: doc.Default.Chain, Key: cert(t, 0, "x.test").Key}
	doc.Sites[0].Names[1].Certificate = &host.Certificate{Chain: [][]byte{{1}}, Key: []byte{2}}
	if bad := book.Replace(doc).Bad(); len(bad) != 2 || bad[0].Name != "shop.example" ||
		!strings.Contains(bad[0].Err.Error(), "another certificate") {
		t.Errorf("got %v", bad)
	}
	if resp, _, err := ask(t, at, "a.test", "a.test", false); err != nil || resp.StatusCode != 200 {
		t.Errorf("got %v, %v", resp, err)
	}
}

// TestRedirect: a name that is to be asked over HTTPS is, by people and by proxies in front that tell what they were asked by.
func TestRedirect(t *testing.T) {
	doc := document(1, addr(node(t, "one", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Strict-Transport-Security", "max-age=1")
		io.WriteString(w, "one")
	})))
	doc.Sites[0].Names = []host.SiteName{{Name: "a.test", Scheme: wirefront.Scheme{Redirect: true, HSTS: 86400}}, {Name: "www.a.test"}}
	doc.Sites[1].Names = []host.SiteName{{Name: "b.test", Scheme: wirefront.Scheme{HSTS: 5}}}
	doc.Default = cert(t, 0, "*.test")
	book := &sites.Book{}
	book.Replace(doc)
	s := serveFront(t, New(book, nil, nil))
	s.Client().CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for request, want := range map[string]string{
		"GET /a%2fb?x=1 HTTP/1.1\r\nHost: a.test:8080":                       "https://a.test/a%2fb?x=1",
		"POST //evil.example/ HTTP/1.1\r\nContent-Length: 0\r\nHost: A.test": "https://A.test//evil.example/",
		"GET http://a.test/y HTTP/1.1\r\nHost: b.test":                       "https://a.test/y",
		"OPTIONS * HTTP/1.1\r\nHost: a.test":                                 "https://a.test/",
	} {
		got := raw(t, s, request+"\r\nConnection: close\r\n\r\n")
		if !strings.HasPrefix(got, "HTTP/1.1 308 ") || !strings.Contains(got, "\r\nLocation: "+want+"\r\n") ||
			strings.Contains(got, "Strict-Transport") {
			t.Errorf("%q: got %q, want %s", request, got, want)
		}
	}
	if code, body, head := get(t, s, "www.a.test"); code != 200 || body != "one" || head.Get("Strict-Transport-Security") != "max-age=1" {
		t.Errorf("another name: got %d %q %v", code, body, head)
	}
	if got := raw(t, s, "GET / HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-Proto: https\r\nConnection: close\r\n\r\n"); !strings.HasPrefix(got,
		"HTTP/1.1 308 ") {
		t.Errorf("a stranger says that he came over HTTPS: got %.80q", got)
	}
	trusting := New(book, Trusted{netip.MustParsePrefix("127.0.0.0/8")}, nil)
	proxied := serveFront(t, trusting)
	got := raw(t, proxied, "GET / HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-Proto: https\r\nConnection: close\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 200 ") || !strings.Contains(got, "Strict-Transport-Security: max-age=86400\r\n") ||
		strings.Contains(got, "max-age=1\r") {
		t.Errorf("a proxy says so: got %q", got)
	}
	if got := raw(t, proxied, "GET / HTTP/1.1\r\nHost: b.test\r\nX-Forwarded-Proto: https\r\nConnection: close\r\n\r\n"); !strings.Contains(
		got, "Strict-Transport-Security: max-age=5\r\n") {
		t.Errorf("a page of our own: got %q", got)
	}
}
