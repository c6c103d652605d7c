package proxy

import (
	"io"
	"net"
	"net/http"
	"strings"
)

// toHTTPS sends a client to the same address over HTTPS, with the same method and body (RFC 9110, section 15.4.9).
func toHTTPS(w http.ResponseWriter, r *http.Request) {
	name := r.Host
	if h, _, err := net.SplitHostPort(name); err == nil {
		name = h
	}
	at := r.RequestURI
	if r.URL.Scheme != "" || !strings.HasPrefix(at, "/") { // absolute form, or "*"
		at = r.URL.RequestURI()
	}
	if !strings.HasPrefix(at, "/") {
		at = "/"
	}
	w.Header().Set("Location", "https://"+name+at)
	w.Header().Set("Cache-Control", "no-store") // the setting may be taken back
	w.WriteHeader(http.StatusPermanentRedirect)
}

// strict says Strict-Transport-Security with an answer, instead of what the node says; "" leaves it to the node.
func strict(h http.Header, value string) {
	if value != "" {
		h.Set("Strict-Transport-Security", value)
	}
}

// proved answers a CA that asks for the proof of a name (RFC 8555, section 8.3), whatever the environment's state and settings. Other paths
// below host.ChallengePath are the nodes', which may ask a CA themselves.
func proved(w http.ResponseWriter, r *http.Request, answer string) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Cache-Control", "no-store")
	io.WriteString(w, answer)
}
