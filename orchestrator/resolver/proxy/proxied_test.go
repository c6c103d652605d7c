package proxy

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	proxyproto "github.com/pires/go-proxyproto"

	"hardnode.dev/internal/limit"
	"hardnode.dev/orchestrator/resolver/sites"
)

// proxiedFront serves a.test to peers in from who speak the PROXY protocol; the node says who the client is.
func proxiedFront(t *testing.T, secure bool, from, trusted Trusted) string {
	t.Helper()
	n := node(t, "one", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "[%s|%s]", r.Header.Get("X-Forwarded-For"), r.Header.Get("X-Real-Ip"))
	})
	doc := document(1, addr(n))
	doc.Default = cert(t, -time.Minute, "*.test", "test")
	book := &sites.Book{}
	book.Replace(doc)
	p := New(book, trusted, nil)
	p.Proxied = from
	s := httptest.NewUnstartedServer(nil)
	s.Config = p.Server()
	if secure {
		s.Listener = p.ListenTLS(s.Listener)
	} else {
		s.Listener = p.Listen(s.Listener)
	}
	s.Start()
	t.Cleanup(func() { s.Close(); p.Close() })
	return s.Listener.Addr().String()
}

func header(t *testing.T, version byte, source string) string {
	t.Helper()
	h := proxyproto.HeaderProxyFromAddrs(version, net.TCPAddrFromAddrPort(netip.MustParseAddrPort(source)),
		net.TCPAddrFromAddrPort(netip.MustParseAddrPort("198.51.100.1:80")))
	raw, err := h.Format()
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// said sends bytes and gives back all that is answered.
func said(t *testing.T, at string, secure bool, head, request string) string {
	t.Helper()
	c, err := net.Dial("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute))
	io.WriteString(c, head)
	if secure {
		c = tls.Client(c, &tls.Config{ServerName: "a.test", InsecureSkipVerify: true})
	}
	io.WriteString(c, request)
	raw, _ := io.ReadAll(c)
	return string(raw)
}

const asked = "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n"

var local = Trusted{netip.MustParsePrefix("127.0.0.0/8")}

// TestProxyProtocol: the client is who a listed peer says, in both versions, with and without TLS; its own claims count only if it is a
// trusted proxy.
func TestProxyProtocol(t *testing.T) {
	for _, secure := range []bool{false, true} {
		at := proxiedFront(t, secure, local, nil)
		chained := proxiedFront(t, secure, local, Trusted{netip.MustParsePrefix("192.0.2.7/32")})
		for version := range byte(3) {
			if version == 0 {
				continue
			}
			name := fmt.Sprintf("TLS %v, version %d", secure, version)
			h := header(t, version, "192.0.2.7:4711")
			if got := said(t, at, secure, h, asked); !strings.HasSuffix(got, "[192.0.2.7|192.0.2.7]") {
				t.Errorf("%s: %q", name, got)
			}
			if got := said(t, chained, secure, h, asked); !strings.HasSuffix(got, "[203.0.113.9, 192.0.2.7|203.0.113.9]") {
				t.Errorf("%s, from a trusted proxy: %q", name, got)
			}
		}
		if got := said(t, at, secure, "PROXY UNKNOWN\r\n", asked); !strings.HasSuffix(got, "[127.0.0.1|127.0.0.1]") {
			t.Errorf("TLS %v, UNKNOWN: %q", secure, got)
		}
		if got := said(t, at, secure, "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00", asked); !strings.HasSuffix(got, "[127.0.0.1|127.0.0.1]") {
			t.Errorf("TLS %v, LOCAL: %q", secure, got)
		}
	}
}

// TestProxyHeaderWhereItIsWrong: a listed peer that sends none is not served; nor is one that is not listed and sends one.
func TestProxyHeaderWhereItIsWrong(t *testing.T) {
	if got := said(t, proxiedFront(t, false, local, nil), false, "", asked); strings.Contains(got, "200") {
		t.Errorf("a listed peer without a header: %q", got)
	}
	for version := range byte(2) {
		at := proxiedFront(t, false, Trusted{netip.MustParsePrefix("192.0.2.0/24")}, nil)
		got := said(t, at, false, header(t, version+1, "192.0.2.7:4711"), asked)
		if strings.Contains(got, "192.0.2.7") || !strings.Contains(got, " 400 ") {
			t.Errorf("one that is not listed: %q", got)
		}
	}
}

// TestLateProxyHeader: who does not send the header holds up nobody else.
func TestLateProxyHeader(t *testing.T) {
	at := proxiedFront(t, false, local, nil)
	c, err := net.Dial("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "PROXY TCP4 ")
	if got := said(t, at, false, header(t, 1, "192.0.2.7:4711"), asked); !strings.Contains(got, "192.0.2.7") {
		t.Errorf("beside it: %q", got)
	}
}

// FuzzProxyHeader: whatever a listed peer sends, the client is some address, and what follows a header is read as it was sent.
func FuzzProxyHeader(f *testing.F) {
	for _, s := range []string{"PROXY TCP4 192.0.2.7 198.51.100.1 4711 80\r\nrest", "PROXY UNKNOWN\r\n", "PROXY TCP6 ::1 ::1 1 2\r\n",
		"GET / HTTP/1.1\r\n",
		"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\x01\x02\x03\x04\x05\x06\x07\x08\x00\x01\x00\x02rest",
		"\r\n\r\n\x00\r\nQUIT\n\x21\x31\xff\xff"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, sent []byte) {
		theirs, ours := net.Pipe()
		go func() { theirs.Write(sent); theirs.Close() }()
		defer ours.Close()
		c := proxiedConn{proxyproto.NewConn(ours, proxyproto.WithPolicy(proxyproto.REQUIRE)), ours}
		_ = limit.Addr(c.RemoteAddr().String())
		rest, err := io.ReadAll(c)
		if err == nil && !bytes.HasSuffix(sent, rest) {
			t.Errorf("after %q came %q", sent, rest)
		}
	})
}
