package api

import (
	"context"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/env"
	"hardnode.dev/orchestrator/store"
)

type resizeInput struct {
	CTID wire.CTID `path:"ctid" minimum:"1"`
	Body operator.ResizeNode
}

func (s *Server) nodeSize(_ context.Context, c caller, in *nodeInput) (out operator.NodeSize, err error) {
	n, there := store.Nodes.Get(s.Store.View(), in.CTID.String())
	now, seen := c.world().Node(in.CTID)
	if !there || !seen {
		return out, noNode(in.CTID)
	}
	out = env.SizeOf(n.Cloudlets, n.Container)
	out.Tuned = now.Tuned
	return out, nil
}

// resizeNode changes what a node may use while it runs.
func (s *Server) resizeNode(ctx context.Context, c caller, in *resizeInput) (out operator.NodeSize, err error) {
	w := c.world()
	if _, seen := w.Node(in.CTID); !seen {
		return out, noNode(in.CTID)
	}
	memory := func(on wire.HostID) int64 {
		if r := w.Live[on].Report; r != nil {
			return r.Capacity.MemoryBytes
		}
		return 0
	}
	return out, s.do(c, "node.resize", "nodes/"+in.CTID.String(), func() (err error) {
		out, err = s.Ops.Resize(ctx, in.CTID, in.Body, c.Account, memory)
		return err
	})
}
