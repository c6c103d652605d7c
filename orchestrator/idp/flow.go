package idp

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"sync"
	"time"

	goidc "github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"hardnode.dev/internal/limit"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/store"
)

// The bounds on sign-ins that have gone to the provider and not come back. Beyond them the oldest goes: of the same place first.
const (
	flowFor   = 10 * time.Minute
	flowsEach = 50
	flowsAll  = 20000
)

// Errand is what is done with whom the provider says that it is. It is kept until the browser is back.
type Errand struct {
	To string // sign in: where to go then

	Hnctl *Hnctl // sign in: for hnctl

	Bind  string // id of the user to be bound, who has proven who they are; "": none
	Proof string // of that

	Link    secret.Text // of the link to be used; "": none
	Account wire.Account
	Person  string      // the person's name
	Code    secret.Text // of their second factor
}

// Hnctl is where hnctl waits for who signs in: at a port of the browser's own machine (RFC 8252, section 7.3).
type Hnctl struct {
	Port      uint16
	Challenge string // what the ticket is good with (RFC 7636, S256)
	State     string // hnctl's own
}

// Claim is whom the provider says that somebody is.
type Claim struct {
	Issuer, Subject string
	Mail            string // the provider's word for it; "": it says none that could be a user's
	Believed        bool   // that word counts: the address is verified, and of a domain that the provider hands out
	Both            bool   // the sign-in counts as both factors
	Name            string // of the provider
}

// flow is one sign-in that is under way.
type flow struct {
	browser  string // which began it: the hash of its cookie
	place    string
	nonce    string
	verifier string
	errand   Errand
	begun    time.Time
	since    time.Time // of the settings
}

type flows struct {
	sync.Mutex
	by map[string]*flow // by state
}

// put keeps a sign-in under its state.
func (f *flows) put(state string, fl *flow, now time.Time) {
	f.Lock()
	defer f.Unlock()
	if f.by == nil {
		f.by = map[string]*flow{}
	}
	oldest, ofPlace, n := "", "", 0
	for s, x := range f.by {
		if now.Sub(x.begun) >= flowFor {
			delete(f.by, s)
			continue
		}
		if oldest == "" || x.begun.Before(f.by[oldest].begun) {
			oldest = s
		}
		if x.place == fl.place {
			if n++; ofPlace == "" || x.begun.Before(f.by[ofPlace].begun) {
				ofPlace = s
			}
		}
	}
	switch {
	case n >= flowsEach:
		delete(f.by, ofPlace)
	case len(f.by) >= flowsAll:
		delete(f.by, oldest)
	}
	f.by[state] = fl
}

// take gives a sign-in that this browser began, once.
func (f *flows) take(state, browser string, now time.Time) (*flow, bool) {
	f.Lock()
	defer f.Unlock()
	fl := f.by[state]
	if fl == nil || !equal(fl.browser, browser) { // another browser can't end what this one began
		return nil, false
	}
	delete(f.by, state)
	return fl, now.Sub(fl.begun) < flowFor
}

func equal(a, b string) bool { return a != "" && subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

func random() string {
	raw := make([]byte, 32)
	rand.Read(raw) // never fails (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(raw)
}

// Begin is the address of the provider that a browser is sent to. browser is what only it knows, hashed.
func (d *Desk) Begin(ctx context.Context, from, browser string, e Errand) (string, error) {
	rec, ok := store.OIDCs.Get(d.Store.View(), store.Only)
	if !ok {
		return "", none()
	}
	f, err := d.provider(ctx, rec)
	if err != nil {
		return "", away(rec.Name, "can't be reached")
	}
	conf, err := d.config(rec, f)
	if err != nil {
		return "", err
	}
	state, now := random(), d.Now()
	fl := &flow{browser: browser, place: limit.Key(limit.Addr(from)).String(), nonce: random(), verifier: oauth2.GenerateVerifier(),
		errand: e, begun: now, since: rec.Since}
	d.flows.put(state, fl, now)
	return conf.AuthCodeURL(state, goidc.Nonce(fl.nonce), oauth2.S256ChallengeOption(fl.verifier)), nil
}

// Finish is whom the provider says that it is, of what a browser brings back. A state that is none of the browser's is Denied with status
// 401: it is a guess, or forged. e is the errand, also of what did not work, once the state was right.
func (d *Desk) Finish(ctx context.Context, browser string, q url.Values) (c Claim, e Errand, err error) {
	fl, fresh := d.flows.take(q.Get("state"), browser, d.Now())
	rec, ok := store.OIDCs.Get(d.Store.View(), store.Only)
	if fl != nil {
		e = fl.errand
	}
	switch {
	case !ok:
		return c, e, none()
	case fl == nil: // the panel may also have been opened under another name than the one that the provider leads back to
		p := denied("this browser has begun no such sign-in, or it is over")
		p.Next = "begin again at " + rec.Panel + "/panel/login"
		return c, e, p
	}
	refuse := func(why string) (Claim, Errand, error) { return c, e, denied(why) }
	switch {
	case !fresh:
		return refuse("the sign-in took more than " + flowFor.String())
	case !fl.since.Equal(rec.Since):
		return refuse("the identity provider's settings were changed meanwhile")
	case q.Has("iss") && q.Get("iss") != rec.Issuer: // RFC 9207
		return refuse("the answer is of another identity provider")
	case q.Has("error"):
		return refuse(rec.Name + " did not sign you in: " + errorCode(q.Get("error")).Error())
	case q.Get("code") == "" || len(q.Get("code")) > 4096:
		return refuse(rec.Name + " gave no code")
	}
	f, err := d.provider(ctx, rec)
	if err != nil {
		return c, e, away(rec.Name, "can't be reached")
	}
	c, err = d.exchanged(ctx, rec, f, fl, q.Get("code"))
	if err == nil {
		return c, e, nil
	}
	d.log().Warn("a sign-in with the identity provider did not work", logging.Err, err)
	var away2 unreached
	if errors.As(err, &away2) {
		return Claim{}, e, away(rec.Name, "can't be reached")
	}
	return Claim{}, e, denied(rec.Name + " does not say who you are: " + err.Error())
}

// denied is a sign-in that is not one.
func denied(reason string) *operator.Problem {
	p := operator.NewProblem(operator.Denied, "session", reason, "begin again at the sign-in page")
	p.Status, p.Title = http.StatusUnauthorized, http.StatusText(http.StatusUnauthorized)
	return p
}
