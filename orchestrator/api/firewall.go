package api

import (
	"context"
	"strconv"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/firewall"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/ops"
	"hardnode.dev/orchestrator/store"
)

type firewallAnswer struct {
	ETag string `header:"ETag" doc:"The environment's revision, quoted"`
	Body operator.Firewall
}

func (s *Server) getFirewall(_ context.Context, c caller, in *nodeInput) (*firewallAnswer, error) {
	v := s.Store.View()
	n, there := store.Nodes.Get(v, in.CTID.String())
	e, known := store.Envs.Get(v, string(n.Env))
	if !there || !known || n.Gone || !c.Account.Sees(e.Account) {
		return nil, noNode(in.CTID)
	}
	f := operator.Firewall{CTID: n.CTID, Env: n.Env, Layer: n.Layer, OfLayer: firewall.Sort(e.Rules(n.Layer, 0)),
		OfNode: firewall.Sort(e.Rules(n.Layer, n.Index+1)), Revision: store.Envs.Revision(v, string(n.Env))}
	f.InForce = firewall.Merge(f.OfLayer, f.OfNode)
	for _, list := range []*[]firewall.PacketRule{&f.OfLayer, &f.OfNode, &f.InForce} {
		if *list == nil {
			*list = []firewall.PacketRule{}
		}
	}
	return &firewallAnswer{strconv.Quote(f.Revision.String()), f}, nil
}

type firewallInput struct {
	CTID    wire.CTID `path:"ctid" minimum:"1"`
	Layer   bool      `query:"layer" doc:"The rules of all nodes of its layer, not its own"`
	IfMatch string    `header:"If-Match" maxLength:"40" doc:"Only if the environment still has this ETag"`
	Body    operator.FirewallRules
}

// setFirewall replaces one of a node's two lists of rules.
func (s *Server) setFirewall(ctx context.Context, c caller, in *firewallInput) (*firewallAnswer, error) {
	rev, err := revision(in.IfMatch)
	if err != nil {
		return nil, err
	}
	if _, err := s.getFirewall(ctx, c, &nodeInput{in.CTID}); err != nil {
		return nil, err
	}
	what := "nodes/" + in.CTID.String()
	if in.Layer {
		what += " and its layer"
	}
	if err := s.do(c, "node.firewall", what, func() error {
		return s.Ops.SetFirewall(ctx, ops.FirewallChange{CTID: in.CTID, Layer: in.Layer, Rules: in.Body.Rules, Account: c.Account,
			IfMatch: rev})
	}); err != nil {
		return nil, err
	}
	return s.getFirewall(ctx, c, &nodeInput{in.CTID})
}
