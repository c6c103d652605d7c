package api

import (
	"context"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/mount"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/store"
)

func (s *Server) getMounts(_ context.Context, c caller, in *nodeInput) (operator.NodeMounts, error) {
	w := c.world()
	n, there := store.Nodes.Get(w.View, in.CTID.String())
	e, known := store.Envs.Get(w.View, string(n.Env))
	if !there || !known || n.Gone || !c.Account.Sees(e.Account) {
		return operator.NodeMounts{}, noNode(in.CTID)
	}
	out := operator.NodeMounts{CTID: n.CTID, Mounts: []operator.NodeMount{}, Revision: store.Envs.Revision(w.View, string(n.Env))}
	if h, ok := store.Hosts.Get(w.View, string(n.Host)); ok {
		out.HostName = h.Name
	}
	for _, m := range e.MountsOf(n.Layer, n.Index+1, func(wire.CTID) wire.HostID { return n.Host }) {
		p := operator.NodeMount{Name: m.Name, Path: m.Path, From: m.From, Volume: m.Volume, ReadOnly: m.ReadOnly}
		if r := w.Live[n.Host].Report; r != nil {
			for _, said := range r.Problems {
				if said.CTID == n.CTID && said.Object == mount.Object(n.CTID, m.Name) {
					p.Problem = said.Reason
				}
			}
		}
		out.Mounts = append(out.Mounts, p)
	}
	return out, nil
}

type mountsInput struct {
	CTID    wire.CTID `path:"ctid" minimum:"1"`
	IfMatch string    `header:"If-Match" maxLength:"40" doc:"Only if the environment still has this ETag"`
	Body    operator.MountedVolumes
}

// setMounts replaces the volumes of other nodes that a node has mounted. What is new is mounted when the node starts the next time; what is
// there no more, or may only be read from now on, is that at once.
func (s *Server) setMounts(ctx context.Context, c caller, in *mountsInput) (out operator.NodeMounts, err error) {
	rev, err := revision(in.IfMatch)
	if err == nil {
		_, err = s.getMounts(ctx, c, &nodeInput{in.CTID})
	}
	if err != nil {
		return out, err
	}
	var list []mount.Mount
	for _, m := range in.Body.Mounts {
		list = append(list, mount.Mount{Name: m.Name, Path: m.Path, From: m.From, Volume: m.Volume, ReadOnly: m.ReadOnly})
	}
	if err := s.do(c, "node.mounts", "nodes/"+in.CTID.String(), func() error {
		return s.Ops.SetMounts(ctx, in.CTID, c.Account, list, rev)
	}); err != nil {
		return out, err
	}
	return s.getMounts(ctx, c, &nodeInput{in.CTID})
}
