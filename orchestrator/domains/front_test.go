package domains

import (
	"crypto/sha256"
	"reflect"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/wire/front"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/store"
)

// TestFront: how a site is served is its account's to say, is checked, and goes with its environment.
func TestFront(t *testing.T) {
	b, ctx := opened(t), t.Context()
	want := front.Settings{Sticky: true, PerSource: 5, Weights: map[string]int{"1": 7}}
	b.ok(b.SetFront(ctx, "shop", "acme", want, ""))
	if got, err := b.Front("shop", "acme"); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err := b.Front("blog", "acme"); err != nil || !reflect.DeepEqual(got, front.Settings{}) {
		t.Errorf("of one that nothing was said of: %+v, %v", got, err)
	}
	_, err := b.Front("shop", "globex")
	b.refused(err, operator.NotFound, "no such environment")
	b.refused(b.SetFront(ctx, "shop", "globex", want, ""), operator.NotFound, "no such environment")
	b.refused(b.SetFront(ctx, "shop", "acme", front.Settings{PerSource: -1}, ""), operator.Invalid, "perSource: -1")

	// Of two changes of the same settings the second one is refused, and changes nothing.
	next := want
	next.Sticky = !want.Sticky
	b.ok(b.SetFront(ctx, "shop", "acme", next, want.Tag()))
	err = b.SetFront(ctx, "shop", "acme", front.Settings{AccessLog: true}, want.Tag())
	b.refused(err, operator.Conflict, "somebody else has changed it")
	if p := operator.AsProblem(err); p.Status != 412 {
		t.Errorf("it is answered %d", p.Status)
	}
	if got, _ := b.Front("shop", "acme"); !reflect.DeepEqual(got, next) {
		t.Errorf("an edit of what was before changed it: %+v", got)
	}
	b.ok(b.SetFront(ctx, "blog", "acme", front.Settings{}, front.Settings{}.Tag())) // nothing was said of it before
	b.ok(b.SetFront(ctx, "shop", "acme", next, "*"))
	b.ok(b.SetFront(ctx, "shop", "acme", want, "W/"+next.Tag()))

	_, err = b.Bypass(ctx, "shop", "acme")
	b.refused(err, operator.Conflict, "maintenance is off")
	_, err = b.Bypass(ctx, "shop", "globex")
	b.refused(err, operator.NotFound, "no such environment")
	want.Maintenance = true
	b.ok(b.SetFront(ctx, "shop", "acme", want, ""))
	one, err := b.Bypass(ctx, "shop", "acme")
	b.ok(err)
	two, err := b.Bypass(ctx, "shop", "acme")
	b.ok(err)
	pass, is := strings.CutPrefix(two.Path.Reveal(), front.BypassPath)
	rec, _ := store.Fronts.Get(b.Store.View(), "shop")
	if sum := sha256.Sum256([]byte(pass)); !is || len(pass) < 20 || two.Name != "shop.demo.test" || one.Path.Equal(two.Path) ||
		string(rec.Pass) != string(sum[:]) {
		t.Errorf("the pass at %q and its record don't belong together", two.Name)
	}
	want.Maintenance = false
	b.ok(b.SetFront(ctx, "shop", "acme", want, ""))
	if rec, _ := store.Fronts.Get(b.Store.View(), "shop"); len(rec.Pass) > 0 {
		t.Error("a pass outlives the maintenance that it was for")
	}

	b.put(func(tx *store.Tx) {
		e, _ := store.Envs.Read(tx, "shop")
		e.Created = e.Created.Add(time.Hour)
		store.Envs.Put(tx, "shop", e)
	})
	if got, err := b.Front("shop", "acme"); err != nil || got.Sticky {
		t.Errorf("another environment of that name has %+v, %v", got, err)
	}
	b.ok(b.forgetFronts(ctx))
	if store.Fronts.Find(b.Store.View(), "shop") != nil {
		t.Error("the record of an environment that is no more stays")
	}
}
