package panel

import (
	"net/http"
	"strings"

	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/user"
	"hardnode.dev/orchestrator/authz"
	"hardnode.dev/orchestrator/idp"
	"hardnode.dev/orchestrator/passkeys"
)

// youForm is the page of who is signed in, about themselves.
type youForm struct {
	User     user.User
	Provider string // of identities, "" while there is none
	Passkeys []user.Passkey
	Refused  string // why the last try did not work

	PasskeysAt string // where they are made, "" while they are nowhere
}

func (p *Panel) you(mux *http.ServeMux) {
	mux.HandleFunc("GET /panel/you", p.person(func(w http.ResponseWriter, r *http.Request, who authz.Who) {
		p.youPage(w, r, who, nil)
	}))
	mux.HandleFunc("POST /panel/you/bind", p.person(func(w http.ResponseWriter, r *http.Request, who authz.Who) {
		if p.provider() == "" {
			p.nowhere(w, r)
			return
		}
		proof, err := p.OIDC.Prove(r.Context(), who, secret.Text(r.PostFormValue("password")), codeOf(r), r.RemoteAddr)
		if err == nil {
			err = p.sendAway(w, r, idp.Errand{Bind: who.User, Proof: proof})
		}
		if err != nil {
			p.youPage(w, r, who, err)
		}
	}))
	mux.HandleFunc("POST /panel/you/unbind", p.person(func(w http.ResponseWriter, r *http.Request, who authz.Who) {
		e := user.EndIdentity{Password: secret.Text(r.PostFormValue("password")), Code: codeOf(r)}
		p.youDone(w, r, who, p.OIDC.End(r.Context(), who, e, r.RemoteAddr))
	}))
	p.passkeys(mux)
}

// youDone shows the page anew, once what was asked for is done, or why it is not.
func (p *Panel) youDone(w http.ResponseWriter, r *http.Request, who authz.Who, err error) {
	if err != nil {
		p.youPage(w, r, who, err)
		return
	}
	http.Redirect(w, r, "/panel/you", http.StatusSeeOther)
}

func codeOf(r *http.Request) secret.Text {
	return secret.Text(strings.TrimSpace(r.PostFormValue("code")))
}

// person lets only a user in who is signed in, themselves.
func (p *Panel) person(f func(http.ResponseWriter, *http.Request, authz.Who)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, passkeys.MaxAnswer)
		who, _ := p.who(r)
		switch {
		case who.ID == "" && fromElsewhere(r):
			p.html(w, r, http.StatusOK, hither(r.URL.RequestURI()))
		case who.ID == "":
			http.Redirect(w, r, signInAt(r), http.StatusSeeOther)
		case who.User == "" || who.Acting != nil:
			p.html(w, r, http.StatusForbidden, oidcRefused("You", "this page is for users who signed in themselves; you hold a token"))
		default:
			f(w, r, who)
		}
	}
}

// youPage shows who is signed in, and why what they asked for did not work.
func (p *Panel) youPage(w http.ResponseWriter, r *http.Request, who authz.Who, err error) {
	f, status := youForm{Provider: p.provider(), Passkeys: p.Passkeys.List(who), PasskeysAt: p.passkeysAt()}, http.StatusOK
	if err != nil {
		problem := operator.AsProblem(err)
		if status = problem.Status; problem.RetryAfter() != "" {
			w.Header().Set("Retry-After", problem.RetryAfter())
		}
		f.Refused = "That did not work: " + problem.Reason + "; " + problem.Next + "."
	}
	if f.User, err = p.Self(who); err != nil {
		problem := operator.AsProblem(err)
		p.html(w, r, problem.Status, oidcRefused("You", problem.Reason))
		return
	}
	p.html(w, r, status, youPage(f))
}
