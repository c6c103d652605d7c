package lead

import (
	"slices"

	"pgregory.net/rapid"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/ops"
	"hardnode.dev/orchestrator/store"
)

// redeploy asks for another image of a layer, or for the one of before the last redeploy.
func (c *edited) redeploy(name wire.EnvName) {
	l := operator.RedeployLayer{Name: rapid.SampledFrom([]wire.LayerName{"cp", "cp", "bl"}).Draw(c.r, "layer"),
		Template: rapid.SampledFrom([]wire.TemplateName{"t0:1", "t1:1", "t2:1"}).Draw(c.r, "template")}
	e := ops.Edit{Redeploy: &operator.RedeployEnvironment{Layers: []operator.RedeployLayer{l}}}
	if rapid.IntRange(0, 2).Draw(c.r, "undo") == 0 {
		e = ops.Edit{Undo: &operator.UndoRedeploy{}}
	}
	if c.ask(ops.Request{Kind: "env.edit", Env: name, Edit: e}) {
		c.redeploys++
	}
}

// undone tells whether a node's last redeploy was undone: it keeps the volumes that only the image had which it has no more.
func undone(e store.Environment, n store.Node) bool {
	return slices.ContainsFunc(e.Spec.Layers, func(l operator.LayerSpec) bool { return l.Name == n.Layer && l.Redeploy.Undoes() })
}

// week has what is in the trash have been there for its time.
func (c *edited) week() {
	c.update(func(tx *store.Tx) {
		for e := range store.EnvsIn.Of(tx.View(), store.Trashed) {
			trash := *e.Trash
			trash.Until = c.now
			e.Trash = &trash
			store.Envs.Put(tx, string(e.Spec.Name), e)
		}
	})
}
