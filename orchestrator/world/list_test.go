package world

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/live"
	"hardnode.dev/orchestrator/store"
)

// TestListGoesOn: what comes after a key is what comes after it, whatever the list is made of and though the thing of the key is no more.
func TestListGoesOn(t *testing.T) {
	m := store.NewMemory()
	put := func(f func(tx *store.Tx)) {
		if _, err := m.Update(t.Context(), func(tx *store.Tx) error { f(tx); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	put(func(tx *store.Tx) {
		for i := range 12 {
			name, id := fmt.Sprintf("e%d", i), wire.HostID(fmt.Sprintf("h-%d", i))
			store.Envs.Put(tx, name, store.Environment{Spec: operator.EnvironmentSpec{Name: wire.EnvName(name)}})
			store.Hosts.Put(tx, string(id), store.Host{ID: id, Name: name, Order: int64(12 - i)})
			n := store.Node{CTID: wire.CTID(95 + i), Env: wire.EnvName(fmt.Sprintf("e%d", i%2)), Host: "h-1"}
			store.Nodes.Put(tx, n.CTID.String(), n)
			op := store.Operation{Operation: operator.Operation{ID: wire.OperationID("op-" + name),
				Object: fmt.Sprintf("environments/e%d", i%2)}}
			store.Operations.Put(tx, string(op.ID), op)
		}
	})
	keys := func(w World) map[string][]string {
		return map[string][]string{"environments": keysAfter(w.Environments(), ""), "nodes": keysAfter(w.Nodes("", ""), ""),
			"nodes of e1": keysAfter(w.Nodes("e1", ""), ""), "nodes on h-1": keysAfter(w.Nodes("", "h-1"), ""),
			"hosts": keysAfter(w.Hosts(), ""), "operations": keysAfter(w.Operations(), ""),
			"operations on e1": keysAfter(w.OperationsOn("e1"), "")}
	}
	w := World{View: m.View()}.For(Admin)
	all := keys(w)
	for what, n := range map[string]int{"environments": 12, "nodes": 12, "nodes of e1": 6, "nodes on h-1": 12, "hosts": 12,
		"operations": 12, "operations on e1": 6} {
		if got := len(slices.Compact(all[what])); got != n {
			t.Errorf("%s: %d keys, want %d: %v", what, got, n, all[what])
		}
	}
	if got := strings.Join(all["environments"], " "); got != "e0 e1 e10 e11 e2 e3 e4 e5 e6 e7 e8 e9" {
		t.Errorf("environments by name: %s", got)
	}
	after := func(w World, what, key string) []string {
		switch what {
		case "environments":
			return keysAfter(w.Environments(), key)
		case "nodes":
			return keysAfter(w.Nodes("", ""), key)
		case "nodes of e1":
			return keysAfter(w.Nodes("e1", ""), key)
		case "nodes on h-1":
			return keysAfter(w.Nodes("", "h-1"), key)
		case "hosts":
			return keysAfter(w.Hosts(), key)
		case "operations":
			return keysAfter(w.Operations(), key)
		}
		return keysAfter(w.OperationsOn("e1"), key)
	}
	put(func(tx *store.Tx) { // the keys of the sixth are those of nothing
		store.Envs.Delete(tx, "e3")
		store.Nodes.Delete(tx, "100")
		store.Hosts.Delete(tx, "h-6")
		store.Operations.Delete(tx, "op-e3")
	})
	later := World{View: m.View()}.For(Admin)
	now := keys(later)
	for what, list := range all {
		for i, key := range list {
			want := slices.DeleteFunc(slices.Clone(list[i+1:]), func(k string) bool { return !slices.Contains(now[what], k) })
			if got := after(later, what, key); !slices.Equal(got, want) {
				t.Errorf("%s after %q: %v, want %v", what, key, got, want)
			}
		}
	}
	some := later.Environments().Only(func(e operator.Environment) bool { return e.Spec.Name > "e5" })
	if got := keysAfter(some, "e6"); strings.Join(got, " ") != "e7 e8 e9" {
		t.Errorf("some of a list: %v", got)
	}
}

// TestPage: pages hold each thing once, in order; a cursor is what a page gave.
func TestPage(t *testing.T) {
	var items []Item[int]
	for i := range 7 {
		items = append(items, Item[int]{byNumber(int64(i)), func() int { return i }})
	}
	list := ListOf(items)
	for limit, want := range map[int]string{1: "[0][1][2][3][4][5][6]", 3: "[0 1 2][3 4 5][6]", 7: "[0 1 2 3 4 5 6]",
		8: "[0 1 2 3 4 5 6]"} {
		got, cursor := "", ""
		for {
			things, next, err := list.Page(cursor, limit)
			if err != nil {
				t.Fatal(err)
			}
			if got += fmt.Sprint(things); next == "" {
				break
			}
			cursor = next
		}
		if got != want {
			t.Errorf("pages of %d: %s, want %s", limit, got, want)
		}
	}
	large := list
	large.parts = func(i int) int { return pageParts / 2 * (i % 2) } // every second one
	if things, next, err := large.Page("", 7); err != nil || len(things) != 4 || next == "" {
		t.Errorf("a page of large things: %v, next %q, %v", things, next, err)
	} else if things, next, err := large.Only(func(i int) bool { return i != 4 }).Page(next, 7); err != nil || len(things) != 2 ||
		next != "" {
		t.Errorf("the page after it: %v, next %q, %v", things, next, err)
	}
	if things, next, err := (List[int]{}).Page("", 5); err != nil || len(things) != 0 || things == nil || next != "" {
		t.Errorf("of nothing: %v, next %q, %v", things, next, err)
	}
	if _, _, err := list.Page("no!", 5); err == nil {
		t.Error("what no page gave is taken for a cursor")
	}
}

func keysAfter[T any](l List[T], key string) (out []string) {
	for item := range l.After(key) {
		out = append(out, item.Key)
	}
	return out
}

// TestPageCostsThePage: a page of a list costs what is on it, not what there is.
func TestPageCostsThePage(t *testing.T) {
	allocations := func(envs int) (got [3]float64) {
		m, fleet := store.NewMemory(), live.Snapshot{"h-1": {State: live.State{State: operator.HostActive}, Report: &host.Report{}}}
		if _, err := m.Update(context.Background(), func(tx *store.Tx) error {
			store.Hosts.Put(tx, "h-1", store.Host{ID: "h-1", Name: "host1"})
			for i := range envs {
				name := fmt.Sprintf("e%05d", i)
				store.Envs.Put(tx, name, store.Environment{Spec: operator.EnvironmentSpec{Name: wire.EnvName(name)}})
				n := store.Node{CTID: wire.CTID(100 + i), Env: wire.EnvName(name), Host: "h-1"}
				n.Container.IPv4 = netip.MustParseAddr("10.96.1.10")
				store.Nodes.Put(tx, n.CTID.String(), n)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		w := World{View: m.View(), Live: fleet}.For(Admin)
		for i, key := range []string{"", "e00050", "e00400"} {
			got[i] = testing.AllocsPerRun(3, func() {
				first(t, w.Environments(), key, 100)
				first(t, w.Nodes("", ""), map[string]string{"": "", "e00050": byNumber(150), "e00400": byNumber(500)}[key], 100)
			})
		}
		return got
	}
	few, many := allocations(600), allocations(6000)
	for i := range few {
		if many[i] > 2*few[i] {
			t.Errorf("page %d: %.0f allocations of 600 environments, %.0f of 6000", i, few[i], many[i])
		}
	}
	t.Logf("allocations of a page of 100 environments and one of 100 nodes: %.0f", many)
}

// first takes n things.
func first[T any](t *testing.T, l List[T], key string, n int) {
	for item := range l.After(key) {
		item.Get()
		if n--; n == 0 {
			return
		}
	}
	t.Fatalf("%d things too few", n)
}
