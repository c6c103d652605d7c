package proxy

import (
	"bufio"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
)

func newReader(s string) *bufio.Reader { return bufio.NewReader(strings.NewReader(s)) }

// TestForwarded: what a node is told of the client, for peers who are trusted and for strangers.
func TestForwarded(t *testing.T) {
	trusted := Trusted{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")}
	const stranger, proxy = "198.51.100.7:999", "192.0.2.1:999"
	for _, c := range []struct{ name, peer, sent, want string }{ // headers as lines; want is all that a node may believe
		{"a stranger says nothing", stranger, "",
			"X-Forwarded-For: 198.51.100.7|X-Forwarded-Host: a.test|X-Forwarded-Proto: http|X-Real-Ip: 198.51.100.7"},
		{"a stranger lies", stranger,
			"X-Forwarded-For: 6.6.6.6|X-Forwarded-Proto: https|X-Forwarded-Host: evil|X-Forwarded-Port: 443|" +
				"X-Forwarded-Prefix: /x|X-Forwarded-User: root|Forwarded: for=6.6.6.6;proto=https|X-Real-Ip: 6.6.6.6|" +
				"True-Client-Ip: 6.6.6.6|X-Original-Url: /admin",
			"X-Forwarded-For: 198.51.100.7|X-Forwarded-Host: a.test|X-Forwarded-Proto: http|X-Real-Ip: 198.51.100.7"},
		{"a stranger lies with underscores", stranger, "X_Forwarded_For: 6.6.6.6|x_real-ip: 6.6.6.6|X_HARDNODE_X: 1|Proxy: evil",
			"X-Forwarded-For: 198.51.100.7|X-Forwarded-Host: a.test|X-Forwarded-Proto: http|X-Real-Ip: 198.51.100.7"},
		{"a terminator", proxy,
			"X-Forwarded-For: 203.0.113.9|X-Forwarded-Proto: https|X-Forwarded-Host: shop.example|X-Forwarded-Port: 443",
			"X-Forwarded-For: 203.0.113.9, 192.0.2.1|X-Forwarded-Host: shop.example|X-Forwarded-Port: 443|X-Forwarded-Proto: " +
				"https|X-Real-Ip: 203.0.113.9"},
		{"a terminator in IPv6", "[2001:db8::1]:9", "X-Forwarded-For: 2001:db9::9|X-Forwarded-Proto: https",
			"X-Forwarded-For: 2001:db9::9, 2001:db8::1|X-Forwarded-Host: a.test|X-Forwarded-Proto: https|X-Real-Ip: 2001:db9::9"},
		{"a terminator that is mapped", "[::ffff:192.0.2.1]:9", "X-Forwarded-For: 203.0.113.9",
			"X-Forwarded-For: 203.0.113.9, 192.0.2.1|X-Forwarded-Host: a.test|X-Forwarded-Proto: http|X-Real-Ip: 203.0.113.9"},
		{"two terminators, and a client that lied to the first", proxy, "X-Forwarded-For: 6.6.6.6, 203.0.113.9|X-Forwarded-For: 192.0.2.5",
			"X-Forwarded-For: 6.6.6.6, 203.0.113.9, 192.0.2.5, 192.0.2.1|X-Forwarded-Host: a.test|X-Forwarded-Proto: http|X-Real-Ip: " +
				"203.0.113.9"},
		{"Forwarded", proxy, `Forwarded: for="[2001:db9::1]:4711";proto=HTTPS;host="shop.example:8443", for=192.0.2.5`,
			`Forwarded: for="[2001:db9::1]:4711";proto=HTTPS;host="shop.example:8443", for=192.0.2.5, for=192.0.2.1;proto=http|X-Forwarded-For: 2001:db9::1, 192.0.2.5, 192.0.2.1|X-Forwarded-Host: shop.example:8443|X-Forwarded-Proto: https|X-Real-Ip: 2001:db9::1`},
		{"Forwarded with an unknown client", proxy, `Forwarded: for=unknown;proto=https`,
			`Forwarded: for=unknown;proto=https, for=192.0.2.1;proto=http|X-Forwarded-For: unknown, 192.0.2.1|X-Forwarded-Host: a.test|X-Forwarded-Proto: https|X-Real-Ip: 192.0.2.1`},
		{"Forwarded, damaged", proxy, `Forwarded: for="1.2.3.4`,
			"X-Forwarded-For: 192.0.2.1|X-Forwarded-Host: a.test|X-Forwarded-Proto: http|X-Real-Ip: 192.0.2.1"},
		{"only X-Real-IP", proxy, "X-Real-Ip: 203.0.113.9",
			"X-Forwarded-For: 192.0.2.1|X-Forwarded-Host: a.test|X-Forwarded-Proto: http|X-Real-Ip: 203.0.113.9"},
		{"with ports", proxy, "X-Forwarded-For: 203.0.113.9:4711",
			"X-Forwarded-For: 203.0.113.9:4711, 192.0.2.1|X-Forwarded-Host: a.test|X-Forwarded-Proto: http|X-Real-Ip: 203.0.113.9"},
		{"no scheme, no host", proxy, "X-Forwarded-Proto: gopher|X-Forwarded-Host: <script>",
			"X-Forwarded-For: 192.0.2.1|X-Forwarded-Host: a.test|X-Forwarded-Proto: http|X-Real-Ip: 192.0.2.1"},
		{"headers of ours, from a terminator", proxy, "X-Hardnode-Env: x|Proxy: y|X_Forwarded_Proto: https",
			"X-Forwarded-For: 192.0.2.1|X-Forwarded-Host: a.test|X-Forwarded-Proto: http|X-Real-Ip: 192.0.2.1"},
	} {
		text := "GET / HTTP/1.1\r\nHost: a.test\r\n"
		if c.sent != "" {
			text += strings.ReplaceAll(c.sent, "|", "\r\n") + "\r\n"
		}
		in, err := http.ReadRequest(newReader(text + "\r\n"))
		if err != nil {
			t.Fatal(err)
		}
		in.RemoteAddr = c.peer
		out := in.Header.Clone()
		trusted.forward(in, out)
		var b strings.Builder
		out.Write(&b)
		if got := strings.ReplaceAll(strings.TrimSuffix(b.String(), "\r\n"), "\r\n", "|"); got != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.name, got, c.want)
		}
	}
}

// TestTrustedProxyOnTheWire: the peer's address decides, not what is in the request.
func TestTrustedProxyOnTheWire(t *testing.T) {
	backend := addr(node(t, "one", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "[%s %s %s]", r.Header.Get("X-Forwarded-Proto"), r.Header.Get("X-Real-Ip"), r.Header.Get("X-Forwarded-For"))
	}))
	_, _, book := front(t, backend)
	for _, c := range []struct {
		trusted Trusted
		want    string
	}{{nil, "[http 127.0.0.1 127.0.0.1]"}, {Trusted{netip.MustParsePrefix("127.0.0.0/8")}, "[https 203.0.113.9 203.0.113.9, 127.0.0.1]"}} {
		s := serveFront(t, New(book, c.trusted, nil))
		if got := raw(t, s, "GET / HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-Proto: https\r\nX-Forwarded-For: 203.0.113.9\r\n"+
			"Connection: close, X-Forwarded-Proto\r\n\r\n"); !strings.Contains(got, c.want) {
			t.Errorf("trusted %v: got %q, want %s", c.trusted, got, c.want)
		}
	}
}

func FuzzForwarded(f *testing.F) {
	f.Add(`for="[2001:db8::1]:47";proto=https, for=unknown;by=_x`)
	f.Add(`for=1.2.3.4,,;=`)
	f.Add(`"`)
	f.Fuzz(func(t *testing.T, s string) {
		elements, ok := parseForwarded([]string{s})
		if len(elements) > maxHops+1 {
			t.Errorf("%d elements", len(elements))
		}
		if !ok {
			return
		}
		for _, e := range elements {
			if _, bad := e[""]; bad || len(e) == 0 {
				t.Errorf("%q: got %v", s, elements)
			}
		}
	})
}

// TestUsual: no name that is dropped passes at the first glance, however it is spelled.
func TestUsual(t *testing.T) {
	names := []string{"proxy", "x-hardnode-a", "x-forwarded-for"}
	for name := range claims {
		names = append(names, name)
	}
	for _, name := range names {
		for _, spelled := range []string{name, strings.ToUpper(name), strings.ReplaceAll(name, "-", "_"), http.CanonicalHeaderKey(name)} {
			if usual(spelled) || !claim(spelled) && !never(spelled) {
				t.Errorf("%s is let through", spelled)
			}
		}
	}
	for _, name := range []string{"", "c", "Accept", "Content-Type", "Cookie", "Host"} {
		if claim(name) || never(name) {
			t.Errorf("%q is dropped", name)
		}
	}
}
