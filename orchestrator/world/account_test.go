package world

import (
	"testing"

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
		store.Operations.Put(tx, "op-1", store.Operation{Env: "hello", Operation: operator.Operation{ID: "op-1", Object: "environments/hello"}})
		store.Operations.Put(tx, "op-2", store.Operation{Operation: operator.Operation{ID: "op-2", Object: "templates/nginx:1"}})
		store.Templates.Put(tx, "nginx:1", host.Template{Image: host.Image{Name: "nginx:1"}})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	all := World{View: st.View()}
	pushed := []host.Import{{Name: "app:1"}}
	for account, want := range map[string]int{"": 0, "somebody": 0, Admin: 1} {
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
