// Package door is what every request of people's tools comes through before anything is done for it.
//
// Owns: the order (route, token, rate, body, place, handler) and the limits: of a body, of requests at work, of
// how often they come, of what is held open.
// In: requests; the routes behind it, and which of them are held open.
// Out: requests of a caller who is known, whose body is here and for whom there is room; a Problem for all others; entity tags.
// Never: takes anything scarce for a caller who is not known, or knows what a route does.
package door

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"hardnode.dev/internal/limit"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/authz"
)

// The limits. What is over them is refused early, with Retry-After: a server that takes in more than it can do answers nobody.
const (
	MaxBody      = 1 << 20          // bytes of a body
	maxAtOnce    = 64               // requests at work
	maxOfAccount = 16               // of them, of one account with all its tokens and sessions
	maxOfToken   = 12               // of them, of one token or session of it
	maxOfAdmins  = 48               // of them, of the admins
	keptOf       = 8                // of them, that accounts leave to the admins
	maxOfOne     = 32               // requests of one token that are at work or wait for a place
	maxOfAll     = 64               // of one account
	maxBodies    = 128              // bodies of one account, or of one token of the admins, that are not here yet: MaxBody each
	maxOpen      = 100              // sessions and watches of one token
	maxOpenOfAll = 400              // of one account
	maxOpenBody  = 8 << 10          // bytes of a body of who needs no token
	maxStrangers = 128              // requests that need no token
	maxStranger  = 16               // of them, of one client
	maxQueue     = 2 * time.Second  // that a request waits for others
	WriteLimit   = 30 * time.Second // for an answer to be taken
)

// methods are those the API knows, in the order Allow names them.
var methods = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}

// Door lets requests in to Routes, in this order: the route, the token, its rate, the body, a place, the handler. Nothing scarce is taken
// for a caller who is not known or whose body is not here yet.
type Door struct {
	Routes  *http.ServeMux
	Public  string          // what anybody may read: paths that begin with it
	Held    map[string]bool // the patterns of Routes that are held open: sessions and watches
	Open    map[string]bool // the patterns of Routes that need no token: who signs in has none
	Tokens  *authz.Tokens
	Guesses *authz.Guesses                                                        // slows down wrong tokens; nil: nobody does
	Enter   func(ctx context.Context, who authz.Who, from string) context.Context // tells the handler who asks, and from where
	Log     *slog.Logger

	places    limit.Places
	strangers limit.Gate
	rates     limit.Rates
	mu        struct {
		sync.Mutex
		working, held, bodies map[string]int // by token, and by account
	}
}

// Handler is the door with its Routes behind it. It comes before the first Admit.
func (d *Door) Handler() http.Handler {
	d.places.All = maxAtOnce
	d.strangers.All, d.strangers.Each = maxStrangers, maxStranger
	d.rates.Now = time.Now
	d.mu.working, d.mu.held, d.mu.bodies = map[string]int{}, map[string]int{}, map[string]int{}
	return http.HandlerFunc(d.serve)
}

// serve answers one request.
func (d *Door) serve(w http.ResponseWriter, r *http.Request) {
	defer d.recover(w, r)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	ctl := http.NewResponseController(w)
	ctl.SetWriteDeadline(time.Now().Add(WriteLimit))
	_, pattern := d.Routes.Handler(r)
	if pattern != "" && strings.HasPrefix(r.URL.Path, d.Public) { // what the API is like is no secret
		d.Routes.ServeHTTP(w, r)
		return
	}
	if allow := d.allowed(r); pattern == "" && r.Method == http.MethodOptions && allow != "" {
		w.Header().Set("Allow", allow)
		w.WriteHeader(http.StatusNoContent)
		return
	}
	if d.Open[pattern] {
		d.open(w, r)
		return
	}
	who, p := d.Tokens.Check(authz.Bearer(r.Header.Get("Authorization")))
	if p != nil {
		d.unknown(w, r, p)
		return
	}
	if p := d.paced(w, r, who); p != nil {
		operator.WriteProblem(w, p)
		return
	}
	if pattern == "" {
		d.noRoute(w, r)
		return
	}
	ctx := d.Enter(r.Context(), who, r.RemoteAddr)
	if d.Held[pattern] {
		bounds := boundsOf(who, maxOpen, maxOpenOfAll, "sessions and watches open")
		if over := d.take(d.mu.held, bounds); over != nil {
			operator.WriteProblem(w, tooMany(w, r, over.reason(), "close some of them"))
			return
		}
		defer d.give(d.mu.held, bounds)
		ctx, end := d.Tokens.While(ctx, who)
		defer end()
		ctl.SetWriteDeadline(time.Time{})
		d.Routes.ServeHTTP(w, r.WithContext(ctx))
		return
	}
	if !d.whole(w, r, who) {
		return
	}
	leave, p := d.place(w, r, who)
	if p != nil {
		operator.WriteProblem(w, p)
		return
	}
	defer leave()
	ctl.SetWriteDeadline(time.Now().Add(WriteLimit))
	tagged(w, r.WithContext(ctx), d.Routes)
}

// place takes a place among the requests at work.
func (d *Door) place(w http.ResponseWriter, r *http.Request, who authz.Who) (leave func(), p *operator.Problem) {
	bounds := boundsOf(who, maxOfOne, maxOfAll, "requests at work or waiting")
	if over := d.take(d.mu.working, bounds); over != nil {
		return nil, tooMany(w, r, over.reason(), "ask for less at once")
	}
	h := holder(who)
	left, ok := d.places.Enter(r.Context(), h, maxQueue)
	if !ok {
		d.give(d.mu.working, bounds)
		return nil, d.busy(w, r, who, h)
	}
	return func() { left(); d.give(d.mu.working, bounds) }, nil
}

// Admit lets a request in that does not come to Routes, at the rate of who asks and with a place, or, of who is not known (the zero Who),
// with one of those that need no token. It is as if they asked the API; a refusal has its headers in w. leave gives the place back.
func (d *Door) Admit(w http.ResponseWriter, r *http.Request, who authz.Who) (leave func(), p *operator.Problem) {
	if who.ID == "" {
		leave, ok := d.strangers.Enter(limit.Addr(r.RemoteAddr))
		if !ok {
			return nil, tooMany(w, r, "many ask without a token at this moment", "try again in a moment")
		}
		return leave, nil
	}
	if p := d.paced(w, r, who); p != nil {
		return nil, p
	}
	return d.place(w, r, who)
}

// whole reads the body of a request of who is known. Many that come slowly keep nothing else of theirs waiting, but no more are held for
// them than there is memory for.
func (d *Door) whole(w http.ResponseWriter, r *http.Request, who authz.Who) bool {
	if r.Body == nil || r.Body == http.NoBody {
		return true
	}
	bounds := boundsOf(who, maxBodies, maxBodies, "bodies on their way")
	if over := d.take(d.mu.bodies, bounds); over != nil {
		operator.WriteProblem(w, tooMany(w, r, over.reason(), "send less at once"))
		return false
	}
	defer d.give(d.mu.bodies, bounds)
	return d.body(w, r)
}

// open answers a request that needs no token. It takes no place among the requests at work, which are for those who are known.
func (d *Door) open(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxOpenBody)
	leave, ok := d.strangers.Enter(limit.Addr(r.RemoteAddr))
	if !ok {
		operator.WriteProblem(w, tooMany(w, r, "many ask without a token at this moment", "try again in a moment"))
		return
	}
	defer leave()
	if !d.body(w, r) {
		return
	}
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(WriteLimit))
	d.Routes.ServeHTTP(w, r.WithContext(d.Enter(r.Context(), authz.Who{}, r.RemoteAddr)))
}

// unknown refuses a caller without a valid token. Wrong ones are slowed down and recorded; sending none is a mistake, not a guess.
func (d *Door) unknown(w http.ResponseWriter, r *http.Request, p *operator.Problem) {
	if r.Header.Get("Authorization") != "" && d.Guesses != nil {
		p = d.Guesses.Wrong(r.Context(), r.RemoteAddr, p)
	}
	switch p.Status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", "Bearer")
	case http.StatusTooManyRequests:
		w.Header().Set("Retry-After", "60")
	}
	operator.WriteProblem(w, p)
}

// allowed are the methods a path has, "" if it has none.
func (d *Door) allowed(r *http.Request) string {
	var out []string
	for _, m := range methods {
		probe := *r
		probe.Method = m
		if _, pattern := d.Routes.Handler(&probe); pattern != "" {
			out = append(out, m)
		}
	}
	if len(out) == 0 {
		return ""
	}
	return strings.Join(append(out, http.MethodOptions), ", ")
}

func (d *Door) noRoute(w http.ResponseWriter, r *http.Request) {
	allow := d.allowed(r)
	if allow == "" {
		operator.WriteProblem(w, operator.NewProblem(operator.NotFound, r.URL.Path, "the API has nothing here", "see /openapi.json"))
		return
	}
	w.Header().Set("Allow", allow)
	p := operator.NewProblem(operator.Invalid, r.URL.Path, "it has no "+r.Method, "use one of "+allow)
	p.Status, p.Title = http.StatusMethodNotAllowed, http.StatusText(http.StatusMethodNotAllowed)
	operator.WriteProblem(w, p)
}

// body takes the whole body in before anything else waits for it; false when the request was refused for it.
func (d *Door) body(w http.ResponseWriter, r *http.Request) bool {
	if r.Body == nil || r.Body == http.NoBody {
		return true
	}
	large := r.ContentLength > MaxBody
	var raw []byte
	var err error
	if !large {
		raw, err = io.ReadAll(io.LimitReader(r.Body, MaxBody+1))
		large = len(raw) > MaxBody
	}
	status, reason := 0, ""
	switch {
	case large:
		status, reason = http.StatusRequestEntityTooLarge, fmt.Sprintf("it has more than %d bytes", MaxBody)
	case errors.Is(err, os.ErrDeadlineExceeded):
		status, reason = http.StatusRequestTimeout, "it did not come in time"
	case err != nil:
		status, reason = http.StatusBadRequest, "it broke off"
	default:
		r.Body = io.NopCloser(bytes.NewReader(raw))
		return true
	}
	p := operator.NewProblem(operator.Invalid, "body", reason, "send a smaller one, in one go")
	p.Status, p.Title = status, http.StatusText(status)
	operator.WriteProblem(w, p)
	return false
}

// bound is how many of something one token or session, or one account, may have.
type bound struct {
	key, whose, of string
	most           int // 0: no bound
}

func (b *bound) reason() string {
	return fmt.Sprintf("%s has %d %s, the most it may have", b.whose, b.most, b.of)
}

// boundsOf are those of a caller: the token's, and the account's. The admins' tools share none: each of their tokens has its own.
func boundsOf(who authz.Who, one, all int, of string) [2]bound {
	account := who.Account.Owner()
	if account == wire.AdminAccount {
		all = 0
	}
	return [2]bound{{"token " + who.ID, whose(who), of, one}, {"account " + string(account), whoseAll(who), of, all}}
}

// holder is for whom a place is taken.
func holder(who authz.Who) limit.Holder {
	if who.Account.Owner() == wire.AdminAccount {
		return limit.Holder{Name: string(wire.AdminAccount), Most: maxOfAdmins}
	}
	return limit.Holder{Name: string(who.Account), Most: maxOfAccount, Kept: keptOf, Part: who.ID, MostOfPart: maxOfToken}
}

// take counts one more, and gives nil; or nothing, and the bound that it would be over.
func (d *Door) take(of map[string]int, bounds [2]bound) *bound {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, b := range bounds {
		if b.most > 0 && of[b.key] >= b.most {
			return &bounds[i]
		}
	}
	for _, b := range bounds {
		of[b.key]++
	}
	return nil
}

func (d *Door) give(of map[string]int, bounds [2]bound) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, b := range bounds {
		if of[b.key]--; of[b.key] == 0 {
			delete(of, b.key)
		}
	}
}

func tooMany(w http.ResponseWriter, r *http.Request, reason, next string) *operator.Problem {
	w.Header().Set("Retry-After", "1")
	p := operator.NewProblem(operator.Unavailable, r.URL.Path, reason, next)
	p.Status, p.Title = http.StatusTooManyRequests, http.StatusText(http.StatusTooManyRequests)
	return p
}

// busy refuses who got no place in time: an account that has all it may have learns that it is its own requests.
func (d *Door) busy(w http.ResponseWriter, r *http.Request, who authz.Who, h limit.Holder) *operator.Problem {
	const next = "ask for less at once"
	switch {
	case h.MostOfPart > 0 && d.places.HoldsPart(h) >= h.MostOfPart:
		return tooMany(w, r, fmt.Sprintf("%s has %d requests at work, the most it may have", whose(who), h.MostOfPart), next)
	case d.places.Holds(h.Name) >= h.Most:
		return tooMany(w, r, fmt.Sprintf("account %q has %d requests at work, the most it may have", h.Name, h.Most), next)
	}
	w.Header().Set("Retry-After", "2")
	return operator.NewProblem(operator.Unavailable, r.URL.Path, fmt.Sprintf("the orchestrator is busy with %d requests", maxAtOnce),
		"try again in a moment")
}

// recover turns a panic of a handler into an answer; the connection's own abort goes through.
func (d *Door) recover(w http.ResponseWriter, r *http.Request) {
	switch p := recover(); p {
	case nil:
	case http.ErrAbortHandler:
		panic(p)
	default:
		logging.Or(d.Log).Error("a request handler panicked", logging.Err, fmt.Sprint(p), "path", r.URL.Path)
		operator.WriteProblem(w, fmt.Errorf("panic"))
	}
}

// tagged gives answers to reads an entity tag of their content, unless they have one, and answers 304 to a caller who has that content
// already (RFC 9110, sections 8.8.3 and 13.1.2).
func tagged(w http.ResponseWriter, r *http.Request, h http.Handler) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.ServeHTTP(w, r)
		return
	}
	held := &heldAnswer{ResponseWriter: w, status: http.StatusOK}
	h.ServeHTTP(held, r)
	if held.status == http.StatusOK && w.Header().Get("ETag") == "" {
		sum := sha256.Sum256(held.body.Bytes())
		tag := `"` + hex.EncodeToString(sum[:12]) + `"`
		w.Header().Set("ETag", tag)
		if matches(r.Header.Get("If-None-Match"), tag) {
			w.Header().Del("Content-Type")
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	w.WriteHeader(held.status)
	w.Write(held.body.Bytes())
}

// matches compares weakly, as If-None-Match does.
func matches(header, tag string) bool {
	return slices.ContainsFunc(strings.Split(header, ","), func(one string) bool {
		one = strings.TrimPrefix(strings.TrimSpace(one), "W/")
		return one == tag || one == "*"
	})
}

// heldAnswer holds an answer back until it is whole.
type heldAnswer struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

// WriteHeader notes the status.
func (h *heldAnswer) WriteHeader(status int) { h.status = status }

// Write notes a part of the answer.
func (h *heldAnswer) Write(p []byte) (int, error) { return h.body.Write(p) }
