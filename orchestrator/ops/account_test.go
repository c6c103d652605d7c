package ops

import (
	"path/filepath"
	"testing"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/live"
	"hardnode.dev/orchestrator/store"
)

// TestAccount: a new environment is its caller's; an operation on one is the environment's, whoever asked.
func TestAccount(t *testing.T) {
	st, err := store.Open(t.Context(), store.Options{Dir: filepath.Join(t.TempDir(), "s"), Unsafe: true})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	o := &Ops{Store: st, Fleet: live.NewFleet(live.ClocksFor(1), t0, nil)}
	spec := operator.EnvironmentSpec{Version: 1, Name: "shop", Layers: []operator.LayerSpec{{Name: "cp", Template: "nginx:1", Nodes: 1}}}
	for _, c := range []struct {
		kind   string
		caller wire.Account
	}{{"env.create", "acme"}, {"env.delete", "admin"}} {
		op, err := o.Accept(t.Context(), Request{Kind: c.kind, Env: "shop", Spec: &spec, Account: c.caller})
		if err != nil {
			t.Fatal(err)
		}
		if e, _ := store.Envs.Get(st.View(), "shop"); op.Account != "acme" || e.Account != "acme" {
			t.Errorf("%s asked by %s: the operation is %q's, the environment %q's; want acme's", c.kind, c.caller, op.Account, e.Account)
		}
	}
}
