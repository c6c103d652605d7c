package domains

import (
	"testing"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/front"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/store"
)

// TestSwap: two environments change their names, with certificates and schemes; what is in the cluster's domain stays where it is, and
// nothing is half done.
func TestSwap(t *testing.T) {
	b, ctx := opened(t), t.Context()
	names := func(env wire.EnvName) (out []string) {
		for _, n := range b.Names(b.Store.View(), env) {
			text := n.Name
			if n.Redirect {
				text += " redirected"
			}
			if n.Certificate != nil {
				text += " certified"
			}
			out = append(out, text)
		}
		return out
	}
	want := func(env wire.EnvName, list ...string) {
		t.Helper()
		got := names(env)
		if len(got) != len(list) {
			t.Fatalf("%s has %q, want %q", env, got, list)
		}
		for i := range got {
			if got[i] != list[i] {
				t.Errorf("%s has %q, want %q", env, got, list)
			}
		}
	}
	b.refused(b.Swap(ctx, "shop", "blog", "acme"), operator.Conflict, "neither of the two")
	put := func(env wire.EnvName, name string) {
		b.put(func(tx *store.Tx) {
			e, _ := store.Envs.Read(tx, string(env))
			store.Domains.Put(tx, name,
				store.Domain{Name: name, Env: env, Since: e.Created, Scheme: front.Scheme{Redirect: true}, At: b.now})
		})
	}
	put("shop", "shop.example")
	put("shop", "www.shop.example")
	put("blog", "blog.example")
	b.ok(b.Set(ctx, "shop", "acme", "www.shop.demo.test", front.Scheme{}))
	b.ok(b.Upload(ctx, "shop", "acme", "shop.example", b.pair(90*24*time.Hour, "shop.example")))
	b.ok(b.Swap(ctx, "shop", "blog", "acme"))
	want("shop", "blog.example redirected", "www.shop.demo.test")
	want("blog", "shop.example redirected certified", "www.shop.example redirected")
	b.ok(b.Swap(ctx, "blog", "shop", "acme"))
	want("shop", "shop.example redirected certified", "www.shop.demo.test", "www.shop.example redirected")
	want("blog", "blog.example redirected")

	b.refused(b.Swap(ctx, "shop", "shop", "acme"), operator.Invalid, "the same environment")
	b.refused(b.Swap(ctx, "shop", "other", "acme"), operator.NotFound, "no such environment")
	b.refused(b.Swap(ctx, "shop", "other", wire.AdminAccount), operator.Denied, "another account's")
	b.refused(b.Swap(ctx, "shop", "blog", "globex"), operator.NotFound, "no such environment")
	want("blog", "blog.example redirected")
}
