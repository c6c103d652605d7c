package panel

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/oidc"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/user"
	"hardnode.dev/orchestrator/authz"
	"hardnode.dev/orchestrator/idp"
	"hardnode.dev/orchestrator/users"
)

// OIDC is what is done with the identity provider.
type OIDC struct {
	Name func() string // of the provider, "" while there is none
	// Begin is the address that a browser is sent to, Finish whom the provider says that it is who comes back.
	Begin  func(ctx context.Context, from, browser string, e idp.Errand) (string, error)
	Finish func(ctx context.Context, browser string, q url.Values) (idp.Claim, idp.Errand, error)
	// Ticket is for who came back; SignIn takes a session by it, on record.
	Ticket func(ctx context.Context, c idp.Claim, check, from string) (secret.Text, error)
	SignIn func(ctx context.Context, in oidc.OidcSignIn, from string) (user.SignedIn, error)
	// Prove, Bind and End are about a user's own identity, on record.
	Prove func(ctx context.Context, w authz.Who, password, code secret.Text, from string) (proof string, err error)
	Bind  func(ctx context.Context, id, proof string, c idp.Claim, from string) error
	End   func(ctx context.Context, w authz.Who, e user.EndIdentity, from string) error
}

// browserName is the cookie by which a browser is known that has begun a sign-in with the provider. It comes along when the provider leads
// back (Lax), and is good for nothing else.
const browserName = "__Host-hardnode-oidc"

func (p *Panel) oidc(mux *http.ServeMux) {
	mux.HandleFunc("POST /panel/oidc", p.oidcBegin)
	mux.HandleFunc("POST /panel/oidc/link", p.oidcLink)
	mux.HandleFunc("POST /panel/oidc/code", p.oidcCode)
	mux.HandleFunc("GET "+oidc.BackPath, p.oidcBack)
	mux.HandleFunc("GET "+oidc.HnctlPath, func(w http.ResponseWriter, r *http.Request) {
		h, err := hnctlOf(r.URL.Query())
		if err != nil || p.provider() == "" {
			p.html(w, r, http.StatusBadRequest, oidcRefused("Sign in for hnctl", "this address is none that hnctl gave, or the "+
				"cluster has no identity provider any more; begin again: hnctl login --oidc"))
			return
		}
		p.html(w, r, http.StatusOK, hnctlPage(p.provider(), h))
	})
}

// provider is what the provider is called, "" while there is none.
func (p *Panel) provider() string {
	if p.OIDC.Name == nil {
		return ""
	}
	return p.OIDC.Name()
}

// hnctlOf is where hnctl waits. It only ever is the browser's own machine.
func hnctlOf(q url.Values) (*idp.Hnctl, error) {
	port, err := strconv.ParseUint(q.Get("port"), 10, 16)
	h := &idp.Hnctl{Port: uint16(port), Challenge: q.Get("challenge"), State: q.Get("state")}
	if err != nil || port < 1024 || len(h.Challenge) != 43 || !urlSafe(h.Challenge) || len(h.State) < 20 || len(h.State) > 64 ||
		!urlSafe(h.State) {
		return nil, fmt.Errorf("port, challenge or state: it is none that hnctl gives")
	}
	return h, nil
}

func urlSafe(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_')
	})
}

// browserOf is the value of a browser's cookie, "" if it has none.
func browserOf(r *http.Request) string {
	c, err := r.Cookie(browserName)
	if err != nil || len(c.Value) != 64 || !urlSafe(c.Value) {
		return ""
	}
	return c.Value
}

func hashOf(browser string) string {
	if browser == "" {
		return ""
	}
	sum := sha256.Sum256([]byte("browser " + browser))
	return hex.EncodeToString(sum[:])
}

// sendAway sends a browser to the provider. It goes there by a page of ours: a form may lead nowhere else (form-action).
func (p *Panel) sendAway(w http.ResponseWriter, r *http.Request, e idp.Errand) error {
	browser := browserOf(r)
	if browser == "" {
		browser = random(32)
	}
	at, err := p.OIDC.Begin(r.Context(), r.RemoteAddr, hashOf(browser), e)
	if err != nil {
		return err
	}
	http.SetCookie(w, &http.Cookie{Name: browserName, Value: browser, Path: "/", Secure: true, HttpOnly: true, MaxAge: 15 * 60,
		SameSite: http.SameSiteLaxMode})
	p.html(w, r, http.StatusOK, hither(at))
	return nil
}

// oidcBegin begins a sign-in with the provider, for the panel or for hnctl.
func (p *Panel) oidcBegin(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 8192)
	e := idp.Errand{To: back(r.PostFormValue("to"))}
	if r.PostFormValue("port") != "" {
		var err error
		if e.Hnctl, err = hnctlOf(r.PostForm); err != nil {
			p.html(w, r, http.StatusBadRequest, oidcRefused("Sign in for hnctl", err.Error()+"; begin again: hnctl login --oidc"))
			return
		}
	}
	if p.provider() == "" {
		p.refuseSignIn(w, r, e, operator.NewProblem(operator.NotFound, "oidc", "this cluster has no identity provider",
			"sign in with your password"))
		return
	}
	if err := p.sendAway(w, r, e); err != nil {
		p.refuseSignIn(w, r, e, err)
	}
}

// refuseSignIn says why nobody was signed in by the provider.
func (p *Panel) refuseSignIn(w http.ResponseWriter, r *http.Request, e idp.Errand, err error) {
	problem := operator.AsProblem(err)
	logging.Or(p.Log).Warn("a sign-in with the identity provider was refused", logging.Addr, r.RemoteAddr, logging.Reason, problem.Reason)
	if after := problem.RetryAfter(); after != "" {
		w.Header().Set("Retry-After", after)
	}
	why := "That did not work: " + problem.Reason + "; " + problem.Next + "."
	if e.Hnctl != nil {
		p.html(w, r, problem.Status, oidcRefused("Sign in for hnctl", problem.Reason+"; then begin again: hnctl login --oidc"))
		return
	}
	p.html(w, r, problem.Status, p.loginPage(signIn{To: back(e.To), Refused: why}))
}

// oidcBack is where the provider leads a browser back to.
func (p *Panel) oidcBack(w http.ResponseWriter, r *http.Request) {
	if p.provider() == "" {
		p.nowhere(w, r)
		return
	}
	c, e, err := p.OIDC.Finish(r.Context(), hashOf(browserOf(r)), r.URL.Query())
	if err != nil {
		problem := operator.AsProblem(err)
		if problem.Status == http.StatusUnauthorized && p.Guesses != nil {
			problem = p.Guesses.Wrong(r.Context(), r.RemoteAddr, problem)
		}
		err = problem
	}
	switch {
	case e.Bind != "":
		if err == nil {
			err = p.OIDC.Bind(r.Context(), e.Bind, e.Proof, c, r.RemoteAddr)
		}
		if err != nil {
			problem := operator.AsProblem(err)
			p.html(w, r, problem.Status, oidcRefused("Sign in with "+p.provider(), problem.Reason+"; "+problem.Next))
			return
		}
		p.html(w, r, http.StatusOK, hither("/panel/you"))
	case e.Link != "":
		p.linkBack(w, r, c, e, err)
	case err != nil:
		p.refuseSignIn(w, r, e, err)
	default:
		p.signedBack(w, r, c, e)
	}
}

// signedBack signs in whom the provider vouched for.
func (p *Panel) signedBack(w http.ResponseWriter, r *http.Request, c idp.Claim, e idp.Errand) {
	check := users.Challenge(secret.Text(browserOf(r)))
	if e.Hnctl != nil {
		check = e.Hnctl.Challenge
	}
	ticket, err := p.OIDC.Ticket(r.Context(), c, check, r.RemoteAddr)
	if err != nil {
		problem := operator.AsProblem(err)
		if problem.Status == http.StatusUnauthorized && p.Guesses != nil {
			problem = p.Guesses.Wrong(r.Context(), r.RemoteAddr, problem)
		}
		p.refuseSignIn(w, r, e, problem)
		return
	}
	if e.Hnctl != nil {
		q := url.Values{"ticket": {ticket.Reveal()}, "state": {e.Hnctl.State}}
		p.html(w, r, http.StatusOK, hither(fmt.Sprintf("http://127.0.0.1:%d/?%s", e.Hnctl.Port, q.Encode())))
		return
	}
	p.redeem(w, r, codeForm{Ticket: ticket, To: e.To, Provider: c.Name}, "")
}

// codeForm is the page that asks for a code of the second factor, of who signed in with the provider.
type codeForm struct {
	Ticket   secret.Text
	To       string
	Provider string
	Refused  string
}

// redeem takes the session.
func (p *Panel) redeem(w http.ResponseWriter, r *http.Request, f codeForm, code secret.Text) {
	in, err := p.OIDC.SignIn(r.Context(), oidc.OidcSignIn{Ticket: f.Ticket, Verifier: secret.Text(browserOf(r)), Code: code}, r.RemoteAddr)
	if err == nil {
		p.open(w, r, &session{token: authz.Hash(in.Token), user: true, expires: in.Begun.Add(longest)})
		p.html(w, r, http.StatusOK, hither(f.To))
		return
	}
	problem := operator.AsProblem(err)
	if problem.Object == oidc.CodeNeeded {
		p.html(w, r, http.StatusOK, codePage(f))
		return
	}
	if code != "" && problem.Status == http.StatusUnauthorized {
		f.Refused = "That did not work: " + problem.Reason + "."
		p.html(w, r, problem.Status, codePage(f))
		return
	}
	p.refuseSignIn(w, r, idp.Errand{To: f.To}, err)
}

func (p *Panel) oidcCode(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 8192)
	if p.provider() == "" {
		p.nowhere(w, r)
		return
	}
	p.redeem(w, r, codeForm{Ticket: secret.Text(r.PostFormValue("ticket")), To: back(r.PostFormValue("to")), Provider: p.provider()},
		secret.Text(strings.TrimSpace(r.PostFormValue("code"))))
}

// oidcLink has a link used by who signs in with the provider.
func (p *Panel) oidcLink(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 8192)
	f := answered(r)
	l, known, err := p.Links.Look(r.Context(), f.Secret, r.RemoteAddr)
	if f.Link, f.Known = l, known; err == nil {
		a := f.Answer
		a.By = &idp.Claim{} // what is not about passwords has to be right before anybody is sent away
		if problem := a.Checked(l, known); problem != nil {
			err = problem
		} else if p.provider() == "" {
			err = operator.NewProblem(operator.NotFound, "oidc", "this cluster has no identity provider", "choose a password")
		} else if err = p.sendAway(w, r, idp.Errand{Link: f.Secret, Account: a.Account, Person: a.Name, Code: a.Code}); err == nil {
			return
		}
	}
	p.linkPage(w, r, f, err)
}

// linkBack uses a link, for whom the provider vouched for.
func (p *Panel) linkBack(w http.ResponseWriter, r *http.Request, c idp.Claim, e idp.Errand, err error) {
	f := linkForm{Secret: e.Link, Answer: users.Answer{Account: e.Account, Name: e.Person, Code: e.Code, By: &c}}
	if err == nil {
		l, used := p.Links.Use(r.Context(), f.Secret, f.Answer, r.RemoteAddr)
		if used == nil {
			p.html(w, r, http.StatusOK, hither("/panel/login?did="+string(l.Kind)))
			return
		}
		err = used
	}
	f.Answer.By = nil
	if l, known, gone := p.Links.Look(r.Context(), f.Secret, r.RemoteAddr); gone == nil {
		f.Link, f.Known = l, known
	}
	p.linkPage(w, r, f, err)
}

// nowhere is the answer where there is nothing for who is not signed in.
func (p *Panel) nowhere(w http.ResponseWriter, r *http.Request) {
	p.html(w, r, http.StatusNotFound, oidcRefused("Sign in", "this cluster has no identity provider"))
}

// answered is what a person says on a link's page.
func answered(r *http.Request) linkForm {
	return linkForm{Secret: secret.Text(r.PostFormValue("link")), Answer: users.Answer{
		Account: wire.Account(strings.TrimSpace(r.PostFormValue("account"))), Name: strings.TrimSpace(r.PostFormValue("name")),
		Password: secret.Text(r.PostFormValue("password")), Again: secret.Text(r.PostFormValue("again")),
		Code: secret.Text(strings.TrimSpace(r.PostFormValue("code")))}}
}
