package proxy

import "net/http"

// stickyCookie says which node a client stays with.
const stickyCookie = "hardnode-node"

// stick finds the node that a client came to stay with.
func (x *exchange) stick(r *http.Request, scheme string) {
	if !x.site.Sticky() {
		return
	}
	x.sticky, x.secure = true, scheme == "https"
	for _, c := range r.CookiesNamed(stickyCookie) {
		if x.stuck = x.site.Stuck(c.Value); x.stuck != nil {
			return
		}
	}
}

// stay gives a client the cookie of the node that answered it, if it has another one's or none. The answer is this client's alone then.
func (x *exchange) stay(h http.Header) {
	if !x.sticky || x.by == nil || x.by == x.stuck {
		return
	}
	m := x.site.Mark(x.by)
	if m == "" { // a node that came meanwhile
		return
	}
	h.Add("Set-Cookie", cookie(stickyCookie, m, x.secure))
	if h.Get("Cache-Control") == "" {
		h.Set("Cache-Control", "private")
	}
}

func cookie(name, value string, secure bool) string {
	return (&http.Cookie{Name: name, Value: value, Path: "/", HttpOnly: true, Secure: secure, SameSite: http.SameSiteLaxMode}).String()
}
