package hostapi

import (
	"context"
	"testing"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/orchestrator/store"
)

// TestHeldCallsEnd: a call ends when its host is removed or enrolled anew with another key, whenever that happens, and for no other change.
func TestHeldCallsEnd(t *testing.T) {
	m := store.NewMemory()
	put := func(f func(*store.Tx)) {
		t.Helper()
		if _, err := m.Update(t.Context(), func(tx *store.Tx) error { f(tx); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	enroll := func(id wire.HostID, key byte) store.Host {
		h := store.Host{ID: id, Name: string(id), Key: []byte{key}}
		put(func(tx *store.Tx) { store.Hosts.Put(tx, string(id), h) })
		return h
	}
	one, two, three := enroll("h-1", 1), enroll("h-2", 1), enroll("h-3", 1)
	var l held
	ends := func(what string, ctx context.Context) {
		t.Helper()
		select {
		case <-ctx.Done():
		case <-time.After(time.Minute):
			t.Fatalf("%s: not within a minute", what)
		}
	}
	early, endEarly := l.hold(t.Context(), three, m.View)
	defer endEarly()
	put(func(tx *store.Tx) { store.Hosts.Delete(tx, "h-3") }) // before anybody follows
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.follow(ctx, m.View) }()
	ends("a call whose host was removed before the follower began", early)
	first, endFirst := l.hold(t.Context(), one, m.View)
	second, endSecond := l.hold(t.Context(), one, m.View)
	other, endOther := l.hold(t.Context(), two, m.View)
	defer endOther()
	hinted := func(what string, ctx context.Context) {
		t.Helper()
		select {
		case <-news(ctx):
		case <-time.After(time.Minute):
			t.Fatalf("%s: no hint within a minute", what)
		}
	}
	put(func(tx *store.Tx) { store.Numbers.Put(tx, "ctid", store.Number{Next: 7}) })
	put(func(tx *store.Tx) { store.Operations.Put(tx, "op-1", store.Operation{}) })
	put(func(tx *store.Tx) { store.Nodes.Put(tx, "100", store.Node{CTID: 100, Host: "h-2"}) })
	put(func(tx *store.Tx) { store.Works.Put(tx, "h-2", host.Work{Revision: 1}) })
	hinted("another Work", other)
	put(func(tx *store.Tx) { store.Systems.Put(tx, "h-2", store.System{System: host.System{Revision: 1}}) })
	hinted("another System", other)
	for what, ctx := range map[string]context.Context{"the first": first, "the second": second, "the other": other} {
		select {
		case <-news(ctx):
			t.Errorf("%s call has a hint without a cause", what)
		default:
		}
	}
	for what, f := range map[string]func(*store.Tx){
		"Peers":               func(tx *store.Tx) { store.PeersDoc.Put(tx, store.Only, host.Peers{Revision: 3}) },
		"names":               func(tx *store.Tx) { store.EnvNames.Put(tx, "hello", store.Names{}) },
		"whose names":         func(tx *store.Tx) { store.Envs.Put(tx, "hello", store.Environment{Account: "acme"}) },
		"the revision of all": func(tx *store.Tx) { store.Numbers.Put(tx, store.Published, store.Number{Next: 9}) },
	} {
		put(f)
		hinted(what, first)
		hinted(what, second)
		hinted(what, other)
	}
	// A call that waits for its place in a turn hears of its own Work and of names of what its host runs, and of nothing else.
	inTurn(other)
	put(func(tx *store.Tx) { store.EnvNames.Put(tx, "shop", store.Names{}) })
	hinted("names, for a call that does not wait", first)
	select {
	case <-news(other):
		t.Error("a call that waits for its place has a hint of names that are not its host's")
	default:
	}
	put(func(tx *store.Tx) { store.Nodes.Put(tx, "101", store.Node{CTID: 101, Env: "shop", Host: "h-2"}) })
	put(func(tx *store.Tx) {
		store.EnvNames.Put(tx, "shop", store.Names{Nodes: []host.Name{{Name: "node101-shop.internal"}}})
	})
	hinted("names of an environment of its host", other)
	put(func(tx *store.Tx) { store.Works.Put(tx, "h-2", host.Work{Revision: 2}) })
	hinted("another Work, while it waits", other)
	enroll("h-1", 1) // the same again
	if n := l.count(); n != 4 || first.Err() != nil || second.Err() != nil || other.Err() != nil {
		t.Errorf("%d calls are held: %v, %v, %v", n, first.Err(), second.Err(), other.Err())
	}
	put(func(tx *store.Tx) { store.Hosts.Delete(tx, "h-1") })
	ends("the first call of a host that is removed", first)
	ends("its second call", second)
	if why := context.Cause(first); why == nil || why.Error() != "host h-1: it is not enrolled (any more) (give it a new join token)" {
		t.Errorf("why it ended: %v", why)
	}
	enroll("h-2", 2)
	ends("a call of a host that was enrolled anew", other)
	late, endLate := l.hold(t.Context(), one, m.View)
	ends("a call of a host that is no more", late)
	endFirst()
	endSecond()
	endLate()
	if n := l.count(); n != 2 || len(l.mu.calls) != 2 {
		t.Errorf("%d calls of %d hosts are held, want 2 of 2", n, len(l.mu.calls))
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
