package panel

import (
	"context"
	"net/http"
	"strings"

	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/account"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/user"
	"hardnode.dev/orchestrator/store"
	"hardnode.dev/orchestrator/users"
)

// Links are what people are sent by mail, or given, to come back with. A page that has a secret in its address changes nothing: programs
// that look into mail follow links. What is done with one is a POST, whose address says nothing of it.
type Links struct {
	// Look is what a secret is good for, and whether there is a user of its mail address.
	Look func(ctx context.Context, text secret.Text, from string) (store.Link, bool, error)
	// Use does that, on record.
	Use func(ctx context.Context, text secret.Text, a users.Answer, from string) (store.Link, error)
	// Forgot and SignUp have one sent; SignsUp tells whether people may make accounts of a group.
	Forgot  func(mail, from string) *operator.Problem
	SignUp  func(group, mail, from string) *operator.Problem
	SignsUp func(group string) bool
}

// linkForm is what a link's page shows.
type linkForm struct {
	Link    store.Link
	Known   bool // there is a user of that mail address
	Secret  secret.Text
	Cluster string
	Refused string // why the last try did not work
	Answer  users.Answer

	Provider string // of identities; "": there is none
}

// What the sign-in page says of what was done.
var did = map[user.LinkKind]string{
	user.LinkInvite: "You are in the account now. Sign in.",
	user.LinkReset: "Your password is the new one, and all your sessions have ended. Sign in; if you have a second factor, it is needed " +
		"as before.",
	user.LinkSignUp: "Your account is made. Sign in.",
}

func (p *Panel) links(mux *http.ServeMux) {
	mux.HandleFunc("GET "+user.LinkPath+"{secret}", func(w http.ResponseWriter, r *http.Request) {
		text := secret.Text(r.PathValue("secret"))
		l, known, err := p.Links.Look(r.Context(), text, r.RemoteAddr)
		p.linkPage(w, r, linkForm{Link: l, Known: known, Secret: text}, err)
	})
	mux.HandleFunc("POST "+strings.TrimSuffix(user.LinkPath, "/"), p.useLink)
	mux.HandleFunc("GET /panel/forgot", func(w http.ResponseWriter, r *http.Request) {
		p.html(w, r, http.StatusOK, askPage(askForm{Title: "Forgot your password?", At: "/panel/forgot", Says: forgotSays}))
	})
	mux.HandleFunc("POST /panel/forgot", func(w http.ResponseWriter, r *http.Request) {
		p.asked(w, r, askForm{Title: "Forgot your password?", At: "/panel/forgot", Says: forgotSays}, func(mail string) *operator.Problem {
			return p.Links.Forgot(mail, r.RemoteAddr)
		})
	})
	mux.HandleFunc("GET /panel/signup/{group}", func(w http.ResponseWriter, r *http.Request) {
		group := r.PathValue("group")
		if !p.Links.SignsUp(group) {
			p.html(w, r, http.StatusNotFound, closedPage())
			return
		}
		p.html(w, r, http.StatusOK, askPage(signUpForm(group)))
	})
	mux.HandleFunc("POST /panel/signup/{group}", func(w http.ResponseWriter, r *http.Request) {
		group := r.PathValue("group")
		if !p.Links.SignsUp(group) {
			p.html(w, r, http.StatusNotFound, closedPage())
			return
		}
		p.asked(w, r, signUpForm(group), func(mail string) *operator.Problem { return p.Links.SignUp(group, mail, r.RemoteAddr) })
	})
}

const (
	forgotSays = "Say your mail address. If it is a user's, a link comes by which you choose a new password."
	signUpSays = "Say your mail address. A link comes by which you make your account."
	sentSays   = "If this address may have a mail, it is on its way. Look for it also where unwanted mail goes. You may close this page."
)

func signUpForm(group string) askForm {
	return askForm{Title: "Make an account", At: "/panel/signup/" + group, Says: signUpSays}
}

// askForm is a page that asks for a mail address.
type askForm struct {
	Title, At, Says string
	Mail            string
	Refused         string
	Sent            bool
}

// asked answers who asked for a mail: the same, whoever they are.
func (p *Panel) asked(w http.ResponseWriter, r *http.Request, f askForm, ask func(mail string) *operator.Problem) {
	r.Body = http.MaxBytesReader(w, r.Body, 8192)
	f.Mail = strings.TrimSpace(r.PostFormValue("mail"))
	if problem := ask(f.Mail); problem != nil {
		if after := problem.RetryAfter(); after != "" {
			w.Header().Set("Retry-After", after)
		}
		f.Refused = "That did not work: " + problem.Reason + "; " + problem.Next + "."
		p.html(w, r, problem.Status, askPage(f))
		return
	}
	f.Sent = true
	p.html(w, r, http.StatusOK, askPage(f))
}

// linkPage shows what a link is good for, or that it is good for nothing.
func (p *Panel) linkPage(w http.ResponseWriter, r *http.Request, f linkForm, err error) {
	if err != nil && f.Link.Hash == "" {
		problem := operator.AsProblem(err)
		p.html(w, r, problem.Status, noLinkPage(problem.Reason))
		return
	}
	status := http.StatusOK
	if err != nil {
		problem := operator.AsProblem(err)
		if status = problem.Status; problem.RetryAfter() != "" {
			w.Header().Set("Retry-After", problem.RetryAfter())
		}
		f.Refused = "That did not work: " + problem.Reason + "; " + problem.Next + "."
	}
	f.Provider = p.provider()
	f.Cluster = p.World(wire.AdminAccount).Installation().Name
	p.html(w, r, status, linkPage(f))
}

func (p *Panel) useLink(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 8192)
	f := answered(r)
	l, err := p.Links.Use(r.Context(), f.Secret, f.Answer, r.RemoteAddr)
	if err == nil {
		http.Redirect(w, r, "/panel/login?did="+string(l.Kind), http.StatusSeeOther)
		return
	}
	if l.Hash != "" { // is it still there?
		f.Link, f.Known, _ = p.Links.Look(r.Context(), f.Secret, r.RemoteAddr)
	}
	p.linkPage(w, r, f, err)
}

// openGroup is the group that the sign-in page offers to make an account of, "" if none.
func (p *Panel) openGroup() string {
	if p.Links.SignsUp != nil && p.Links.SignsUp(account.DefaultGroup) {
		return account.DefaultGroup
	}
	return ""
}
