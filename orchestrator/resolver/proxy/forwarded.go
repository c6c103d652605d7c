package proxy

import (
	"net"
	"net/http"
	"net/netip"
	"strings"

	"hardnode.dev/internal/limit"
)

// Trusted are the proxies whose word on where a request came from is taken: TLS terminators, load balancers, CDNs in front of the resolver.
type Trusted []netip.Prefix

// Has tells whether a is one of them.
func (t Trusted) Has(a netip.Addr) bool {
	a = a.Unmap()
	for _, p := range t {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// claims are headers that say where a request came from, which nodes believe. Names are lower-case with dashes. What a stranger sends in
// them is dropped; X-Forwarded-* is meant as a whole.
var claims = map[string]bool{"forwarded": true, "x-real-ip": true, "x-client-ip": true, "true-client-ip": true, "x-cluster-client-ip": true,
	"x-original-forwarded-for": true,
	"x-original-host":          true, "x-original-url": true, "x-rewrite-url": true, "x-url-scheme": true, "x-scheme": true,
	"front-end-https": true, "cf-connecting-ip": true, "fastly-client-ip": true}

// spelled is a header's name as programs behind CGI, WSGI and the like see it: they can't tell "_" from "-".
func spelled(name string) string { return strings.ReplaceAll(strings.ToLower(name), "_", "-") }

// usual tells at a glance most names that are neither a claim nor one of never's, so that they cost nothing.
func usual(name string) bool {
	switch {
	case name == "":
		return true
	case name[0]|0x20 == 'c':
		return len(name) < 2 || name[1]|0x20 != 'f'
	}
	return strings.IndexByte("xftp", name[0]|0x20) < 0
}

func claim(name string) bool {
	if usual(name) {
		return false
	}
	name = spelled(name)
	return claims[name] || strings.HasPrefix(name, "x-forwarded-")
}

// never are headers no client may send at all: ours, and "Proxy", which CGI programs take for a setting (CVE-2016-5385).
func never(name string) bool {
	if usual(name) {
		return false
	}
	name = spelled(name)
	return name == "proxy" || strings.HasPrefix(name, "x-hardnode-")
}

// forward sets on out what a node may rely on: who the client is, and by which scheme, host and port it asked. Only the word of a trusted
// peer is kept and added to; the headers of others are dropped (RFC 7239, section 8.1).
func (t Trusted) forward(in *http.Request, out http.Header) {
	peer := limit.Addr(in.RemoteAddr)
	trusted := t.Has(peer)
	for name := range out {
		if never(name) || claim(name) {
			delete(out, name)
		}
	}
	chain, scheme, host := []string(nil), own(in), in.Host
	if trusted {
		for name, values := range in.Header { // ReverseProxy has dropped some of these already
			if strings.HasPrefix(name, "X-Forwarded-") || claims[strings.ToLower(name)] && name != "Forwarded" {
				out[name] = values
			}
		}
		told := t.told(in.Header)
		chain = told.chain
		if told.scheme != "" {
			scheme = told.scheme
		}
		if told.host != "" {
			host = told.host
		}
		if f := strings.Join(in.Header["Forwarded"], ", "); f != "" && told.forwarded {
			out["Forwarded"] = []string{f + ", for=" + forNode(peer) + ";proto=" + own(in)}
		}
	}
	out["X-Forwarded-For"] = []string{strings.Join(append(chain, text(peer)), ", ")}
	out["X-Forwarded-Proto"] = []string{scheme}
	out["X-Forwarded-Host"] = []string{host}
	out["X-Real-Ip"] = []string{text(t.Client(in))}
}

// own is the scheme that a request came to the resolver by.
func own(in *http.Request) string {
	if secureOf(in) != nil {
		return "https"
	}
	return "http"
}

// scheme is what the client's own request came by: what forward tells nodes.
func (t Trusted) scheme(in *http.Request) string {
	if t.Has(limit.Addr(in.RemoteAddr)) {
		if told := t.told(in.Header); told.scheme != "" {
			return told.scheme
		}
	}
	return own(in)
}

// Client is the address of a request's client: the last one in the chain that is no trusted proxy.
func (t Trusted) Client(in *http.Request) netip.Addr {
	client := limit.Addr(in.RemoteAddr)
	if !t.Has(client) {
		return client
	}
	told := t.told(in.Header)
	if len(told.chain) == 0 {
		if a, ok := address(in.Header.Get("X-Real-Ip")); ok {
			return a
		}
	}
	for i := len(told.chain) - 1; i >= 0; i-- {
		a, ok := address(told.chain[i])
		if !ok {
			break // "unknown", or a name: whoever told us is the last we know
		}
		if client = a; !t.Has(a) {
			break
		}
	}
	return client
}

// told is what a trusted peer says.
type told struct {
	chain        []string // clients and proxies, the first first; each has no comma in it
	scheme, host string
	forwarded    bool // the Forwarded header can be read
}

// told reads X-Forwarded-*, and Forwarded for what those leave out. The scheme and the host are those of the client's own request: the ones
// beside the first address, where each proxy adds its own.
func (t Trusted) told(h http.Header) (out told) {
	for _, line := range h["X-Forwarded-For"] {
		for e := range strings.SplitSeq(line, ",") {
			if e = strings.TrimSpace(e); e != "" {
				out.chain = append(out.chain, e)
			}
		}
	}
	out.scheme, out.host = schemeOf(first(h["X-Forwarded-Proto"])), hostOf(first(h["X-Forwarded-Host"]))
	elements, ok := parseForwarded(h["Forwarded"])
	out.forwarded = ok
	if !ok || len(elements) == 0 {
		return out
	}
	chain := []string{}
	at := 0
	for i, e := range elements {
		if a, ok := address(e["for"]); ok {
			chain = append(chain, text(a))
		} else {
			chain = append(chain, "unknown")
		}
		if a, ok := address(e["for"]); !ok || !t.Has(a) {
			at = i // the last one that is no trusted proxy
		}
	}
	if len(out.chain) == 0 {
		out.chain = chain
	}
	if out.scheme == "" {
		out.scheme = schemeOf(elements[at]["proto"])
	}
	if out.host == "" {
		out.host = hostOf(elements[at]["host"])
	}
	return out
}

const maxHops = 32

// parseForwarded reads the header's elements (RFC 7239, section 4); ok is false when it is no valid one.
func parseForwarded(lines []string) (elements []map[string]string, ok bool) {
	s := strings.Join(lines, ",")
	e := map[string]string{}
	for {
		s = strings.TrimLeft(s, " \t")
		i := strings.IndexAny(s, "=,;")
		if i >= 0 && s[i] == '=' {
			name := strings.ToLower(s[:i])
			value, rest, good := forwardedValue(s[i+1:])
			if _, twice := e[name]; !good || twice || name == "" || strings.ContainsAny(name, " \t\"") {
				return nil, false
			}
			e[name] = value
			s = strings.TrimLeft(rest, " \t")
		} else if strings.TrimSpace(s[:max(i, 0)]) != "" || i < 0 && strings.TrimSpace(s) != "" {
			return nil, false // something without "="
		}
		if s == "" || s[0] == ',' {
			if len(e) > 0 {
				elements = append(elements, e)
				e = map[string]string{}
			}
			if s == "" || len(elements) > maxHops {
				return elements, s == ""
			}
		} else if s[0] != ';' {
			return nil, false
		}
		s = s[1:]
	}
}

// forwardedValue reads a token or a quoted string (RFC 9110, section 5.6).
func forwardedValue(s string) (value, rest string, ok bool) {
	if s == "" || s[0] != '"' {
		i := strings.IndexAny(s, ",; \t")
		if i < 0 {
			i = len(s)
		}
		return s[:i], s[i:], i > 0 && !strings.ContainsAny(s[:i], `"\`)
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), s[i+1:], true
		case '\\':
			if i++; i == len(s) {
				return "", "", false
			}
		}
		b.WriteByte(s[i])
	}
	return "", "", false
}

// address reads a node of X-Forwarded-For or Forwarded: an address, with brackets and a port if it likes.
func address(s string) (netip.Addr, bool) {
	s = strings.TrimSpace(s)
	if a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")); err == nil {
		return a.Unmap().WithZone(""), true
	}
	h, _, err := net.SplitHostPort(s)
	if err != nil {
		return netip.Addr{}, false
	}
	a, err := netip.ParseAddr(h)
	return a.Unmap().WithZone(""), err == nil
}

func schemeOf(s string) string {
	switch s = strings.ToLower(s); s {
	case "http", "https":
		return s
	case "wss":
		return "https"
	case "ws":
		return "http"
	}
	return ""
}

// hostOf gives s back when it can be the host of a request.
func hostOf(s string) string {
	for _, c := range []byte(s) {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._:[]", c) >= 0) {
			return ""
		}
	}
	return s
}

// first is the first entry of a list header: what the proxy nearest to the client said.
func first(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	s, _, _ := strings.Cut(lines[0], ",")
	return strings.TrimSpace(s)
}

func text(a netip.Addr) string {
	if !a.IsValid() {
		return "unknown"
	}
	return a.String()
}

// forNode is an address as RFC 7239 spells it (section 6).
func forNode(a netip.Addr) string {
	if a.Is6() {
		return `"[` + a.String() + `]"`
	}
	return text(a)
}
