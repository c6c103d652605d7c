package hostapi

import (
	"testing"

	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/usage"
	"hardnode.dev/orchestrator/store"
)

// TestOwned: a record that does not say whose it is belongs to whom its node is of now; what says it stays as it is.
func TestOwned(t *testing.T) {
	st, err := store.Open(t.Context(), store.Options{Dir: t.TempDir(), Unsafe: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(st.Close)
	if _, err := st.Update(t.Context(), func(tx *store.Tx) error {
		store.Nodes.Put(tx, "101", store.Node{CTID: 101, Env: "shop", Container: host.Container{CTID: 101, Account: "alice"}})
		store.Nodes.Put(tx, "5", store.Node{CTID: 5, Env: "jelastic", Container: host.Container{CTID: 5}})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	got := owned(st.View(), usage.Answer{Records: []usage.Record{{CTID: 101}, {CTID: 101, Account: "bob", Env: "blog"}, {CTID: 5},
		{CTID: 102}}}).Records
	want := []usage.Record{{CTID: 101, Account: "alice", Env: "shop"}, {CTID: 101, Account: "bob", Env: "blog"},
		{CTID: 5, Account: "admin", Env: "jelastic"}, {CTID: 102}}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("got %+v, want %+v", got[i], want[i])
		}
	}
}
