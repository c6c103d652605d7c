package world

import (
	"testing"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/store"
)

// What an account sees goes by whose the records are, whichever reader is asked; a world that was made for nobody shows nothing.
func TestFor(t *testing.T) {
	st, err := store.Open(t.Context(), store.Options{Dir: t.TempDir(), Unsafe: true})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if _, err := st.Update(t.Context(), func(tx *store.Tx) error {
		store.Hosts.Put(tx, "h-1", store.Host{ID: "h-1", Name: "host1", Order: 1})
		store.Hosts.Put(tx, "h-2", store.Host{ID: "h-2", Name: "host2", Order: 2})
		store.Envs.Put(tx, "hello", store.Environment{Spec: operator.EnvironmentSpec{Name: "hello"}, Want: store.WantRunning})
		store.Nodes.Put(tx, "100", store.Node{CTID: 100, Env: "hello", Host: "h-1", HTTP: 80})
		store.Nodes.Put(tx, "101", store.Node{CTID: 101, Env: "hello", Host: "h-2"})
		store.Nodes.Put(tx, "102", store.Node{CTID: 102, Env: "other", Host: "h-1"})
		store.Operations.Put(tx, "op-1",
			store.Operation{Env: "hello", Operation: operator.Operation{ID: "op-1", Object: "environments/hello"}})
		store.Operations.Put(tx, "op-2", store.Operation{Operation: operator.Operation{ID: "op-2", Object: "templates/nginx:1"}})
		store.Templates.Put(tx, "nginx:1", host.Template{Image: host.Image{Name: "nginx:1"}})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	all := World{View: st.View()}
	pushed := []host.Import{{Name: "app:1"}}
	for account, want := range map[wire.Account]int{"": 0, "somebody": 0, Admin: 1} {
		w := all.For(account)
		_, node := w.Node(100)
		_, environment := w.Environment("hello")
		_, named := w.Host("host2")
		_, operation := w.Operation("op-1")
		for _, c := range []struct {
			what string
			got  int
			of   int // all there are
		}{
			{"the node", count(node), 1}, {"the environment", count(environment), 1},
			{"the host", count(named), 1}, {"the operation", count(operation), 1},
			{"nodes", len(w.Nodes("", "").All()), 3}, {"nodes of hello", len(w.Nodes("hello", "").All()), 2},
			{"nodes on host1", len(w.Nodes("", "host1").All()), 2}, {"nodes on h-1", len(w.Nodes("", "h-1").All()), 2},
			{"nodes of hello on host1", len(w.Nodes("hello", "host1").All()), 1},
			{"nodes on a host that is not there", len(w.Nodes("", "host9").All()), 0},
			{"environments", len(w.Environments().All()), 1}, {"hosts", len(w.Hosts().All()), 2},
			{"operations", len(w.Operations().All()), 2}, {"operations on hello", len(w.OperationsOn("hello").All()), 1},
			{"templates", len(w.Templates(pushed)), 2}, {"sites", len(w.Sites()), 1},
			{"environments counted", len(w.Cluster().Environments), 1}, {"states of hosts counted", len(w.Cluster().Hosts), 1},
		} {
			if c.got != c.of*want {
				t.Errorf("account %q sees %d of %s, want %d", account, c.got, c.what, c.of*want)
			}
		}
	}
	if w := all.For(Admin); !w.Served("hello") || w.Served("other") {
		t.Error("hello has a node that serves HTTP, and other has none")
	}
}

func count(there bool) int {
	if there {
		return 1
	}
	return 0
}

// Each account sees its own, and the admins see what is of any: what names no account is theirs.
func TestForOwner(t *testing.T) {
	st, err := store.Open(t.Context(), store.Options{Dir: t.TempDir(), Unsafe: true})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if _, err := st.Update(t.Context(), func(tx *store.Tx) error {
		for name, account := range map[wire.EnvName]wire.Account{"mine": "acme", "theirs": "shop", "old": ""} {
			store.Envs.Put(tx, string(name),
				store.Environment{Spec: operator.EnvironmentSpec{Name: name}, Account: account, Want: store.WantRunning})
			id := wire.OperationID("op-" + name)
			store.Operations.Put(tx, string(id), store.Operation{Operation: operator.Operation{ID: id, Account: account}})
			template := wire.TemplateName(name)
			store.Templates.Put(tx, string(name), host.Template{Image: host.Image{Name: template}, Account: account})
		}
		for id, account := range map[wire.CTID]wire.Account{100: "acme", 101: "shop", 102: ""} {
			store.Nodes.Put(tx, id.String(), store.Node{CTID: id, Container: host.Container{CTID: id, Account: account}})
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	pushed := []host.Import{{Name: "a:1", Account: "acme"}, {Name: "b:1"}}
	for account, want := range map[wire.Account][2]int{"acme": {1, 2}, "shop": {1, 1}, "nobody": {0, 0}, Admin: {3, 5}} {
		w := World{View: st.View()}.For(account)
		got := [4]int{len(w.Environments().All()), len(w.Nodes("", "").All()), len(w.Operations().All()), len(w.Templates(pushed))}
		if got != [4]int{want[0], want[0], want[0], want[1]} {
			t.Errorf("account %s sees environments, nodes, operations, templates: %v; want three times %d, and %d", account, got,
				want[0], want[1])
		}
		for _, e := range w.Environments().All() {
			if e.Account != account && account != Admin || e.Account == "" {
				t.Errorf("account %s sees an environment of %q", account, e.Account)
			}
		}
	}
}
