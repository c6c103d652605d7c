package proxy

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
)

var errTarget = errors.New("the request target can't be passed on as it is")

// target is where a request goes at the node: the request target byte for byte as the client sent it (RFC 9110, section 7.7), in origin
// form (RFC 9112, section 3.2.1) when it came in absolute form. The host is left to the balancer.
func target(r *http.Request) (*url.URL, error) {
	want := r.RequestURI
	if r.URL.Scheme != "" { // absolute form
		rest, ok := strings.CutPrefix(want[len(r.URL.Scheme):], "://")
		if !ok || r.URL.User != nil || r.URL.Host == "" {
			return nil, errTarget
		}
		if i := strings.IndexAny(rest, "/?"); i >= 0 {
			want = rest[i:]
		} else {
			want = ""
		}
		if want == "" || want[0] == '?' {
			want = "/" + want
		}
	}
	path, query, ask := strings.Cut(want, "?")
	if strings.ContainsAny(want, "#") || path == "*" && (r.Method != http.MethodOptions || ask) || path != "*" &&
		(path == "" || path[0] != '/') {
		return nil, errTarget
	}
	u := &url.URL{Scheme: "http", Host: "node", Opaque: path, RawQuery: query, ForceQuery: ask && query == ""}
	if strings.HasPrefix(path, "//") { // Opaque would become an absolute form
		u.Opaque, u.Path, u.RawPath = "", r.URL.Path, r.URL.RawPath
		if r.URL.RawPath == "" {
			u.RawPath = path
		}
	}
	// What url.URL and net/http make of it is compared: a target they would spell in another way goes nowhere.
	if u.RequestURI() != want {
		return nil, errTarget
	}
	return u, nil
}
