package door

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/account"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/authz"
	"hardnode.dev/orchestrator/store"
)

// bench is a door with its tokens and its clock; begun counts what was let in.
type bench struct {
	*testing.T
	*Door
	store *store.Store
	admin authz.Who
	h     http.Handler
	now   time.Time
	begun atomic.Int32
	held  chan struct{} // GET /slow takes one
}

func opened(t *testing.T) *bench {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Dir: t.TempDir(), Unsafe: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	b := &bench{T: t, store: s, now: time.Unix(1e9, 0), held: make(chan struct{})}
	tokens := &authz.Tokens{Store: s, Now: time.Now}
	root := secret.Text("hnt.root")
	b.put(func(tx *store.Tx) {
		store.Tokens.Put(tx, authz.Hash(root), store.Token{ID: authz.AdminID, Account: wire.AdminAccount, Hash: authz.Hash(root),
			Scopes: []string{"admin"}, Maker: authz.Setup()})
	})
	var refused *operator.Problem
	if b.admin, refused = tokens.Check(root); refused != nil {
		t.Fatal(refused)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /thing", func(http.ResponseWriter, *http.Request) { b.begun.Add(1) })
	mux.HandleFunc("GET /watch", func(http.ResponseWriter, *http.Request) { b.begun.Add(1) })
	mux.HandleFunc("GET /slow", func(_ http.ResponseWriter, r *http.Request) { b.begun.Add(1); <-b.held })
	b.Door = &Door{Routes: mux, Public: "/openapi", Held: map[string]bool{"GET /watch": true}, Tokens: tokens,
		Enter: func(ctx context.Context, _ authz.Who, _ string) context.Context { return ctx }}
	b.h = b.Handler()
	b.rates.Now = func() time.Time { return b.now }
	return b
}

func (b *bench) put(f func(*store.Tx)) {
	b.Helper()
	if _, err := b.store.Update(b.Context(), func(tx *store.Tx) error { f(tx); return nil }); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) made(a wire.Account, n operator.NewToken) (string, error) {
	n.Scopes = []string{"read"}
	m, err := b.Tokens.Create(b.Context(), b.admin, a, n)
	return m.Text, err
}

func (b *bench) token(a wire.Account, name string) string {
	b.Helper()
	text, err := b.made(a, operator.NewToken{Name: name})
	if err != nil {
		b.Fatal(err)
	}
	return text
}

func (b *bench) ask(token, method, path string) (*httptest.ResponseRecorder, operator.Problem) {
	r := httptest.NewRequest(method, path, nil)
	r.Header.Set("Authorization", "Bearer "+token)
	w := httptest.NewRecorder()
	b.h.ServeHTTP(w, r)
	var p operator.Problem
	if w.Code != 200 {
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
			b.Errorf("%d %q: %v", w.Code, w.Body, err)
		}
	}
	return w, p
}

// spend is how often a token may ask at once.
func (b *bench) spend(token string) int {
	b.Helper()
	for i := 0; ; i++ {
		if w, _ := b.ask(token, "POST", "/thing"); w.Code == 429 {
			return i
		} else if w.Code != 200 || w.Header().Get("RateLimit") == "" || w.Header().Get("RateLimit-Policy") != "" {
			b.Fatalf("request %d: %d %v", i, w.Code, w.Header())
		}
	}
}

// TestPaced: a token, then its account, asks too fast and is told which limit it is; nothing is begun for it, and another account asks on.
func TestPaced(t *testing.T) {
	b := opened(t)
	ofShop := b.token("shop", "ci")
	var acme []string
	for i := range account.Rates.Account.Burst/account.Rates.Token.Burst + 1 {
		acme = append(acme, b.token("acme", fmt.Sprint("t", i)))
	}
	if n := b.spend(acme[0]); n != account.Rates.Token.Burst {
		t.Errorf("a token asked %d times at once, want %d", n, account.Rates.Token.Burst)
	}
	was := b.begun.Load()
	for _, path := range []string{"POST /thing", "GET /watch", "GET /nothing"} {
		method, path, _ := strings.Cut(path, " ")
		w, p := b.ask(acme[0], method, path)
		if w.Code != 429 || b.begun.Load() != was ||
			!strings.Contains(p.Reason, `token "t0" has the limit of 20 requests a second, and 300 at once`) ||
			w.Header().Get("Retry-After") != "1" || w.Header().Get("RateLimit") != `"token";r=0;t=1` ||
			w.Header().Get("RateLimit-Policy") != `"token";q=300;w=15` {
			t.Errorf("%s %s: %d %+v %v", method, path, w.Code, p, w.Header())
		}
	}
	for _, token := range acme[1 : len(acme)-1] {
		b.spend(token)
	}
	if w, p := b.ask(acme[len(acme)-1], "POST", "/thing"); w.Code != 429 ||
		!strings.Contains(p.Reason, `account "acme" with all its tokens`) {
		t.Errorf("a token that never asked, of an account over its limit: %d %+v", w.Code, p)
	}
	if w, p := b.ask(ofShop, "POST", "/thing"); w.Code != 200 {
		t.Errorf("another account: %d %+v", w.Code, p)
	}
	if n := b.spend(b.token(wire.AdminAccount, "tool")); n != account.AdminRates.Token.Burst {
		t.Errorf("the admins' token asked %d times at once, want %d", n, account.AdminRates.Token.Burst)
	}
	b.now = b.now.Add(time.Second)
	if w, p := b.ask(acme[0], "POST", "/thing"); w.Code != 200 {
		t.Errorf("after a second: %d %+v", w.Code, p)
	}
}

// TestPolicy: what the group of an account says is in force at once, also for tokens that were made before; a token has less if its maker
// said so, and never more.
func TestPolicy(t *testing.T) {
	b := opened(t)
	group := func(name string, r account.APIRates) {
		b.put(func(tx *store.Tx) { store.Groups.Put(tx, name, store.AccountGroup{Name: name, Rates: r}) })
	}
	own := func(of wire.Account, name string, r account.APIRate) (string, error) {
		return b.made(of, operator.NewToken{Name: name, Rate: &r})
	}
	group("slow", account.APIRates{Token: account.APIRate{PerSecond: 2, Burst: 4}, Account: account.APIRate{PerSecond: 4, Burst: 7}})
	b.put(func(tx *store.Tx) {
		store.Accounts.Put(tx, "acme", store.Account{Name: "acme", Group: "slow", State: account.Active})
	})
	less, err := own("acme", "less", account.APIRate{PerSecond: 1, Burst: 2})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []account.APIRate{{PerSecond: 3, Burst: 1}, {PerSecond: 1, Burst: 5}, {PerSecond: 0, Burst: 1}} {
		_, err := own("acme", "more", r)
		var p *operator.Problem
		if !errors.As(err, &p) || p.Code != operator.Invalid || p.Object != "rate" {
			t.Errorf("a token with %s: %v", r, err)
		}
	}
	if n := b.spend(less); n != 2 {
		t.Errorf("it asked %d times at once, want 2", n)
	}
	if w, p := b.ask(less, "POST", "/thing"); !strings.Contains(p.Reason, `token "less" has the limit of 1 requests a second, and 2 at once`) ||
		w.Header().Get("RateLimit-Policy") != `"token";q=2;w=2` {
		t.Errorf("it is told %+v %v", p, w.Header())
	}
	if n := b.spend(b.token("acme", "as the group says")); n != 4 {
		t.Errorf("a token of the group asked %d times, want 4", n)
	}
	last := b.token("acme", "last")
	if n := b.spend(last); n != 1 { // of the account's 7
		t.Errorf("the account's last: %d, want 1", n)
	}
	if _, p := b.ask(last, "POST", "/thing"); !strings.Contains(p.Reason, `account "acme" with all its tokens and sessions has the limit of `+
		`4 requests a second, and 7 at once`) {
		t.Errorf("it is told %+v", p)
	}
	// An account that is in no group, or has no record, is in the default one.
	fast, err := own("shop", "fast", account.APIRate{PerSecond: 20, Burst: 300})
	if err != nil {
		t.Fatal(err)
	}
	group(account.DefaultGroup, account.APIRates{Token: account.APIRate{PerSecond: 1, Burst: 3}})
	if n := b.spend(fast); n != 3 {
		t.Errorf("after the policy was lowered it asked %d times, want 3", n)
	}
	list := b.Tokens.List("shop")
	if len(list) != 1 || list[0].Rate != (account.APIRate{PerSecond: 1, Burst: 3}) {
		t.Errorf("it is listed as %+v", list)
	}
	group(account.DefaultGroup, account.APIRates{})
	b.now = b.now.Add(time.Hour)
	if n := b.spend(fast); n != 300 {
		t.Errorf("after it was raised: %d, want 300", n)
	}
}

// TestPlacesOfAccounts: an account whose requests are slow holds a part of the places, whatever it sends by however many tokens; another
// account's request goes through beside it, and it is told that the limit is its own.
func TestPlacesOfAccounts(t *testing.T) {
	b := opened(t)
	eve := []string{b.token("eve", "a"), b.token("eve", "b"), b.token("eve", "c")}
	ann, tool := b.token("ann", "a"), b.token(wire.AdminAccount, "tool")
	type answer struct {
		status int
		why    string
	}
	answers := make(chan answer, maxOfAll)
	for i := range maxOfAll {
		go func() {
			w, p := b.ask(eve[i%3], "GET", "/slow")
			answers <- answer{w.Code, p.Reason}
		}()
	}
	for range maxOfAll - maxOfAccount { // they wait for their account's own
		if a := <-answers; a.status != 429 || a.why != `account "eve" has 16 requests at work, the most it may have` {
			t.Errorf("one that got no place: %+v", a)
		}
	}
	for end := time.Now().Add(time.Minute); b.begun.Load() < maxOfAccount && time.Now().Before(end); { // who has a place is yet to begin
		time.Sleep(time.Millisecond)
	}
	if n := b.begun.Load(); n != maxOfAccount {
		t.Errorf("%d are at work, want %d", n, maxOfAccount)
	}
	for _, token := range []string{ann, tool} {
		if w, p := b.ask(token, "POST", "/thing"); w.Code != 200 {
			t.Errorf("another's: %d %+v", w.Code, p)
		}
	}
	close(b.held)
	for range maxOfAccount {
		if a := <-answers; a.status != 200 {
			t.Errorf("one that was at work: %+v", a)
		}
	}
}

// TestPlacesOfOneToken: a token whose requests are slow leaves places to the other tokens of its account, and is told that the limit is
// its own.
func TestPlacesOfOneToken(t *testing.T) {
	b := opened(t)
	slow, other := b.token("eve", "a"), b.token("eve", "b")
	const sent = maxOfToken + 8
	answers := make(chan string, sent)
	for range sent {
		go func() {
			w, p := b.ask(slow, "GET", "/slow")
			answers <- fmt.Sprint(w.Code, " ", p.Reason)
		}()
	}
	for range sent - maxOfToken {
		if a := <-answers; a != fmt.Sprintf(`429 token "a" has %d requests at work, the most it may have`, maxOfToken) {
			t.Errorf("one that got no place: %s", a)
		}
	}
	if w, p := b.ask(other, "POST", "/thing"); w.Code != 200 {
		t.Errorf("another token of its account: %d %+v", w.Code, p)
	}
	close(b.held)
	for range maxOfToken {
		if a := <-answers; a != "200 " {
			t.Errorf("one that was at work: %s", a)
		}
	}
}

// TestAdmit: what is asked beside the API counts with what is asked of it: at the rate of who asks, and among their places; who is not
// known has those of requests that need no token.
func TestAdmit(t *testing.T) {
	b := opened(t)
	who, p := b.Tokens.Check(secret.Text(b.token("eve", "a")))
	if p != nil {
		t.Fatal(p)
	}
	admit := func(who authz.Who) (leave func(), status int, header http.Header) {
		w := httptest.NewRecorder()
		leave, p := b.Admit(w, httptest.NewRequest("GET", "/panel/", nil), who)
		if p != nil {
			return nil, p.Status, w.Header()
		}
		return leave, http.StatusOK, w.Header()
	}
	leave, status, header := admit(who)
	if status != 200 || header.Get("RateLimit") == "" || b.places.Holds("eve") != 1 {
		t.Errorf("one: %d %v, %d places", status, header, b.places.Holds("eve"))
	}
	leave()
	if b.places.Holds("eve") != 0 || len(b.mu.working) != 0 {
		t.Errorf("after it: %d places, %v at work", b.places.Holds("eve"), b.mu.working)
	}
	for range account.Rates.Token.Burst - 1 {
		leave, status, _ := admit(who)
		if status != 200 {
			t.Fatalf("within its rate: %d", status)
		}
		leave()
	}
	if _, status, header := admit(who); status != 429 || header.Get("Retry-After") != "1" {
		t.Errorf("beyond its rate: %d %v", status, header)
	}
	for range maxStranger {
		if _, status, _ := admit(authz.Who{}); status != 200 {
			t.Fatalf("a stranger: %d", status)
		}
	}
	if _, status, header := admit(authz.Who{}); status != 429 || header.Get("Retry-After") == "" {
		t.Errorf("one stranger more: %d %v", status, header)
	}
}

// slowly is a body that does not come before it may.
type slowly struct {
	read *sync.WaitGroup
	may  chan struct{}
	once sync.Once
}

func (s *slowly) Read([]byte) (int, error) {
	s.once.Do(s.read.Done)
	<-s.may
	return 0, io.EOF
}

// TestSlowBodiesCount: who sends many bodies at once, and none to its end, can send no more, and is answered what needs none.
func TestSlowBodiesCount(t *testing.T) {
	b := opened(t)
	eve, ann := b.token("eve", "a"), b.token("ann", "a")
	var read, ended sync.WaitGroup
	read.Add(maxBodies)
	may := make(chan struct{})
	for range maxBodies {
		ended.Go(func() {
			r := httptest.NewRequest("POST", "/thing", &slowly{read: &read, may: may})
			r.Header.Set("Authorization", "Bearer "+eve)
			w := httptest.NewRecorder()
			if b.h.ServeHTTP(w, r); w.Code != 200 && w.Code != 429 { // they come to an end at the same moment
				t.Errorf("one that came to its end: %d %s", w.Code, w.Body)
			}
		})
	}
	read.Wait()
	w := httptest.NewRecorder()
	r := httptest.NewRequest("POST", "/thing", strings.NewReader("{}"))
	r.Header.Set("Authorization", "Bearer "+eve)
	if b.h.ServeHTTP(w, r); w.Code != 429 || !strings.Contains(w.Body.String(), "128 bodies on their way") {
		t.Errorf("one more: %d %s", w.Code, w.Body)
	}
	if w, p := b.ask(eve, "POST", "/thing"); w.Code != 200 {
		t.Errorf("one that needs none: %d %+v", w.Code, p)
	}
	if w, p := b.ask(ann, "POST", "/thing"); w.Code != 200 {
		t.Errorf("another's: %d %+v", w.Code, p)
	}
	close(may)
	ended.Wait()
}

// TestBounds: what one token and one account have at work or open is counted, and counted back.
func TestBounds(t *testing.T) {
	d := &Door{}
	d.Handler()
	token := func(id string, of wire.Account) authz.Who { return authz.Who{ID: id, Name: id, Account: of} }
	take := func(who authz.Who) string {
		if over := d.take(d.mu.held, boundsOf(who, 2, 3, "sessions and watches open")); over != nil {
			return over.reason()
		}
		return ""
	}
	for i, c := range []struct {
		who  authz.Who
		want string
	}{
		{token("a", "eve"), ""}, {token("a", "eve"), ""},
		{token("a", "eve"), `token "a" has 2 sessions and watches open, the most it may have`},
		{token("b", "eve"), ""},
		{token("b", "eve"), `account "eve" with all its tokens and sessions has 3 sessions and watches open, the most it may have`},
		{token("c", "ann"), ""},
		{token("d", "admin"), ""}, {token("d", "admin"), ""}, {token("e", "admin"), ""}, {token("e", "admin"), ""},
		{token("e", "admin"), `token "e" has 2 sessions and watches open, the most it may have`},
	} {
		if got := take(c.who); got != c.want {
			t.Errorf("%d: %q, want %q", i, got, c.want)
		}
	}
	for _, who := range []authz.Who{token("a", "eve"), token("a", "eve"), token("b", "eve"), token("c", "ann"), token("d", "admin"),
		token("d", "admin"), token("e", "admin"), token("e", "admin")} {
		d.give(d.mu.held, boundsOf(who, 2, 3, ""))
	}
	if len(d.mu.held) != 0 {
		t.Errorf("after all left: %v", d.mu.held)
	}
}
