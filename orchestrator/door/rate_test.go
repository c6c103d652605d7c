package door

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/authz"
	"hardnode.dev/orchestrator/store"
)

// TestPaced: a token, then its account, asks too fast and is told which limit it is; nothing is begun for it, and another account asks on.
func TestPaced(t *testing.T) {
	s, err := store.Open(t.Context(), store.Options{Dir: t.TempDir(), Unsafe: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	tokens := &authz.Tokens{Store: s, Now: time.Now}
	root := secret.Text("hnt.root")
	if _, err := s.Update(t.Context(), func(tx *store.Tx) error {
		store.Tokens.Put(tx, authz.Hash(root), store.Token{ID: authz.AdminID, Account: wire.AdminAccount, Hash: authz.Hash(root),
			Scopes: []string{"admin"}, Maker: authz.Setup()})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	admin, refused := tokens.Check(root)
	if refused != nil {
		t.Fatal(refused)
	}
	made := func(a wire.Account, name string) string {
		m, err := tokens.Create(t.Context(), admin, a, operator.NewToken{Name: name, Scopes: []string{"read"}})
		if err != nil {
			t.Fatal(err)
		}
		return m.Text
	}
	begun := 0
	mux := http.NewServeMux()
	mux.HandleFunc("POST /thing", func(http.ResponseWriter, *http.Request) { begun++ })
	mux.HandleFunc("GET /watch", func(http.ResponseWriter, *http.Request) { begun++ })
	d := &Door{Routes: mux, Public: "/openapi", Held: map[string]bool{"GET /watch": true}, Tokens: tokens,
		Enter: func(ctx context.Context, _ authz.Who, _ string) context.Context { return ctx }}
	h := d.Handler()
	now := time.Unix(1e9, 0)
	d.rates.Now = func() time.Time { return now }
	ask := func(token, method, path string) (*httptest.ResponseRecorder, operator.Problem) {
		r := httptest.NewRequest(method, path, nil)
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		var p operator.Problem
		if w.Code != 200 {
			if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
				t.Fatalf("%d %q: %v", w.Code, w.Body, err)
			}
		}
		return w, p
	}
	spend := func(token string) int {
		for i := 0; ; i++ {
			if w, _ := ask(token, "POST", "/thing"); w.Code == 429 {
				return i
			} else if w.Code != 200 || w.Header().Get("RateLimit") == "" || w.Header().Get("RateLimit-Policy") != "" {
				t.Fatalf("request %d: %d %v", i, w.Code, w.Header())
			}
		}
	}
	ofShop := made("shop", "ci")
	var acme []string
	for i := range accountRate.Burst/tokenRate.Burst + 1 {
		acme = append(acme, made("acme", fmt.Sprint("t", i)))
	}
	if n := spend(acme[0]); n != tokenRate.Burst {
		t.Errorf("a token asked %d times at once, want %d", n, tokenRate.Burst)
	}
	was := begun
	for _, path := range []string{"POST /thing", "GET /watch", "GET /nothing"} {
		method, path, _ := strings.Cut(path, " ")
		w, p := ask(acme[0], method, path)
		if w.Code != 429 || begun != was || !strings.Contains(p.Reason, `token "t0" has the limit of 20 requests a second, and 300 at once`) ||
			w.Header().Get("Retry-After") != "1" || w.Header().Get("RateLimit") != `"token";r=0;t=1` ||
			w.Header().Get("RateLimit-Policy") != `"token";q=300;w=15` {
			t.Errorf("%s %s: %d %+v %v", method, path, w.Code, p, w.Header())
		}
	}
	for _, token := range acme[1 : len(acme)-1] {
		spend(token)
	}
	if w, p := ask(acme[len(acme)-1], "POST", "/thing"); w.Code != 429 || !strings.Contains(p.Reason, `account "acme" with all its tokens`) {
		t.Errorf("a token that never asked, of an account over its limit: %d %+v", w.Code, p)
	}
	if w, p := ask(ofShop, "POST", "/thing"); w.Code != 200 {
		t.Errorf("another account: %d %+v", w.Code, p)
	}
	if n := spend(made(wire.AdminAccount, "tool")); n != adminRate.Burst {
		t.Errorf("the admins' token asked %d times at once, want %d", n, adminRate.Burst)
	}
	now = now.Add(time.Second)
	if w, p := ask(acme[0], "POST", "/thing"); w.Code != 200 {
		t.Errorf("after a second: %d %+v", w.Code, p)
	}
}
