// Package panel is the cluster admin panel (JCA): read-only pages over the same views as the API.
//
// Owns: the pages, their style, the sign-in with a token and its session cookie.
// In: the world; a token typed into the form.
// Out: HTML under a content security policy that allows no inline script or style; the part of a page that changes, on its own, for live updates.
// Never: changes anything, keeps a token's text, or loads anything from another server.
package panel

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/a-h/templ"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/authz"
	"hardnode.dev/orchestrator/show"
	"hardnode.dev/orchestrator/store"
)

//go:generate go tool templ generate

//go:embed assets
var files embed.FS

// The session's cookie and its life without a request.
const (
	cookieName = "__Host-hardnode"
	idle       = 8 * time.Hour
	longest    = 24 * time.Hour // a session's life, whatever is done in it
	maxOpen    = 1000           // sessions; the oldest goes first
)

// policy is the content security policy of every page.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// Panel serves the pages.
type Panel struct {
	Tokens     *authz.Tokens
	Guesses    *authz.Guesses // slows down wrong tokens; nil: nobody does
	World      func() show.World
	Operations func() []operator.Operation
	Log        *slog.Logger
	Now        func() time.Time

	mu struct {
		sync.Mutex
		open map[string]*session // by SHA-256 of the cookie's value
	}
}

type session struct {
	token string // hash
	begun time.Time
	used  time.Time // by a person: what a page fetches by itself does not count
}

func (s *session) over(now time.Time) bool {
	return now.Sub(s.used) > idle || now.Sub(s.begun) > longest
}

// page is what the frame around every page shows.
type page struct {
	Title   string
	Tab     string
	Who     string
	Cluster operator.Cluster
}

// Handler is everything below /panel/. Forms from other sites are refused.
func (p *Panel) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /panel/assets/{file}", p.asset)
	mux.HandleFunc("GET /panel/login", func(w http.ResponseWriter, r *http.Request) { p.html(w, r, http.StatusOK, loginPage("")) })
	mux.HandleFunc("POST /panel/login", p.login)
	mux.HandleFunc("POST /panel/logout", p.logout)
	mux.HandleFunc("GET /panel/{$}", p.signedIn(func(w http.ResponseWriter, r *http.Request, pg page, v show.World) {
		pg.Title, pg.Tab = "Hosts", "hosts"
		p.live(w, r, pg, hostsPage(pg.Cluster, v.Hosts()))
	}))
	mux.HandleFunc("GET /panel/environments", p.signedIn(func(w http.ResponseWriter, r *http.Request, pg page, v show.World) {
		pg.Title, pg.Tab = "Environments", "environments"
		p.live(w, r, pg, environmentsPage(pg.Cluster, v.Environments()))
	}))
	mux.HandleFunc("GET /panel/environments/{env}", p.signedIn(func(w http.ResponseWriter, r *http.Request, pg page, v show.World) {
		pg.Title, pg.Tab = r.PathValue("env"), "environments"
		e, ok := store.Envs.Get(v.View, r.PathValue("env"))
		if !ok {
			p.live(w, r, pg, missing("There is no environment of that name any more."))
			return
		}
		p.live(w, r, pg, environmentPage(pg.Cluster, v.Environment(e)))
	}))
	mux.HandleFunc("GET /panel/operations", p.signedIn(func(w http.ResponseWriter, r *http.Request, pg page, _ show.World) {
		pg.Title, pg.Tab = "Operations", "operations"
		p.live(w, r, pg, operationsPage(pg.Cluster, p.Operations()))
	}))
	mux.HandleFunc("/panel/", p.signedIn(func(w http.ResponseWriter, r *http.Request, pg page, _ show.World) {
		pg.Title = "Not found"
		p.html(w, r, http.StatusNotFound, frame(pg, missing("There is no such page.")))
	}))
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
		mux.ServeHTTP(w, r)
	}))
}

func (p *Panel) html(w http.ResponseWriter, r *http.Request, status int, c templ.Component) {
	var out bytes.Buffer
	if err := c.Render(r.Context(), &out); err != nil {
		logging.Or(p.Log).Error("a page can't be rendered", "path", r.URL.Path, logging.Err, err)
		http.Error(w, "the page can't be shown; see the orchestrator's log", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(out.Bytes())
}

// live answers with the whole page, or, to live.js, with the part that changes, and only when it did.
func (p *Panel) live(w http.ResponseWriter, r *http.Request, pg page, main templ.Component) {
	if r.Header.Get("Hardnode-Live") == "" {
		p.html(w, r, http.StatusOK, frame(pg, main))
		return
	}
	var out bytes.Buffer
	if err := main.Render(r.Context(), &out); err != nil {
		p.html(w, r, http.StatusInternalServerError, missing("The page can't be shown."))
		return
	}
	sum := sha256.Sum256(out.Bytes())
	tag := `"` + hex.EncodeToString(sum[:8]) + `"`
	w.Header().Set("ETag", tag)
	w.Header().Set("Cache-Control", "no-store")
	if r.Header.Get("If-None-Match") == tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Write(out.Bytes())
}

// signedIn lets only holders of a session in whose token still counts and may read.
func (p *Panel) signedIn(f func(http.ResponseWriter, *http.Request, page, show.World)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		who, ok := p.who(r)
		if !ok {
			if r.Header.Get("Hardnode-Live") != "" {
				http.Error(w, "sign in again", http.StatusUnauthorized)
				return
			}
			http.Redirect(w, r, "/panel/login", http.StatusSeeOther)
			return
		}
		v := p.World()
		f(w, r, page{Who: who.Name, Cluster: v.Cluster()}, v)
	}
}

func key(r *http.Request) (string, bool) {
	c, err := r.Cookie(cookieName)
	if err != nil || len(c.Value) != 64 {
		return "", false
	}
	sum := sha256.Sum256([]byte(c.Value))
	return hex.EncodeToString(sum[:]), true
}

func (p *Panel) who(r *http.Request) (authz.Who, bool) {
	k, ok := key(r)
	if !ok {
		return authz.Who{}, false
	}
	p.mu.Lock()
	s := p.mu.open[k]
	now := p.Now()
	if s != nil && s.over(now) {
		delete(p.mu.open, k)
		s = nil
	}
	if s != nil && r.Header.Get("Hardnode-Live") == "" {
		s.used = now
	}
	p.mu.Unlock()
	if s == nil {
		return authz.Who{}, false
	}
	who, problem := p.Tokens.CheckHash(s.token)
	return who, problem == nil && who.Require(authz.Read, "panel") == nil
}

func (p *Panel) login(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 4096)
	text := secret.Text(r.PostFormValue("token"))
	if _, problem := p.Tokens.Check(text); problem != nil {
		logging.Or(p.Log).Warn("a sign-in to the panel was refused", logging.Addr, r.RemoteAddr, logging.Reason, problem.Reason)
		if p.Guesses != nil {
			problem = p.Guesses.Wrong(r.Context(), r.RemoteAddr, problem)
		}
		p.html(w, r, problem.Status, loginPage("That did not work: "+problem.Reason+"."))
		return
	}
	raw := make([]byte, 32)
	if _, err := rand.Read(raw); err != nil {
		http.Error(w, "no random numbers", http.StatusInternalServerError)
		return
	}
	value := hex.EncodeToString(raw)
	sum := sha256.Sum256([]byte(value))
	p.remember(hex.EncodeToString(sum[:]), &session{token: authz.Hash(text), begun: p.Now(), used: p.Now()})
	http.SetCookie(w, &http.Cookie{Name: cookieName, Value: value, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode})
	http.Redirect(w, r, "/panel/", http.StatusSeeOther)
}

// remember opens a session and forgets those that are too old or too many.
func (p *Panel) remember(k string, s *session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.open == nil {
		p.mu.open = map[string]*session{}
	}
	oldest := ""
	for o, x := range p.mu.open {
		if x.over(s.used) {
			delete(p.mu.open, o)
		} else if oldest == "" || x.used.Before(p.mu.open[oldest].used) {
			oldest = o
		}
	}
	if len(p.mu.open) >= maxOpen {
		delete(p.mu.open, oldest)
	}
	p.mu.open[k] = s
}

func (p *Panel) logout(w http.ResponseWriter, r *http.Request) {
	if k, ok := key(r); ok {
		p.mu.Lock()
		delete(p.mu.open, k)
		p.mu.Unlock()
	}
	http.SetCookie(w, &http.Cookie{Name: cookieName, Path: "/", MaxAge: -1, Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode})
	http.Redirect(w, r, "/panel/login", http.StatusSeeOther)
}

var types = map[string]string{"panel.css": "text/css; charset=utf-8", "live.js": "text/javascript; charset=utf-8", "logo.svg": "image/svg+xml"}

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
