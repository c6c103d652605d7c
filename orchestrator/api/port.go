package api

import (
	"context"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/store"
)

func (s *Server) getPorts(_ context.Context, c caller, in *nodeInput) (operator.NodePorts, error) {
	v := s.Store.View()
	n, there := store.Nodes.Get(v, in.CTID.String())
	e, known := store.Envs.Get(v, string(n.Env))
	if !there || !known || n.Gone || !c.Account.Sees(e.Account) {
		return operator.NodePorts{}, noNode(in.CTID)
	}
	out := operator.NodePorts{CTID: n.CTID, Ports: []operator.PublishedPort{}, Revision: store.Envs.Revision(v, string(n.Env))}
	if h, ok := store.Hosts.Get(v, string(n.Host)); ok {
		out.HostName = h.Name
	}
	for _, p := range e.PortsOf(n.Layer, n.Index+1) {
		out.Ports = append(out.Ports, operator.PublishedPort{Protocol: p.Proto, Host: p.Host, Node: p.Container})
	}
	return out, nil
}

type portsInput struct {
	CTID    wire.CTID `path:"ctid" minimum:"1"`
	IfMatch string    `header:"If-Match" maxLength:"40" doc:"Only if the environment still has this ETag"`
	Body    operator.PublishedPorts
}

// setPorts replaces the ports of a node that are published.
func (s *Server) setPorts(ctx context.Context, c caller, in *portsInput) (out operator.NodePorts, err error) {
	rev, err := revision(in.IfMatch)
	if err == nil {
		_, err = s.getPorts(ctx, c, &nodeInput{in.CTID})
	}
	if err != nil {
		return out, err
	}
	var ports []host.Port
	for _, p := range in.Body.Ports {
		ports = append(ports, host.Port{Proto: p.Protocol, Host: p.Host, Container: p.Node})
	}
	if err := s.do(c, "node.ports", "nodes/"+in.CTID.String(), func() error {
		return s.Ops.SetPorts(ctx, in.CTID, c.Account, ports, rev)
	}); err != nil {
		return out, err
	}
	return s.getPorts(ctx, c, &nodeInput{in.CTID})
}
