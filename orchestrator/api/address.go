package api

import (
	"context"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/store"
)

func (s *Server) getAddresses(_ context.Context, c caller, in *nodeInput) (operator.NodeAddresses, error) {
	w := c.world()
	n, there := store.Nodes.Get(w.View, in.CTID.String())
	e, known := store.Envs.Get(w.View, string(n.Env))
	if !there || !known || n.Gone || !c.Account.Sees(e.Account) {
		return operator.NodeAddresses{}, noNode(in.CTID)
	}
	out := operator.NodeAddresses{CTID: n.CTID, Addresses: []operator.PublicAddress{},
		Revision: store.Envs.Revision(w.View, string(n.Env))}
	if h, ok := store.Hosts.Get(w.View, string(n.Host)); ok {
		out.HostName = h.Name
	}
	for _, a := range e.AddressesOf(n.Layer, n.Index+1) {
		p := operator.PublicAddress{Address: a}
		if r := w.Live[n.Host].Report; r != nil {
			for _, said := range r.Problems {
				if said.CTID == n.CTID && said.Object == host.AddressObject(a) {
					p.Problem = said.Reason
				}
			}
		}
		out.Addresses = append(out.Addresses, p)
	}
	return out, nil
}

type addressesInput struct {
	CTID    wire.CTID `path:"ctid" minimum:"1"`
	IfMatch string    `header:"If-Match" maxLength:"40" doc:"Only if the environment still has this ETag"`
	Body    operator.PublicAddresses
}

// setAddresses replaces the public addresses of a node. It is for those who run the cluster: who chooses an address takes it from whomever
// has it on the hosts' network.
func (s *Server) setAddresses(ctx context.Context, c caller, in *addressesInput) (out operator.NodeAddresses, err error) {
	rev, err := revision(in.IfMatch)
	if err == nil {
		_, err = s.getAddresses(ctx, c, &nodeInput{in.CTID})
	}
	if err != nil {
		return out, err
	}
	if err := s.do(c, "node.addresses", "nodes/"+in.CTID.String(), func() error {
		return s.Ops.SetAddresses(ctx, in.CTID, c.Account, in.Body.Addresses, rev)
	}); err != nil {
		return out, err
	}
	return s.getAddresses(ctx, c, &nodeInput{in.CTID})
}
