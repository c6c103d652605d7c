package panel

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"time"

	"github.com/a-h/templ"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/user"
	"hardnode.dev/orchestrator/authz"
	"hardnode.dev/orchestrator/world"
)

// The session's cookie and its life.
const (
	cookieName = "__Host-hardnode"
	idle       = 8 * time.Hour  // without a click
	longest    = 24 * time.Hour // a session's life, whatever is done in it
	maxOpen    = 1000           // sessions; the oldest goes first
	remembered = 7 * 24 * time.Hour
)

// Why a session ended, for the person whose it was.
const (
	endedIdle      = "You were signed out: nothing was clicked for 8 hours."
	endedLongest   = "You were signed out: a session ends after 24 hours."
	endedRevoked   = "You were signed out: the token you signed in with was revoked, or ended with who made it."
	endedSession   = "You were signed out: the session was ended, your password was changed, or you are not in the account any more."
	endedExpired   = "You were signed out: the token you signed in with has expired."
	endedRestarted = "You were signed out: the orchestrator was restarted, and sessions end with it."
	endedPushedOut = "You were signed out: many others signed in since, and the oldest sessions made room."
	endedByYou     = "You signed out."
)

type session struct {
	token   string    // hash
	user    bool      // the token is that of a user's session
	expires time.Time // of the token; zero: it does not
	begun   time.Time
	used    time.Time // by a person: what a page fetches by itself does not count
	ended   string    // why; "" while it stands
}

// over is why a session is over by the clock, or "". What came first counts.
func (s *session) over(now time.Time) string {
	lazy, old := s.used.Add(idle), s.begun.Add(longest)
	switch {
	case s.ended != "":
		return s.ended
	case now.After(lazy) && lazy.Before(old):
		return endedIdle
	case now.After(old):
		return endedLongest
	}
	return ""
}

// noToken is why a session is over whose token no longer counts.
func (s *session) noToken(now time.Time) string {
	switch {
	case s.user && !now.Before(s.expires):
		return endedLongest
	case s.user:
		return endedSession
	case !s.expires.IsZero() && !now.Before(s.expires):
		return endedExpired
	}
	return endedRevoked
}

// cookie is the parsed value of a session's cookie: a secret, and which life of the orchestrator made it, so that a restart can be told
// from anything else. Neither says who somebody is by itself.
type cookie struct{ key, life string }

func cookieOf(r *http.Request) (cookie, bool) {
	c, err := r.Cookie(cookieName)
	if err != nil {
		return cookie{}, false
	}
	value, life, _ := strings.Cut(c.Value, ".")
	if len(value) != 64 {
		return cookie{}, false
	}
	sum := sha256.Sum256([]byte(value))
	return cookie{hex.EncodeToString(sum[:]), life}, true
}

// setCookie sends a session's cookie; "" takes it away. It comes along from pages of ours alone (Strict); who follows a link from elsewhere
// is brought here once more by a page of ours (hither).
func setCookie(w http.ResponseWriter, value string) {
	c := &http.Cookie{Name: cookieName, Value: value, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode}
	if value == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

// life names this life of the orchestrator.
func (p *Panel) life() string {
	p.born.Do(func() { p.name = random(4) })
	return p.name
}

// random is n random bytes in hex.
func random(n int) string {
	raw := make([]byte, n)
	rand.Read(raw) // never fails (crypto/rand)
	return hex.EncodeToString(raw)
}

// who is the person of a request, or why nobody is signed in any more; both are empty for who never was.
func (p *Panel) who(r *http.Request) (who authz.Who, ended string) {
	c, ok := cookieOf(r)
	if !ok {
		return authz.Who{}, ""
	}
	now := p.Now()
	p.mu.Lock()
	s := p.mu.open[c.key]
	if s == nil {
		p.mu.Unlock()
		if c.life != p.life() {
			return authz.Who{}, endedRestarted
		}
		return authz.Who{}, endedPushedOut
	}
	if s.ended = s.over(now); s.ended != "" {
		ended = s.ended
		p.mu.Unlock()
		return authz.Who{}, ended
	}
	byPerson := r.Header.Get("Hardnode-Live") == ""
	if byPerson {
		s.used = now
	}
	token := s.token
	p.mu.Unlock()
	who, problem := p.Tokens.CheckHash(token)
	if problem == nil && byPerson {
		p.Tokens.Used(who)
	}
	if problem == nil {
		problem = who.Require(authz.Read, "panel")
	}
	if problem != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		s.ended = s.noToken(now)
		return authz.Who{}, s.ended
	}
	return who, ""
}

// signedIn lets only holders of a session in whose token still counts and may read.
func (p *Panel) signedIn(f func(http.ResponseWriter, *http.Request, page, world.World)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		who, _ := p.who(r)
		if who.ID == "" && fromElsewhere(r) {
			p.html(w, r, http.StatusOK, hither(r.URL.RequestURI()))
			return
		}
		if who.ID == "" {
			if r.Header.Get("Hardnode-Live") != "" {
				http.Error(w, "sign in again", http.StatusUnauthorized)
				return
			}
			http.Redirect(w, r, signInAt(r), http.StatusSeeOther)
			return
		}
		v := p.World(who.Account).Within(who.Envs)
		f(w, r, page{Who: who.Acted(), User: who.User != "" && who.Acting == nil, Cluster: v.Installation()}, v)
	}
}

// fromElsewhere tells whether a page of another site led here, so that the browser kept the cookie to itself. What a page of ours leads to
// is not from elsewhere any more, so nobody goes round in circles.
func fromElsewhere(r *http.Request) bool {
	_, has := cookieOf(r)
	return !has && r.Method == http.MethodGet && r.Header.Get("Sec-Fetch-Site") == "cross-site" &&
		r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document"
}

// entry is the sign-in page: why the last session ended, and where to go on.
func (p *Panel) entry(w http.ResponseWriter, r *http.Request) {
	to := back(r.URL.Query().Get("to"))
	who, ended := p.who(r)
	if who.ID != "" {
		http.Redirect(w, r, to, http.StatusSeeOther)
		return
	}
	if ended == "" && r.URL.Query().Has("out") {
		ended = endedByYou
	}
	done := did[user.LinkKind(r.URL.Query().Get("did"))]
	p.html(w, r, http.StatusOK, p.loginPage(signIn{To: to, Ended: ended, Did: done}))
}

func (p *Panel) login(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 8192)
	to := back(r.PostFormValue("to"))
	if mail := strings.TrimSpace(r.PostFormValue("mail")); mail != "" {
		p.loginUser(w, r, mail, to)
		return
	}
	text := secret.Text(strings.TrimSpace(r.PostFormValue("token")))
	who, problem := p.Tokens.Check(text)
	if problem != nil {
		logging.Or(p.Log).Warn("a sign-in to the panel was refused", logging.Addr, r.RemoteAddr, logging.Reason, problem.Reason)
		if p.Guesses != nil {
			problem = p.Guesses.Wrong(r.Context(), r.RemoteAddr, problem)
		}
	} else {
		problem = who.Require(authz.Read, "panel") // a right token for something else: it is no guess
	}
	if problem != nil {
		p.html(w, r, problem.Status, p.loginPage(signIn{To: to, Token: true,
			Refused: "That did not work: " + problem.Reason + "."}))
		return
	}
	p.enter(w, r, &session{token: authz.Hash(text), expires: who.Expires}, to)
}

// loginUser signs a person in by mail address, password and code.
func (p *Panel) loginUser(w http.ResponseWriter, r *http.Request, mail, to string) {
	in, err := p.SignIn(r.Context(), user.SignIn{Mail: mail, Password: secret.Text(r.PostFormValue("password")),
		Code: secret.Text(strings.TrimSpace(r.PostFormValue("code")))}, r.RemoteAddr)
	if err != nil {
		problem := operator.AsProblem(err)
		logging.Or(p.Log).Warn("a sign-in to the panel was refused", logging.Addr, r.RemoteAddr, logging.Reason, problem.Reason)
		if after := problem.RetryAfter(); after != "" {
			w.Header().Set("Retry-After", after)
		}
		p.html(w, r, problem.Status, p.loginPage(signIn{To: to, Mail: mail,
			Refused: "That did not work: " + problem.Reason + "; " + problem.Next + "."}))
		return
	}
	p.enter(w, r, &session{token: authz.Hash(in.Token), user: true, expires: in.Begun.Add(longest)}, to)
}

// loginPage is the sign-in page, with all ways to sign in that there are.
func (p *Panel) loginPage(s signIn) templ.Component {
	s.Group, s.Provider, s.PasskeysAt = p.openGroup(), p.provider(), p.passkeysAt()
	return loginPage(s)
}

// enter opens a session, and leads on.
func (p *Panel) enter(w http.ResponseWriter, r *http.Request, s *session, to string) {
	p.open(w, r, s)
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// open opens a session under a new cookie, whatever cookie came: nobody can have set it before.
func (p *Panel) open(w http.ResponseWriter, r *http.Request, s *session) {
	value := random(32)
	sum := sha256.Sum256([]byte(value))
	s.begun = p.Now()
	s.used = s.begun
	old, _ := cookieOf(r)
	if before := p.remember(old.key, hex.EncodeToString(sum[:]), s); before != nil && before.user {
		p.end(r, before.token)
	}
	setCookie(w, value+"."+p.life())
}

// end ends the session of a user that a session of the panel was of.
func (p *Panel) end(r *http.Request, token string) {
	who, problem := p.Tokens.CheckHash(token)
	if problem != nil {
		return // it has ended
	}
	if err := p.SignOut(r.Context(), who, r.RemoteAddr); err != nil {
		logging.Or(p.Log).Error("a session was not ended", logging.Addr, r.RemoteAddr, logging.Err, err)
	}
}

// remember opens a session in place of an old one, "" being none, which it returns, and forgets those that are too old or too many.
func (p *Panel) remember(old, k string, s *session) (before *session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.open == nil {
		p.mu.open = map[string]*session{}
	}
	before = p.mu.open[old]
	delete(p.mu.open, old)
	oldest := ""
	for o, x := range p.mu.open {
		if s.used.Sub(x.begun) > remembered {
			delete(p.mu.open, o)
		} else if oldest == "" || x.before(p.mu.open[oldest]) {
			oldest = o
		}
	}
	if len(p.mu.open) >= maxOpen {
		delete(p.mu.open, oldest)
	}
	p.mu.open[k] = s
	return before
}

// before tells which of two goes first: what has ended, then what was used longer ago.
func (s *session) before(o *session) bool {
	if (s.ended != "") != (o.ended != "") {
		return s.ended != ""
	}
	return s.used.Before(o.used)
}

func (p *Panel) logout(w http.ResponseWriter, r *http.Request) {
	if c, ok := cookieOf(r); ok {
		p.mu.Lock()
		s := p.mu.open[c.key]
		delete(p.mu.open, c.key)
		p.mu.Unlock()
		if s != nil && s.user {
			p.end(r, s.token)
		}
	}
	setCookie(w, "")
	http.Redirect(w, r, "/panel/login?out", http.StatusSeeOther)
}
