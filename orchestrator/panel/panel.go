// Package panel is the cluster admin panel (JCA): read-only pages over the same views as the API.
//
// Owns: the shell (frame, live part, sign-in, session cookie) and the pages in it: one file and one templ a page; parts.templ is what
// several show.
// In: the world; a token, or a mail address, a password and a code, typed into the form; the secret of a link that somebody was sent; who
// comes back from the identity provider; whose passkey signed.
// Out: HTML under a content security policy that allows no inline script or style; the part of a page that changes, on its own, for live
// updates.
// Never: changes anything but who is signed in and how, and what links are good for, keeps a token's or a password's text, or loads
// anything from another server.
package panel

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/a-h/templ"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/user"
	"hardnode.dev/orchestrator/authz"
	"hardnode.dev/orchestrator/world"
)

//go:generate go tool templ generate

//go:embed assets
var files embed.FS

// policy is the content security policy of every page.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; " +
	"base-uri 'none'; frame-ancestors 'none'"

// Panel serves the pages.
type Panel struct {
	Tokens  *authz.Tokens
	Guesses *authz.Guesses // slows down wrong tokens; nil: nobody does
	// Admit lets a request in within the limits of who asks (the zero Who: nobody who is known); leave ends it. Nil lets in all.
	Admit func(w http.ResponseWriter, r *http.Request, who authz.Who) (leave func(), p *operator.Problem)
	World func(wire.Account) world.World
	Log   *slog.Logger
	Now   func() time.Time

	// SignIn begins a session of a user, SignOut ends it; both are on record.
	SignIn  func(ctx context.Context, s user.SignIn, from string) (user.SignedIn, error)
	SignOut func(ctx context.Context, w authz.Who, from string) error

	Links Links
	OIDC  OIDC

	Passkeys Passkeys

	Self func(authz.Who) (user.User, error) // who is signed in

	born sync.Once
	name string // of this life of the orchestrator, made when it is first asked for

	mu struct {
		sync.Mutex
		open map[string]*session // by SHA-256 of the cookie's value
	}
}

// page is what the frame around every page shows.
type page struct {
	Title   string
	Tab     string
	Missing bool // there is nothing at that address
	Who     string
	User    bool // it is a user, themselves
	Cluster operator.Cluster
}

// Handler is everything below /panel/. Forms from other sites are refused.
func (p *Panel) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /panel/assets/{file}", p.asset)
	mux.HandleFunc("GET /panel/login", p.entry)
	mux.HandleFunc("POST /panel/login", p.login)
	mux.HandleFunc("POST /panel/logout", p.logout)
	p.links(mux)
	p.oidc(mux)
	p.you(mux)
	for pattern, f := range map[string]func(*http.Request, *page, world.World) templ.Component{
		"GET /panel/{$}":                p.hosts,
		"GET /panel/hosts/{host}":       p.host,
		"GET /panel/environments":       p.environments,
		"GET /panel/environments/{env}": p.environment,
		"GET /panel/operations":         p.operations,
		"GET /panel/operations/{op}":    p.operation,
		"/panel/":                       p.nothing,
	} {
		mux.HandleFunc(pattern, p.signedIn(func(w http.ResponseWriter, r *http.Request, pg page, v world.World) {
			main := f(r, &pg, v)
			p.live(w, r, pg, main)
		}))
	}
	return http.NewCrossOriginProtection().Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Strict-Transport-Security", "max-age=31536000")
		c := http.NewResponseController(w)
		c.SetReadDeadline(p.Now().Add(30 * time.Second))
		c.SetWriteDeadline(p.Now().Add(30 * time.Second))
		if p.Admit != nil {
			who, _ := p.who(r)
			leave, refused := p.Admit(w, r, who)
			if refused != nil {
				http.Error(w, refused.Reason+"; "+refused.Next, refused.Status)
				return
			}
			defer leave()
		}
		mux.ServeHTTP(w, r)
	}))
}

func (p *Panel) html(w http.ResponseWriter, r *http.Request, status int, c templ.Component) {
	var out bytes.Buffer
	if err := c.Render(r.Context(), &out); err != nil {
		logging.Or(p.Log).Error("a page can't be rendered", "path", r.Pattern, logging.Err, err) // an address may have a secret
		http.Error(w, "the page can't be shown; see the orchestrator's log", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(out.Bytes())
}

// live answers with the whole page, or, to live.js, with the part that changes, and only when it did. What is not there is 404 to both.
func (p *Panel) live(w http.ResponseWriter, r *http.Request, pg page, main templ.Component) {
	status := http.StatusOK
	if pg.Missing {
		status = http.StatusNotFound
	}
	if r.Header.Get("Hardnode-Live") == "" {
		p.html(w, r, status, frame(pg, main))
		return
	}
	var out bytes.Buffer
	if err := main.Render(r.Context(), &out); err != nil {
		p.html(w, r, http.StatusInternalServerError, main)
		return
	}
	sum := sha256.Sum256(out.Bytes())
	tag := `"` + hex.EncodeToString(sum[:8]) + `"`
	w.Header().Set("ETag", tag)
	w.Header().Set("Cache-Control", "no-store")
	if r.Header.Get("If-None-Match") == tag && status == http.StatusOK {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	w.Write(out.Bytes())
}

var types = map[string]string{"panel.css": "text/css; charset=utf-8", "live.js": "text/javascript; charset=utf-8",
	"passkey.js": "text/javascript; charset=utf-8",
	"logo.svg":   "image/svg+xml"}

func (p *Panel) asset(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("file")
	raw, err := files.ReadFile("assets/" + name)
	if err != nil || types[name] == "" {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", types[name])
	w.Header().Set("Cache-Control", "max-age=3600")
	w.Write(raw)
}
