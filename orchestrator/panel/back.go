package panel

import (
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
)

// front is the first page.
const front = "/panel/"

// back is where to go after signing in: raw when it is the address of a page of the panel, else the first page. A browser reads more than
// one spelling of another site's address (//host, \host, a scheme, control characters that it leaves out), so all but plain paths is
// refused, also when it is escaped.
func back(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || len(raw) > 1024 || u.Scheme != "" || u.Host != "" || u.User != nil || u.Opaque != "" {
		return front
	}
	if !plain(raw) || !plain(u.Path) {
		return front
	}
	if clean := path.Clean(u.Path); clean != strings.TrimSuffix(u.Path, "/") || !strings.HasPrefix(u.Path, front) {
		return front
	}
	first, _, _ := strings.Cut(strings.TrimPrefix(u.Path, front), "/")
	if slices.Contains([]string{"login", "logout", "assets", "link", "forgot", "signup", "oidc", "passkey"}, first) {
		return front
	}
	return (&url.URL{Path: u.Path, RawPath: u.RawPath, RawQuery: u.RawQuery}).String()
}

func plain(s string) bool {
	return !strings.Contains(s, "//") && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r == '\\' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == '\ufffd'
	})
}

// signInAt is the address of the sign-in page that leads back to the page asked for.
func signInAt(r *http.Request) string {
	to := back(r.URL.RequestURI())
	if r.Method != http.MethodGet && r.Method != http.MethodHead || to == front {
		return "/panel/login"
	}
	return "/panel/login?to=" + url.QueryEscape(to)
}
