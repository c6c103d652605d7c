package ops

import (
	"path/filepath"
	"testing"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/env"
	"hardnode.dev/orchestrator/store"
)

// A redeploy can be undone from the moment on that its operation is done, though nobody has settled its nodes yet: not before, and not
// twice.
func TestUndoRightAfter(t *testing.T) {
	st, err := store.Open(t.Context(), store.Options{Dir: filepath.Join(t.TempDir(), "s"), Unsafe: true})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	web := func(name wire.TemplateName, digest wire.Digest) host.Template {
		return host.Template{Image: host.Image{Name: name, Digest: digest}, Process: host.Process{Argv: []string{"/web"}}}
	}
	templates := env.Templates{"web:1": web("web:1", "sha256:1"), "web:2": web("web:2", "sha256:2")}
	was := operator.LayerSpec{Name: "cp", Template: "web:1", Nodes: 1, Cloudlets: wire.Cloudlets{Dynamic: 4}}
	is := was
	is.Template, is.Redeploy = "web:2", &operator.Redeployed{Number: 1}
	back := was
	back.Redeploy = &operator.Redeployed{Number: 2, Back: true}

	plan := func(state operator.OperationState, is, was operator.LayerSpec) *operator.Problem {
		node := func(l operator.LayerSpec, generation int64) env.Node {
			n := env.NodeOf("ann", "hello", l, 0, templates[l.Template])
			n.Container.Generation = generation
			return n
		}
		n, before := node(is, 6), node(was, 5)
		op := created()
		op.ID, op.Kind, op.State = "op-redeploy", "env.edit", state
		e := store.Environment{Account: "ann", Operation: "op-redeploy",
			Spec: operator.EnvironmentSpec{Version: 1, Name: "hello", Layers: []operator.LayerSpec{is}}}
		_, err := st.Update(t.Context(), func(tx *store.Tx) error {
			for name, tmpl := range templates {
				store.Templates.Put(tx, string(name), tmpl)
			}
			store.Operations.Put(tx, "op-redeploy", op)
			store.Envs.Put(tx, "hello", e)
			made := &store.Made{Spec: is, At: t0,
				Before: &store.Before{Spec: was, Cloudlets: before.Cloudlets, Container: before.Container}}
			store.Nodes.Put(tx, "100", store.Node{CTID: 100, Env: "hello", Layer: "cp", Cloudlets: n.Cloudlets, Container: n.Container,
				Made: made})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		_, p := PlanEdit(st.View(), e, e.Spec, Edit{Undo: &operator.UndoRedeploy{}})
		return p
	}
	if p := plan(operator.OpDone, is, was); p != nil {
		t.Errorf("a redeploy that is done: %v", p)
	}
	if p := plan(operator.OpRunning, is, was); p == nil {
		t.Error("one that is at work can be undone")
	}
	if p := plan(operator.OpDone, back, is); p == nil {
		t.Error("one that was undone can be undone again")
	}
}
