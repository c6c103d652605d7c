package proxy

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"

	wirefront "hardnode.dev/internal/wire/front"
	"hardnode.dev/orchestrator/resolver/sites"
)

// passCookie lets a person in during maintenance.
const passCookie = "hardnode-pass"

// admitted tells whether a request goes on though the site is in maintenance; when not, it is answered.
func (p *Proxy) admitted(w http.ResponseWriter, r *http.Request, s *sites.Site, scheme string) bool {
	for _, c := range r.CookiesNamed(passCookie) {
		if passes(s, c.Value) {
			return true
		}
	}
	if pass, is := strings.CutPrefix(r.URL.Path, wirefront.BypassPath); is && passes(s, pass) {
		w.Header().Set("Set-Cookie", cookie(passCookie, pass, scheme == "https"))
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Referrer-Policy", "no-referrer")
		w.Header().Set("Location", "/")
		w.WriteHeader(http.StatusSeeOther)
		return false
	}
	p.page(w, r, page{code: http.StatusServiceUnavailable, env: string(s.Env), title: "Down for maintenance",
		text: "It is worked on, and serves again afterwards.", retry: true, own: s.Front.Page("maintenance")})
	return false
}

func passes(s *sites.Site, pass string) bool {
	sum := sha256.Sum256([]byte(pass))
	return len(s.Pass) == len(sum) && subtle.ConstantTimeCompare(sum[:], s.Pass) == 1
}
