package api

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/account"
	"hardnode.dev/internal/wire/document"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/user"
	"hardnode.dev/orchestrator/audit"
	"hardnode.dev/orchestrator/authz"
	"hardnode.dev/orchestrator/certs"
	"hardnode.dev/orchestrator/sealed"
	"hardnode.dev/orchestrator/shares"
	"hardnode.dev/orchestrator/store"
	"hardnode.dev/orchestrator/users"
)

const (
	exportedSecret = "xyzzy-of-acme"
	exportedPass   = secret.Text("correct horse")
)

// exporting is a server with the accounts acme and eve, each with a person, a service, tokens and environments, and what must be in no
// archive of acme's. Its record is empty.
func exporting(t *testing.T) (s *Server, hidden []string) {
	t.Helper()
	kept, err := store.Open(t.Context(), store.Options{Dir: t.TempDir(), Unsafe: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kept.Close() })
	record, err := audit.Open(filepath.Join(t.TempDir(), "audit"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { record.Close() })
	tokens := &authz.Tokens{Store: kept, Now: time.Now}
	s = &Server{Store: kept, Audit: record, Tokens: tokens, Shares: &shares.Desk{Store: kept, Now: time.Now},
		Secrets: sealed.Variables{Keys: certs.Sealer(make([]byte, 32))},
		Users:   users.New(&users.Desk{Store: kept, Tokens: tokens, Cluster: "demo", Key: make([]byte, 32), Now: time.Now})}
	setup := secret.Text("hnt.setup")
	put := func(f func(*store.Tx)) {
		if _, err := kept.Update(t.Context(), func(tx *store.Tx) error { f(tx); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	put(func(tx *store.Tx) {
		store.Tokens.Put(tx, authz.Hash(setup), store.Token{ID: authz.AdminID, Name: "admin", Account: wire.AdminAccount,
			Hash: authz.Hash(setup), Scopes: []string{"admin"}, Maker: authz.Setup()})
		for _, name := range []wire.Account{"acme", "eve"} {
			store.Accounts.Put(tx, string(name), store.Account{Name: name, State: account.Closing})
		}
	})
	admin, p := tokens.Check(setup)
	if p != nil {
		t.Fatal(p)
	}
	for _, of := range []wire.Account{"acme", "eve"} {
		made, err := tokens.Create(t.Context(), admin, of, operator.NewToken{Name: "ci-of-" + string(of), Scopes: []string{"admin"}})
		if err != nil {
			t.Fatal(err)
		}
		mail := "owner@" + string(of) + ".example"
		if _, err := s.Users.Create(t.Context(), user.NewUser{Mail: mail, Password: exportedPass, Account: of, Role: user.Owner},
			"admin"); err != nil {
			t.Fatal(err)
		}
		in, err := s.Users.SignIn(t.Context(), user.SignIn{Mail: mail, Password: exportedPass}, "192.0.2.1:1", "api")
		if err != nil {
			t.Fatal(err)
		}
		acting, err := s.Users.SignInAs(t.Context(), admin, mail, user.SignInAs{Reason: "x"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Users.AddService(t.Context(), admin, user.NewService{Name: "backup-of-" + string(of), Account: of,
			Role: user.Viewer}); err != nil {
			t.Fatal(err)
		}
		for _, text := range []secret.Text{secret.Text(made.Text), in.Token, acting.Token} {
			hidden = append(hidden, text.Reveal(), authz.Hash(text))
		}
	}
	environment := func(name wire.EnvName, of wire.Account) store.Environment {
		value := secret.Text("xyzzy-of-" + string(of))
		spec, err := s.Secrets.Seal(of, operator.EnvironmentSpec{Version: 1, Name: name, Layers: []operator.LayerSpec{{Name: "cp",
			Template: "nginx", Nodes: 1, Cloudlets: wire.Cloudlets{Reserved: 1, Dynamic: 4}, Env: map[string]string{"PLAIN": string(of)},
			Secrets: []operator.SecretSpec{{Name: "PASSWORD", Value: &value}}}}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := json.Marshal(spec.Layers[0].Secrets[0].Sealed)
		if err != nil {
			t.Fatal(err)
		}
		hidden = append(hidden, strings.Trim(string(raw), `"`))
		return store.Environment{Account: of, Spec: spec, Want: store.WantRunning, Created: time.Unix(1e9, 0).UTC()}
	}
	old, gone := environment("old", "acme"), environment("gone", "acme")
	old.Want, old.Trash, gone.Want = store.WantStopped, &store.Trash{}, store.WantDeleted
	shop, cellar, attic := environment("shop", "acme"), environment("cellar", "eve"), environment("attic", "eve")
	put(func(tx *store.Tx) {
		for _, e := range []store.Environment{old, gone, shop, cellar, attic} {
			store.Envs.Put(tx, string(e.Spec.Name), e)
		}
		for _, x := range []store.Share{{Env: "shop", Account: "acme", With: "eve", By: "owner@acme.example"},
			{Env: "attic", Account: "eve", With: "acme", By: "owner@eve.example"}} {
			x.Role, x.Made, x.Created, x.Since = user.Viewer, time.Unix(1e9, 0).UTC(), time.Now(), time.Now()
			store.Shares.Put(tx, store.ShareKey(x.Env, x.With), x)
		}
	})
	return s, append(hidden, "$argon2id", exportedPass.Reveal(), "cellar", "xyzzy-of-eve", "@eve.example", "ci-of-eve", "backup-of-eve")
}

// archived are the files of an archive, in their order, and what is in them.
func archived(t *testing.T, s *Server, secrets bool) (names []string, files map[string]string) {
	t.Helper()
	var out bytes.Buffer
	e := &export{ctx: t.Context(), tar: tar.NewWriter(&out), at: time.Unix(1e9, 0)}
	s.export(e, account.Account{Name: "acme"}, secrets)
	if e.err == nil {
		e.err = e.tar.Close()
	}
	if e.err != nil {
		t.Fatal(e.err)
	}
	files = map[string]string{}
	for r := tar.NewReader(&out); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return names, files
		}
		if err != nil {
			t.Fatal(err)
		}
		raw, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		names, files[h.Name] = append(names, h.Name), string(raw)
	}
}

// TestAccountExport: the archive has all that is the account's and can be used again; values of secret variables only when asked for; no
// hash or text of a password or a token, and nothing that is another account's, ever.
func TestAccountExport(t *testing.T) {
	s, hidden := exporting(t)
	for _, a := range []operator.Audit{
		{Who: "owner@acme.example", Account: "acme", What: "env.create", Object: "environments/shop"},
		{Who: "owner@eve.example", Account: "eve", What: "env.create", Object: "environments/cellar"},
		{Who: "owner@eve.example", By: "root@example.com", From: "192.0.2.7", Account: "eve", With: "acme", What: "env.stop",
			Object: "environments/shop"},
		{Who: "root@example.com", Account: "admin", What: "host.drain", Object: "hosts/host1"}} {
		if err := s.Audit.Write(a); err != nil {
			t.Fatal(err)
		}
	}
	for _, secrets := range []bool{false, true} {
		names, files := archived(t, s, secrets)
		want := []string{"README.txt", "account.json", "environments/shop.yaml", "trash/old.yaml", "shared-by-it.json", "users.json",
			"services.json", "tokens.json", "shared-with-it.json", "audit/0001.jsonl"}
		if slices.Sort(want); !slices.Equal(slices.Sorted(slices.Values(names)), want) {
			t.Errorf("it has %q, want %q", names, want)
		}
		for name, content := range files {
			for _, word := range append(slices.Clone(hidden), "root@example.com", "192.0.2.7", "host1") {
				if strings.Contains(content, word) {
					t.Errorf("%s has %q: %s", name, word, content)
				}
			}
			if !secrets && strings.Contains(content, exportedSecret) {
				t.Errorf("%s has the value of a secret variable: %s", name, content)
			}
		}
		for name, words := range map[string][]string{"users.json": {"owner@acme.example", `"owner"`}, "services.json": {"backup-of-acme"},
			"tokens.json": {"ci-of-acme"}, "shared-by-it.json": {`"shop"`, `"eve"`}, "shared-with-it.json": {`"attic"`},
			"audit/0001.jsonl": {"env.create", `"who":"account eve"`}} {
			for _, word := range words {
				if !strings.Contains(files[name], word) {
					t.Errorf("%s lacks %s: %s", name, word, files[name])
				}
			}
		}
		var spec operator.EnvironmentSpec
		if err := document.Read("shop.yaml", []byte(files["environments/shop.yaml"]), &spec); err != nil {
			t.Fatal(err)
		}
		again, err := s.Secrets.Seal("acme", spec, &store.Envs.Find(s.Store.View(), "shop").Spec)
		if err != nil || !sameSpec(again, store.Envs.Find(s.Store.View(), "shop").Spec) {
			t.Errorf("the file is of another environment: %v, %+v", err, again)
		}
		_, fresh := s.Secrets.Seal("acme", spec, nil) // on another cluster
		if (fresh == nil) != secrets {
			t.Errorf("secrets %v: the file alone makes it: %v", secrets, fresh)
		}
		if value := spec.Layers[0].Secrets[0].Value; secrets && (value == nil || value.Reveal() != exportedSecret) {
			t.Errorf("the value is %v", value)
		}
	}
}

func sameSpec(a, b operator.EnvironmentSpec) bool {
	return bytes.Equal(document.Write(a), document.Write(b))
}

// taker takes an archive, and goes after so many bytes.
type taker struct {
	taken, most int
	goes        context.CancelFunc
}

func (w *taker) Write(p []byte) (int, error) {
	if w.taken += len(p); w.taken > w.most {
		w.goes()
	}
	return len(p), nil
}

// TestAccountExportIsAStream: a long record is not held: it is sent while it is read, in files of bounded length, and no more of it is
// read when whoever takes it has gone.
func TestAccountExportIsAStream(t *testing.T) {
	s, _ := exporting(t)
	const records, each = 3*auditBatch - 10, 30_000
	for i := range records {
		if err := s.Audit.Write(operator.Audit{Account: "acme", Object: fmt.Sprintf("%d %s", i, strings.Repeat("x", each))}); err != nil {
			t.Fatal(err)
		}
	}
	names, files := archived(t, s, false)
	lines := 0
	for name, content := range files {
		if !strings.HasPrefix(name, "audit/") {
			continue
		}
		lines += strings.Count(content, "\n")
		if len(content) > auditPart+auditBatch*(each+1000) {
			t.Errorf("%s has %d bytes", name, len(content))
		}
	}
	if lines != records || !slices.Contains(names, "audit/0003.jsonl") || slices.Contains(names, "audit/0004.jsonl") {
		t.Errorf("it has %d of %d records, in %q", lines, records, slices.Collect(maps.Keys(files)))
	}
	ctx, end := context.WithCancel(t.Context())
	defer end()
	w := &taker{most: auditPart / 2, goes: end}
	e := &export{ctx: ctx, tar: tar.NewWriter(w), at: time.Unix(1e9, 0)}
	s.export(e, account.Account{Name: "acme"}, false)
	if !errors.Is(e.err, context.Canceled) || w.taken > 2*auditBatch*each {
		t.Errorf("%d of %d bytes were written: %v", w.taken, records*each, e.err)
	}
}

// TestExportsAtOnce: one of an account; the admins have room where accounts have none any more; who is done makes room.
func TestExportsAtOnce(t *testing.T) {
	var e exports
	var leave []func()
	enter := func(a, by wire.Account) bool {
		l, ok := e.enter(a, by)
		if ok {
			leave = append(leave, l)
		}
		return ok
	}
	for i := range maxExports - keptExports {
		name := wire.Account(fmt.Sprintf("a%d", i))
		if !enter(name, name) || enter(name, name) || enter(name, wire.AdminAccount) {
			t.Fatalf("export %d: want one of an account", i)
		}
	}
	if enter("more", "more") {
		t.Error("accounts take the admins' room")
	}
	if !enter("x", wire.AdminAccount) || !enter("y", wire.AdminAccount) || enter("z", wire.AdminAccount) {
		t.Errorf("the admins have not %d of them", keptExports)
	}
	for _, l := range leave {
		l()
	}
	if !enter("more", "more") || len(e.of) != 1 {
		t.Errorf("when all are done: %v", e.of)
	}
}
