package ops

import (
	"context"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/firewall"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/env"
	"hardnode.dev/orchestrator/ops/progress"
	"hardnode.dev/orchestrator/store"
)

// FirewallChange is another firewall of a node, or with Layer of all nodes of its layer.
type FirewallChange struct {
	CTID    wire.CTID
	Layer   bool
	Rules   []firewall.PacketRule
	Account wire.Account  // of the caller
	IfMatch wire.Revision // that the environment must have; 0 is any
}

// SetFirewall takes a change in; hosts have it in force a moment later.
func (o *Ops) SetFirewall(ctx context.Context, c FirewallChange) error {
	object := "nodes/" + c.CTID.String() + "/firewall"
	if err := firewall.Validate(c.Rules, firewall.MaxRules); err != nil {
		return operator.NewProblem(operator.Invalid, object, err.Error(), "mend the rule; see hnctl node firewall list "+c.CTID.String())
	}
	return o.changeNode(ctx, c.CTID, c.Account, c.IfMatch, func(tx *store.Tx, n store.Node, e *store.Environment) error {
		number := n.Index + 1
		if c.Layer {
			number = 0
		}
		if p := env.PeersOf(e.Spec, "rules", e.Rules(n.Layer, number), c.Rules, e.Account.Owner(), owns(tx.View(), e.Account)); p != nil {
			return p
		}
		e.SetRules(n.Layer, number, c.Rules)
		return nil
	})
}

// changeNode changes what an environment's record says of a node, for a caller of an account. A match of 0 is any revision.
func (o *Ops) changeNode(ctx context.Context, id wire.CTID, account wire.Account, match wire.Revision,
	change func(*store.Tx, store.Node, *store.Environment) error) error {
	_, err := o.Store.Update(ctx, func(tx *store.Tx) error {
		n, there := store.Nodes.Read(tx, id.String())
		e, known := store.Envs.Read(tx, string(n.Env))
		if !there || !known || n.Gone || !account.Sees(e.Account) {
			return operator.NewProblem(operator.NotFound, "nodes/"+id.String(), "there is no such node", "see hnctl node list")
		}
		if p := progress.Refusal("node.change", n.Env, &e, store.Envs.Revision(tx.View(), string(n.Env)), match); p != nil {
			return p
		}
		if err := change(tx, n, &e); err != nil {
			return err
		}
		store.Envs.Put(tx, string(n.Env), e)
		return nil
	})
	return err
}
