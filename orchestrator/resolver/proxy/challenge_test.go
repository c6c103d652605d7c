package proxy

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/asn1"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	wirefront "hardnode.dev/internal/wire/front"
	"hardnode.dev/internal/wire/host"
)

// TestChallenge: a CA that asks for the proof of a name gets it both ways, whatever the environment's state and settings; the nodes have
// all other paths and names, and who speaks on after the proof is not listened to.
func TestChallenge(t *testing.T) {
	at, p, book, doc := secureFront(t, addr(node(t, "one", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "node") })))
	doc.Sites[0].Names[0].Challenge = &host.Challenge{Token: "tok_en-1", Answer: "tok_en-1.thumb"}
	doc.Sites[0].Names[0].Redirect = true
	book.Replace(doc)
	s := httptest.NewServer(p)
	defer s.Close()
	get := func(method, name, path string) (int, string) {
		t.Helper()
		req, _ := http.NewRequest(method, s.URL+path, nil)
		req.Host = name
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		raw, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(raw)
	}
	for _, c := range []struct {
		method, name, path string
		status             int
		text               string
	}{
		{"GET", "shop.example", host.ChallengePath + "tok_en-1", 200, "tok_en-1.thumb"},
		{"GET", "shop.example:80", host.ChallengePath + "tok_en-1?x", 200, "tok_en-1.thumb"},
		{"POST", "shop.example", host.ChallengePath + "tok_en-1", 405, ""},
		{"GET", "shop.example", host.ChallengePath + "tok_en-2", 308, ""},
		{"GET", "shop.example", host.ChallengePath, 308, ""},
		{"GET", "bare.example", host.ChallengePath + "tok_en-1", 200, "node"},
	} {
		if status, text := get(c.method, c.name, c.path); status != c.status || text != c.text {
			t.Errorf("%s %s%s: got %d %q, want %d %q", c.method, c.name, c.path, status, text, c.status, c.text)
		}
	}
	doc.Sites[0].Running, doc.Sites[0].Front = false, &wirefront.Settings{Maintenance: true}
	book.Replace(doc)
	if status, text := get("GET", "shop.example", host.ChallengePath+"tok_en-1"); status != 200 || text != "tok_en-1.thumb" {
		t.Errorf("of an environment that does not run: %d %q", status, text)
	}

	ask := func(name string, protos ...string) (*tls.Conn, error) {
		return tls.Dial("tcp", at, &tls.Config{ServerName: name, InsecureSkipVerify: true, NextProtos: protos})
	}
	c, err := ask("shop.example", "acme-tls/1")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	state := c.ConnectionState()
	leaf := state.PeerCertificates[0]
	sum := sha256.Sum256([]byte("tok_en-1.thumb"))
	proved := false
	for _, e := range leaf.Extensions {
		var digest []byte
		if e.Id.String() == "1.3.6.1.5.5.7.1.31" {
			_, err := asn1.Unmarshal(e.Value, &digest)
			proved = err == nil && e.Critical && string(digest) == string(sum[:])
		}
	}
	if state.NegotiatedProtocol != "acme-tls/1" || len(leaf.DNSNames) != 1 || leaf.DNSNames[0] != "shop.example" || !proved {
		t.Errorf("a CA is shown %v of %v, proved %v", state.NegotiatedProtocol, leaf.DNSNames, proved)
	}
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n")
	if raw, _ := io.ReadAll(c); len(raw) > 0 {
		t.Errorf("behind the proof it answers %q", raw)
	}
	for _, name := range []string{"bare.example", "a.test", "nobody.example", ""} {
		if c, err := ask(name, "acme-tls/1"); err == nil {
			c.Close()
			t.Errorf("a proof of %q is shown, which no CA asked for", name)
		}
	}
	both, err := ask("shop.example", "acme-tls/1", "http/1.1")
	if err != nil {
		t.Fatal(err)
	}
	defer both.Close()
	if got := both.ConnectionState(); got.NegotiatedProtocol != "http/1.1" || len(got.PeerCertificates[0].DNSNames) != 2 {
		t.Errorf("a client that speaks more is shown %v, %v", got.NegotiatedProtocol, got.PeerCertificates[0].DNSNames)
	}
}
