package users

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/user"
	"hardnode.dev/orchestrator/authz"
	"hardnode.dev/orchestrator/passkeys"
	"hardnode.dev/orchestrator/store"
)

func TestWentBack(t *testing.T) {
	for _, x := range []struct {
		kept, said uint32
		want       bool
	}{{0, 0, false}, {0, 1, false}, {1, 2, false}, {5, 4294967295, false}, {1, 1, true}, {2, 1, true}, {1, 0, true}} {
		if got := wentBack(x.kept, x.said); got != x.want {
			t.Errorf("%d after %d: %v, want %v", x.said, x.kept, got, x.want)
		}
	}
}

func TestPasskeyNamed(t *testing.T) {
	for name, ok := range map[string]bool{"laptop": true, "Ada's phone": true, "": false, "a\nb": false,
		strings.Repeat("a", user.MaxPasskeyName): true, strings.Repeat("a", user.MaxPasskeyName+1): false} {
		if p := passkeyNamed(name); (p == nil) != ok {
			t.Errorf("%q: %v", name, p)
		}
	}
}

func passkey(of, credential string) store.Passkey {
	return store.Passkey{User: of, RP: "paas.example.com", Credential: []byte(credential), Key: []byte("key"), Name: credential}
}

// add has a user add a passkey as they do themselves.
func (b *bench) add(mail, credential string) (authz.Who, error) {
	b.t.Helper()
	w, _ := b.in(user.SignIn{Mail: mail, Password: pass}, here)
	proof, err := b.ProvePasskey(b.t.Context(), w, here, credential, pass, "")
	if err != nil {
		return w, err
	}
	return w, b.AddPasskey(b.t.Context(), proof, passkey(w.User, credential))
}

func (b *bench) signs(w authz.Who, credential string, count uint32) (user.SignedIn, error) {
	return b.SignInPasskey(b.t.Context(), passkeys.Used{Key: store.PasskeyKey([]byte(credential)), User: w.User, Count: count}, "", here,
		"panel")
}

// TestPasskey: a passkey is added with a password, signs its user in until it is removed, and its user is told.
func TestPasskey(t *testing.T) {
	b := opened(t)
	b.mailing()
	ada := b.made("ada@example.com", "acme", user.Owner)
	b.made("eve@example.com", "shop", user.Owner)
	w, _ := b.in(user.SignIn{Mail: "ada@example.com", Password: pass}, here)
	_, err := b.ProvePasskey(t.Context(), w, here, "laptop", "wrong horse", "")
	refused(t, err, http.StatusForbidden)
	_, err = b.ProvePasskey(t.Context(), w, here, "", pass, "")
	refused(t, err, http.StatusUnprocessableEntity)
	if w, err = b.add("ada@example.com", "laptop"); err != nil {
		t.Fatal(err)
	}
	if got := b.posted("ada@example.com"); len(got) != 1 || !strings.Contains(got[0], `passkey "laptop" signs ada@example.com in`) {
		t.Errorf("she is told %q", got)
	}
	_, err = b.add("eve@example.com", "laptop")
	refused(t, err, http.StatusConflict) // Ada's is not Eve's too
	in, err := b.signs(w, "laptop", 1)
	if err != nil || in.Mail != "ada@example.com" || in.Account != "acme" || in.Kind != "panel" {
		t.Fatalf("she signs in: %+v %v", in, err)
	}
	if u, _ := b.Get(wire.AdminAccount, ada.ID); u.Passkeys != 1 || u.Last.IsZero() {
		t.Errorf("she is %+v", u)
	}
	mine := b.Passkeys(w)
	if len(mine) != 1 || mine[0].Name != "laptop" || mine[0].Domain != "paas.example.com" || mine[0].Last.IsZero() {
		t.Fatalf("hers are %+v", mine)
	}
	eve, _ := b.in(user.SignIn{Mail: "eve@example.com", Password: pass}, here)
	refused(t, b.RenamePasskey(t.Context(), eve, mine[0].ID, "mine"), http.StatusNotFound)
	refused(t, b.RemovePasskey(t.Context(), eve, here, mine[0].ID, user.RemovePasskey{Password: pass}), http.StatusNotFound)
	_, err = b.signs(eve, "laptop", 2)
	refused(t, err, http.StatusUnauthorized)
	if err := b.RenamePasskey(t.Context(), w, mine[0].ID, "old laptop"); err != nil {
		t.Fatal(err)
	}
	refused(t, b.RemovePasskey(t.Context(), w, here, mine[0].ID, user.RemovePasskey{Password: "wrong horse"}), http.StatusForbidden)
	b.posted("ada@example.com")
	if err := b.RemovePasskey(t.Context(), w, here, mine[0].ID, user.RemovePasskey{Password: pass}); err != nil {
		t.Fatal(err)
	}
	if got := b.posted("ada@example.com"); len(got) != 1 || !strings.Contains(got[0], `The passkey "old laptop" of ada@example.com`) {
		t.Errorf("she is told %q", got)
	}
	_, err = b.signs(w, "laptop", 3)
	refused(t, err, http.StatusUnauthorized)
}

// TestPasskeyCount: a count that goes back lets nobody in; it is on record and told.
func TestPasskeyCount(t *testing.T) {
	b := opened(t)
	b.mailing()
	var recorded []operator.Audit
	b.Guesses = &authz.Guesses{Record: func(a operator.Audit) error { recorded = append(recorded, a); return nil }, Now: b.Now}
	b.made("ada@example.com", "acme", user.Owner)
	w, err := b.add("ada@example.com", "key")
	if err != nil {
		t.Fatal(err)
	}
	for _, count := range []uint32{0, 0, 3, 7} {
		if _, err := b.signs(w, "key", count); err != nil {
			t.Fatalf("%d: %v", count, err)
		}
	}
	b.posted("ada@example.com")
	for _, count := range []uint32{7, 6, 0} {
		_, err := b.signs(w, "key", count)
		if p := refused(t, err, http.StatusUnauthorized); !strings.Contains(p.Reason, "there may be a copy of it") {
			t.Errorf("%d: %v", count, p)
		}
		if got := b.posted("ada@example.com"); len(got) != 1 || !strings.Contains(got[0], "its count of signatures went back") {
			t.Errorf("%d: she is told %q", count, got)
		}
		if n := len(recorded); n == 0 || recorded[n-1].What != "user.passkey.count" || recorded[n-1].Account != "acme" ||
			!strings.Contains(recorded[n-1].Result, fmt.Sprintf("signed %d times, and it had signed 7", count)) {
			t.Errorf("%d: on record is %+v", count, recorded)
		}
	}
	if _, err := b.signs(w, "key", 8); err != nil {
		t.Errorf("a right count is refused since: %v", err)
	}
}

// TestPasskeyLimits: a user has so many and no more, also of those that are added at once; and a proof is good for one password.
func TestPasskeyLimits(t *testing.T) {
	b := opened(t)
	b.made("ada@example.com", "acme", user.Owner)
	w, _ := b.in(user.SignIn{Mail: "ada@example.com", Password: pass}, here)
	proof, err := b.ProvePasskey(t.Context(), w, here, "x", pass, "")
	if err != nil {
		t.Fatal(err)
	}
	for i := range user.MaxPasskeys - 2 {
		if err := b.AddPasskey(t.Context(), proof, passkey(w.User, fmt.Sprint("before ", i))); err != nil {
			t.Fatal(err)
		}
	}
	errs := make([]error, 4)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { errs[i] = b.AddPasskey(t.Context(), proof, passkey(w.User, fmt.Sprint(i))) })
	}
	wg.Wait()
	full := 0
	for _, err := range errs {
		if err != nil {
			refused(t, err, http.StatusConflict)
			full++
		}
	}
	if n := len(b.Passkeys(w)); n != user.MaxPasskeys || full != 2 {
		t.Errorf("she has %d, and %d were refused", n, full)
	}
	_, err = b.ProvePasskey(t.Context(), w, here, "x", pass, "")
	refused(t, err, http.StatusConflict)
	b.later(time.Minute)
	if err := b.ChangePassword(t.Context(), w, here, user.ChangePassword{Old: pass, New: "another horse"}); err != nil {
		t.Fatal(err)
	}
	refused(t, b.AddPasskey(t.Context(), proof, passkey(w.User, "late")), http.StatusForbidden)
}

// TestPasskeyEnds: passkeys end by those who run the cluster, and with their user; who is in no account any more gets no session;
// who has no password can't take one away.
func TestPasskeyEnds(t *testing.T) {
	b := opened(t)
	b.mailing()
	b.made("ada@example.com", "acme", user.Owner)
	b.made("bob@example.com", "acme", user.Owner)
	b.made("cy@example.com", "acme", user.Viewer)
	ada, err := b.add("ada@example.com", "a")
	if err != nil {
		t.Fatal(err)
	}
	in, err := b.signs(ada, "a", 1)
	if err != nil {
		t.Fatal(err)
	}
	b.posted("ada@example.com")
	if err := b.ResetPasskeys(t.Context(), "ada@example.com"); err != nil {
		t.Fatal(err)
	}
	if _, p := b.Tokens.Check(in.Token); p == nil {
		t.Error("her session goes on after the reset")
	}
	if got := b.posted("ada@example.com"); len(got) != 1 || !strings.Contains(got[0], "Each passkey of ada@example.com") {
		t.Errorf("she is told %q", got)
	}
	_, err = b.signs(ada, "a", 2)
	refused(t, err, http.StatusUnauthorized)
	refused(t, b.ResetPasskeys(t.Context(), "nosuch@example.com"), http.StatusNotFound)

	cy, err := b.add("cy@example.com", "c")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.RemoveMember(t.Context(), authz.Who{Account: wire.AdminAccount, Name: "admin"}, "acme", cy.User); err != nil {
		t.Fatal(err)
	}
	_, err = b.signs(cy, "c", 1)
	refused(t, err, http.StatusForbidden)

	if ada, err = b.add("ada@example.com", "a"); err != nil {
		t.Fatal(err)
	}
	id := b.Passkeys(ada)[0].ID
	b.put(func(tx *store.Tx) {
		u, _ := store.Users.Read(tx, store.UserKey("ada@example.com"))
		u.Password = ""
		store.Users.Put(tx, store.UserKey(u.Mail), u)
	})
	p := refused(t, b.RemovePasskey(t.Context(), ada, here, id, user.RemovePasskey{}), http.StatusConflict)
	if !strings.Contains(p.Next, "forgot") || len(b.Passkeys(ada)) != 1 {
		t.Errorf("the only way in: %v", p)
	}
	if _, err := b.Delete(t.Context(), ada.User); err != nil {
		t.Fatal(err)
	}
	b.put(func(tx *store.Tx) {
		for range store.PasskeysOf.Of(tx.View(), ada.User) {
			t.Error("a passkey stays of a user who is deleted")
		}
	})
}
