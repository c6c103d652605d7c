package proxy

import (
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
