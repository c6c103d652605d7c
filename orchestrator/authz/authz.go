// Package authz says who a caller of the API is and what they may do.
//
// Owns: bearer tokens (stored as hashes) and their scopes.
// In: a token's text; the scope an operation needs.
// Out: Who; a Problem when the token is not known, has expired, or lacks the scope.
// Never: keeps a token's text, or logs it.
package authz

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/account"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/user"
	"hardnode.dev/orchestrator/store"
)

// Scope is a right. Admin includes the others.
type Scope string

// The scopes.
const (
	Read  Scope = "read"  // look at everything but secrets
	Write Scope = "write" // create, start, stop and delete environments
	Exec  Scope = "exec"  // run commands in people's containers and read their logs
	Patch Scope = "patch" // rollouts, and what they are made of: orders to hosts' systems, cordon, drain, boot
	Admin Scope = "admin" // tokens, audit, and all of the above

	Metrics  Scope = "metrics"  // read /metrics, and nothing else
	Platform Scope = "platform" // what Exec is, in the platform's own containers: the issuing CA's key is there
)

// MaxTokens is how many an account may have; of those that ended with their makers as many are kept beside them, the latest.
const MaxTokens = 1000

// AdminID and PatcherID are the tokens that came with the cluster.
const (
	AdminID   = "admin"
	PatcherID = "patcher"
)

// Who is a caller.
type Who struct {
	ID      string
	Name    string
	Account wire.Account // whose token it is: what of the cluster the caller sees, and whose is what they make
	Scopes  []string
	Envs    []wire.EnvName // that the token is for; nil: for all that the account sees

	User string // id of the user whose session it is; "": it is a token
	Role string // of a user, in the account

	Rates account.APIRates // how often they may ask: the token or session, and all of its account

	Acting *user.ActingAs // who acts as the user, why and until when; nil: it is the user, or a token

	Expires time.Time // of the token; zero: it does not
	hash    string    // of the token
	limited string    // why Scopes are fewer than the token's own; "": they aren't
}

// Tokens checks and keeps tokens.
type Tokens struct {
	Store *store.Store
	Now   func() time.Time

	uses uses // of sessions
}

// Hash is how a token is known: the hex SHA-256 of its text.
func Hash(text secret.Text) string { return identity.HashToken(text) }

// Check says who holds the token. An unknown or expired one is a Problem with status 401.
func (t *Tokens) Check(text secret.Text) (Who, *operator.Problem) {
	switch {
	case text == "":
		return unknown("no token was sent")
	case len(text) > 256:
		return unknown("the token is not known")
	}
	who, p := t.CheckHash(Hash(text))
	if p == nil {
		t.Used(who)
	}
	return who, p
}

// CheckHash is Check for a token whose hash is known already (a session of the panel). It is no use of a session.
func (t *Tokens) CheckHash(hash string) (Who, *operator.Problem) {
	v := t.Store.View()
	rec, ok := store.Tokens.Get(v, hash)
	switch {
	case !ok:
		return t.session(v, hash)
	case !rec.Expires.IsZero() && !t.Now().Before(rec.Expires):
		return unknown("the token expired at " + rec.Expires.Format(time.RFC3339))
	}
	over, limited, scopes := standing(v, &rec)
	if over != "" {
		return unknown("the token has ended: " + over)
	}
	who := Who{ID: rec.ID, Name: rec.Name, Account: rec.Account, Scopes: scopes, Expires: rec.Expires, hash: rec.Hash, limited: limited,
		Rates: ratesOf(v, rec.Account, rec.Rate)}
	if n := rec.Narrow; n != nil {
		who.Envs = n.Envs
	}
	return who, nil
}

func unknown(reason string) (Who, *operator.Problem) {
	p := operator.NewProblem(operator.Denied, "token", reason,
		"send Authorization: Bearer with a valid token; an admin makes one with hnctl token create")
	p.Status, p.Title = http.StatusUnauthorized, http.StatusText(http.StatusUnauthorized)
	return Who{}, p
}

// Bearer is the token of a request's Authorization header, "" if there is none.
func Bearer(header string) secret.Text {
	scheme, text, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "bearer") {
		return ""
	}
	return secret.Text(strings.TrimSpace(text))
}

// Held is the hash of what the caller holds: a token or a session.
func (w Who) Held() string { return w.hash }

// Called is a caller as others read of them: a token's name can't pass for a user's.
func (w Who) Called() string {
	if w.User == "" {
		return fmt.Sprintf("token %q", w.Name)
	}
	return w.Name
}

// Acted is a caller as what they begin names them: under both names, where somebody acts as a user. No token's name has a comma.
func (w Who) Acted() string {
	if w.Acting == nil {
		return w.Name
	}
	return w.Name + ", acted as by " + w.Acting.By
}

// Require is nil when the caller has the scope.
func (w Who) Require(s Scope, object string) *operator.Problem {
	for _, has := range w.Scopes {
		if has == string(s) || has == string(Admin) || s == Read && has != string(Metrics) {
			return nil
		}
	}
	if w.Acting != nil {
		return operator.NewProblem(operator.Denied, object, fmt.Sprintf("%s acts as %s, and nobody who acts for another has scope %s",
			w.Acting.By, w.Name, s), "have the user do it, or an owner of the account")
	}
	if w.User != "" {
		return operator.NewProblem(operator.Denied, object, fmt.Sprintf("%s is %s of account %s, this needs scope %s", w.Name, w.Role,
			w.Account, s), "ask an owner of the account for another role")
	}
	has, next := "scopes "+strings.Join(w.Scopes, ", "), "ask an admin for a token with that scope"
	if w.limited != "" {
		has, next = "less than its scopes, for "+w.limited, "ask an owner of the account for another token"
	}
	return operator.NewProblem(operator.Denied, object, fmt.Sprintf("token %q has %s, this needs %s", w.Name, has, s), next)
}

// RequireCluster is nil when the caller is one of those who run the cluster: what concerns all of it is not for other accounts.
func (w Who) RequireCluster(object string) *operator.Problem {
	if w.Account == wire.AdminAccount && w.Envs == nil {
		return nil
	}
	what := fmt.Sprintf("token %q", w.Name)
	if w.User != "" {
		what = "this session of " + w.Name
	}
	return operator.NewProblem(operator.Denied, object, fmt.Sprintf("it concerns the whole cluster, and %s is of account %q", what,
		w.Account), "ask those who run the cluster")
}

// Create makes a token of an account, for by, and returns its text, which is not kept.
func (t *Tokens) Create(ctx context.Context, by Who, of wire.Account, n operator.NewToken) (operator.MadeToken, error) {
	return t.create(ctx, by, of, n, func(tx *store.Tx) (*store.Maker, *operator.Problem) { return MakerOf(tx, by) })
}

// CreateIn is Create of a token of another account, which is there, by the same transaction.
func (t *Tokens) CreateIn(ctx context.Context, by Who, of wire.Account, n operator.NewToken,
	there func(*store.Tx) *operator.Problem) (operator.MadeToken, error) {
	return t.create(ctx, by, of, n, func(tx *store.Tx) (*store.Maker, *operator.Problem) {
		if p := there(tx); p != nil {
			return nil, p
		}
		return MakerOf(tx, by)
	})
}

// CreateOf is Create of a token of a service, whose maker that is.
func (t *Tokens) CreateOf(ctx context.Context, by Who, service store.User, n operator.NewToken) (operator.MadeToken, error) {
	in, _ := service.Only()
	account := in.Name
	return t.create(ctx, by, account, n, func(tx *store.Tx) (*store.Maker, *operator.Problem) {
		if _, p := MakerOf(tx, by); p != nil {
			return nil, p
		}
		u, ok := store.Users.Read(tx, store.UserKey(service.Mail))
		if of, one := u.Only(); !ok || u.ID != service.ID || !one || of.Name != account {
			return nil, operator.NewProblem(operator.NotFound, "services/"+service.Name, "it was removed meanwhile",
				"see hnctl user service list")
		}
		of, role := u.Members[0].Name, u.Members[0].Role
		if !slices.Equal(bounded(n.Scopes, role.Scopes()), n.Scopes) {
			return nil, operator.NewProblem(operator.Invalid, "scopes", fmt.Sprintf("service %s is %s of account %s, whose scopes are %s",
				u.Name, role, of, strings.Join(role.Scopes(), ", ")), "leave out what it can't have, or add a service with another role")
		}
		u.Made++ // who removes it meanwhile ends this one too, or one of both is tried again
		store.Users.Put(tx, store.UserKey(u.Mail), u)
		return &store.Maker{Kind: operator.ByService, ID: u.ID, Name: u.Name, User: u.ID, Account: of}, nil
	})
}

// create makes a token whose maker is known in its transaction.
func (t *Tokens) create(ctx context.Context, by Who, of wire.Account, n operator.NewToken,
	makerOf func(*store.Tx) (*store.Maker, *operator.Problem)) (operator.MadeToken, error) {
	n.Scopes = slices.Compact(slices.Sorted(slices.Values(n.Scopes)))
	raw := make([]byte, 20)
	if _, err := rand.Read(raw); err != nil {
		return operator.MadeToken{}, fmt.Errorf("make token: %v", err)
	}
	now := t.Now().UTC().Truncate(time.Second)
	rec := store.Token{
		ID:      hex.EncodeToString(raw[:4]),
		Name:    n.Name,
		Account: of,
		Scopes:  n.Scopes,
		Created: now,
	}
	if len(n.Environments) > 0 {
		rec.Narrow = &store.Narrow{Envs: slices.Compact(slices.Sorted(slices.Values(n.Environments))), Scopes: rec.Scopes}
		rec.Scopes = []string{}
	}
	if n.Rate != nil {
		if err := n.Rate.Validate("rate"); err != nil {
			return operator.MadeToken{}, operator.NewProblem(operator.Invalid, "rate", err.Error(), "change it")
		}
		rec.Rate = *n.Rate
	}
	if n.Days > 0 {
		rec.Expires = now.AddDate(0, 0, n.Days)
	}
	text := "hnt." + rec.ID + "." + hex.EncodeToString(raw[4:])
	rec.Hash = Hash(secret.Text(text))
	_, err := t.Store.Update(ctx, func(tx *store.Tx) error {
		if p := narrowed(tx, rec); p != nil {
			return p
		}
		if p := asSlow(tx, by, n.Rate, &rec); p != nil {
			return p
		}
		if p := slower(tx.View(), rec); p != nil {
			return p
		}
		maker, p := makerOf(tx)
		if p != nil {
			return p
		}
		rec.Maker = maker
		Counted(tx, rec.Account)
		has, ended, oldest := 0, 0, store.Token{}
		for o := range store.TokensIn.Of(tx.View(), string(rec.Account.Owner())) {
			if o.Name == rec.Name && o.Over == nil {
				return operator.NewProblem(operator.Conflict, "tokens/"+rec.Name, "a token of that name exists",
					"choose another name, or revoke it first")
			}
			if o.Over == nil {
				has++
				continue
			}
			if ended++; oldest.Over == nil || o.Over.At.Before(oldest.Over.At) {
				oldest = o
			}
		}
		switch {
		case rec.Account.Owner() == wire.AdminAccount:
		case has >= MaxTokens:
			return operator.NewProblem(operator.Exhausted, "tokens/"+rec.Name, fmt.Sprintf("limit tokens: account %s may have %d, "+
				"and has them", rec.Account.Owner(), MaxTokens), "revoke what is not needed: hnctl token list")
		case ended >= MaxTokens: // whoever read of it did
			store.Tokens.Delete(tx, oldest.Hash)
		}
		store.Tokens.Put(tx, rec.Hash, rec)
		return nil
	})
	return operator.MadeToken{Token: shown(t.Store.View(), by.Account, &rec), Text: text}, err
}

// Counted has what is decided by the number of an account's things fail where another was made at the same moment, and is tried again. An
// account that has no record, as that of those who run the cluster, has no such limit.
func Counted(tx *store.Tx, of wire.Account) {
	if a, ok := store.Accounts.Read(tx, string(of.Owner())); ok {
		a.Counted++
		store.Accounts.Put(tx, string(of.Owner()), a)
	}
}

// narrowed says why a token can't be for some environments only, or nil.
func narrowed(tx *store.Tx, rec store.Token) *operator.Problem {
	if rec.Narrow == nil {
		return nil
	}
	for _, s := range rec.Narrow.Scopes {
		if s != string(Read) && s != string(Write) && s != string(Exec) {
			return operator.NewProblem(operator.Invalid, "scopes", fmt.Sprintf("scope %s concerns more than environments", s),
				"give a token that is for some environments read, write or exec")
		}
	}
	for i, name := range rec.Narrow.Envs {
		if e := store.Envs.Find(tx.View(), string(name)); e == nil || e.System || !rec.Account.Sees(e.Account) {
			return operator.NewProblem(operator.NotFound, fmt.Sprintf("environments[%d]", i),
				fmt.Sprintf("there is no environment %q", name), "see hnctl env list")
		}
	}
	return nil
}

// ratesOf are how often a token or a session of an account may ask, own being its own limit, and all of the account.
func ratesOf(v *store.View, of wire.Account, own account.APIRate) account.APIRates {
	var group account.APIRates
	name := account.DefaultGroup
	if a := store.Accounts.Find(v, string(of.Owner())); a != nil && a.Group != "" {
		name = a.Group
	}
	if g := store.Groups.Find(v, name); g != nil {
		group = g.Rates
	}
	out := account.RatesOf(of, group)
	out.Token = own.Bound(out.Token)
	return out
}

// slower says why a token can't have a limit of its own, or nil: it would be higher than its account's, and not be heeded.
func slower(v *store.View, rec store.Token) *operator.Problem {
	most := ratesOf(v, rec.Account, account.APIRate{}).Token
	if rec.Rate == (account.APIRate{}) || rec.Rate.Bound(most) == rec.Rate {
		return nil
	}
	return operator.NewProblem(operator.Invalid, "rate", fmt.Sprintf("%s is more than the limit of each token of account %s: %s", rec.Rate,
		rec.Account.Owner(), most), "give the token less, or leave its rate out")
}

// asSlow has a token that a token with a limit of its own makes in its own account ask no oftener than that one may, or says why it can't.
func asSlow(tx *store.Tx, by Who, asked *account.APIRate, rec *store.Token) *operator.Problem {
	maker, ok := store.Tokens.Get(tx.View(), by.hash)
	most := maker.Rate
	if !ok || most == (account.APIRate{}) || maker.Account.Owner() != rec.Account.Owner() {
		return nil
	}
	if asked == nil {
		rec.Rate = most
		return nil
	}
	if asked.Bound(most) == *asked {
		return nil
	}
	return operator.NewProblem(operator.Invalid, "rate", fmt.Sprintf("%s is more than the limit of token %q, which makes it: %s", *asked,
		maker.Name, most), "give the token less, or make it with another one")
}

// List is all tokens that an account sees, by name.
func (t *Tokens) List(account wire.Account) []operator.Token {
	out := []operator.Token{}
	v := t.Store.View()
	for _, r := range store.Tokens.Refs(v) {
		if account.Sees(r.Account) {
			out = append(out, shown(v, account, r))
		}
	}
	slices.SortFunc(out, func(a, b operator.Token) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// Revoke ends a token that a caller's account sees, at once, and with it what it has open. The last one of its account that can make others
// and ends with nobody is refused: nobody could get in any more.
func (t *Tokens) Revoke(ctx context.Context, id string, account wire.Account) error {
	_, err := t.Store.Update(ctx, func(tx *store.Tx) error {
		var gone *store.Token
		makers := map[wire.Account]int{} // beside it
		for _, seen := range store.Tokens.All(tx.View()) {
			r, ok := store.Tokens.Read(tx, seen.Hash) // read in the transaction: two revocations at once can't take the last two
			switch {
			case !ok:
			case r.ID == id && account.Sees(r.Account):
				gone = &r
			case stays(r):
				makers[r.Account.Owner()]++
			}
		}
		switch {
		case gone == nil:
			return operator.NewProblem(operator.NotFound, "tokens/"+id, "there is no such token", "see hnctl token list")
		case stays(*gone) && makers[gone.Account.Owner()] == 0:
			return operator.NewProblem(operator.Conflict, "tokens/"+id,
				"it is the last token with scope admin that does not expire, or end with a user: without it nobody could make another",
				"make its successor first, with this token: hnctl token create NAME --scope admin")
		}
		store.Tokens.Delete(tx, gone.Hash)
		return nil
	})
	return err
}

// While is ctx for as long as the token counts: it ends, with why as its cause, when the token is revoked or expires, or a role lets its
// holder do less. What a caller holds open runs under it.
func (t *Tokens) While(ctx context.Context, w Who) (context.Context, context.CancelFunc) {
	ctx, end := context.WithCancelCause(ctx)
	go func() {
		for {
			v := t.Store.View()
			now, p := t.CheckHash(w.hash)
			if p == nil && lessened(w.Scopes, now.Scopes) {
				p = operator.NewProblem(operator.Denied, "token", "the role that it counts by is a lower one now", "ask an owner")
			}
			if p != nil {
				end(p)
				return
			}
			tick := time.NewTimer(10 * time.Second) // expiry comes without a change of the store
			select {
			case <-v.Over():
			case <-tick.C:
			case <-ctx.Done():
				tick.Stop()
				return
			}
			tick.Stop()
		}
	}()
	return ctx, func() { end(context.Canceled) }
}
