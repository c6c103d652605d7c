package panel

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/user"
	"hardnode.dev/orchestrator/authz"
	"hardnode.dev/orchestrator/passkeys"
	"hardnode.dev/orchestrator/store"
)

// Passkeys is what is done with passkeys.
type Passkeys struct {
	Origin func() string // where they are made and used (https://host[:port]), "" while the panel has no address with a name
	// Ask is what a browser is asked by which somebody signs in, Answer whose passkey signed; SignIn begins their session, on record.
	Ask    func(from, browser string) ([]byte, error)
	Answer func(browser string, answer []byte) (passkeys.Used, error)
	SignIn func(ctx context.Context, used passkeys.Used, from string) (user.SignedIn, error)
	// The others are about a user's own passkeys, on record. Prove gives the proof that Make takes and Made brings back for Add.
	List   func(authz.Who) []user.Passkey
	Prove  func(ctx context.Context, w authz.Who, name string, password, code secret.Text, from string) (proof string, err error)
	Make   func(from, browser string, u user.User, proof, name string) ([]byte, error)
	Made   func(browser, id string, answer []byte) (p store.Passkey, proof string, err error)
	Add    func(ctx context.Context, w authz.Who, proof string, p store.Passkey, from string) error
	Rename func(ctx context.Context, w authz.Who, id, name, from string) error
	Remove func(ctx context.Context, w authz.Who, id string, r user.RemovePasskey, from string) error
}

// passkeyBrowser is the cookie by which a browser is known that was given a challenge. It comes along from pages of ours alone, and is good
// for nothing else.
const passkeyBrowser = "__Host-hardnode-passkey"

func (p *Panel) passkeys(mux *http.ServeMux) {
	mux.HandleFunc("POST /panel/passkey/ask", func(w http.ResponseWriter, r *http.Request) {
		ask, err := p.Passkeys.Ask(r.RemoteAddr, p.challenged(w, r))
		p.challenge(w, ask, err)
	})
	mux.HandleFunc("POST /panel/passkey/answer", p.passkeyAnswer)
	mux.HandleFunc("POST /panel/you/passkey/ask", p.person(func(w http.ResponseWriter, r *http.Request, who authz.Who) {
		ask, err := p.passkeyAsk(w, r, who)
		p.challenge(w, ask, err)
	}))
	mux.HandleFunc("POST /panel/you/passkey/answer", p.person(func(w http.ResponseWriter, r *http.Request, who authz.Who) {
		p.goOn(w, "/panel/you", p.passkeyAdd(r, who))
	}))
	mux.HandleFunc("POST /panel/you/passkey/rename", p.person(func(w http.ResponseWriter, r *http.Request, who authz.Who) {
		p.youDone(w, r, who, p.Passkeys.Rename(r.Context(), who, r.PostFormValue("passkey"), passkeyName(r), r.RemoteAddr))
	}))
	mux.HandleFunc("POST /panel/you/passkey/remove", p.person(func(w http.ResponseWriter, r *http.Request, who authz.Who) {
		e := user.RemovePasskey{Password: secret.Text(r.PostFormValue("password")), Code: codeOf(r)}
		p.youDone(w, r, who, p.Passkeys.Remove(r.Context(), who, r.PostFormValue("passkey"), e, r.RemoteAddr))
	}))
}

func passkeyName(r *http.Request) string { return strings.TrimSpace(r.PostFormValue("name")) }

// passkeysAt is where passkeys are made and used, "" while they are nowhere.
func (p *Panel) passkeysAt() string {
	if p.Passkeys.Origin == nil {
		return ""
	}
	return p.Passkeys.Origin()
}

// challenged is by what a browser is known that asks for a challenge, hashed; one that has no cookie gets it.
func (p *Panel) challenged(w http.ResponseWriter, r *http.Request) string {
	value := passkeyCookie(r)
	if value == "" {
		value = random(32)
	}
	http.SetCookie(w, &http.Cookie{Name: passkeyBrowser, Value: value, Path: "/", Secure: true, HttpOnly: true, MaxAge: 10 * 60,
		SameSite: http.SameSiteStrictMode})
	return hashOf(value)
}

// passkeyCookie is the value of a browser's cookie, "" if it has none.
func passkeyCookie(r *http.Request) string {
	c, err := r.Cookie(passkeyBrowser)
	if err != nil || len(c.Value) != 64 || !urlSafe(c.Value) {
		return ""
	}
	return c.Value
}

// answerOf is what a browser brings back.
func answerOf(r *http.Request) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(r.Body, passkeys.MaxAnswer+1))
	if err != nil {
		return nil, operator.NewProblem(operator.Invalid, "passkey", "the browser's answer is too long, or did not come whole",
			"begin again")
	}
	return raw, nil
}

// passkeyAnswer signs in whose passkey signed.
func (p *Panel) passkeyAnswer(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, passkeys.MaxAnswer)
	answer, err := answerOf(r)
	var used passkeys.Used
	if err == nil {
		used, err = p.Passkeys.Answer(hashOf(passkeyCookie(r)), answer)
	}
	var in user.SignedIn
	if err == nil {
		in, err = p.Passkeys.SignIn(r.Context(), used, r.RemoteAddr)
	}
	if err != nil {
		problem := operator.AsProblem(err)
		logging.Or(p.Log).Warn("a sign-in with a passkey was refused", logging.Addr, r.RemoteAddr, logging.Reason, problem.Reason)
		if problem.Status == http.StatusUnauthorized && p.Guesses != nil {
			problem = p.Guesses.Wrong(r.Context(), r.RemoteAddr, problem)
		}
		p.goOn(w, "", problem)
		return
	}
	p.open(w, r, &session{token: authz.Hash(in.Token), user: true, expires: in.Begun.Add(longest)})
	p.goOn(w, back(r.URL.Query().Get("to")), nil)
}

// passkeyAsk is what the browser of a user is asked who proves who they are, and wants a passkey.
func (p *Panel) passkeyAsk(w http.ResponseWriter, r *http.Request, who authz.Who) ([]byte, error) {
	if p.passkeysAt() == "" {
		return nil, operator.NewProblem(operator.NotFound, "passkey", "the panel has no address with a name that passkeys could be for",
			"ask those who run the cluster")
	}
	name := passkeyName(r)
	proof, err := p.Passkeys.Prove(r.Context(), who, name, secret.Text(r.PostFormValue("password")), codeOf(r), r.RemoteAddr)
	if err != nil {
		return nil, err
	}
	u, err := p.Self(who)
	if err != nil {
		return nil, err
	}
	return p.Passkeys.Make(r.RemoteAddr, p.challenged(w, r), u, proof, name)
}

func (p *Panel) passkeyAdd(r *http.Request, who authz.Who) error {
	answer, err := answerOf(r)
	if err != nil {
		return err
	}
	made, proof, err := p.Passkeys.Made(hashOf(passkeyCookie(r)), who.User, answer)
	if err != nil {
		return err
	}
	return p.Passkeys.Add(r.Context(), who, proof, made, r.RemoteAddr)
}

// challenge sends what a browser is asked, or why it is not.
func (p *Panel) challenge(w http.ResponseWriter, ask []byte, err error) {
	if err != nil {
		p.goOn(w, "", err)
		return
	}
	p.json(w, http.StatusOK, ask)
}

// goOn says to passkey.js where to go on, or why not.
func (p *Panel) goOn(w http.ResponseWriter, to string, err error) {
	says, status := map[string]string{"to": to}, http.StatusOK
	if err != nil {
		problem := operator.AsProblem(err)
		if status = problem.Status; problem.RetryAfter() != "" {
			w.Header().Set("Retry-After", problem.RetryAfter())
		}
		says = map[string]string{"why": "That did not work: " + problem.Reason + "; " + problem.Next + "."}
	}
	raw, err := json.Marshal(says)
	if err != nil {
		panic("BUG: an answer to passkey.js: " + err.Error())
	}
	p.json(w, status, raw)
}

func (p *Panel) json(w http.ResponseWriter, status int, raw []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(raw)
}

// passkeySays is what is said of a passkey beside its name.
func passkeySays(k user.Passkey) string {
	says := "added " + k.Made.UTC().Format("2006-01-02")
	if k.Last.IsZero() {
		says += ", not used yet"
	} else {
		says += ", last used " + k.Last.UTC().Format("2006-01-02 15:04") + " UTC"
	}
	if k.Synced {
		says += ", on all your devices that share it"
	}
	return says
}
