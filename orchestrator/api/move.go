package api

import (
	"context"
	"fmt"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/ops"
	"hardnode.dev/orchestrator/store"
)

type moveInput struct {
	CTID   wire.CTID `path:"ctid" minimum:"1"`
	DryRun bool      `query:"dry_run" doc:"Only say where it would go, and why"`
	Key    string    `header:"Idempotency-Key" maxLength:"100" doc:"A repeated request with the same key is answered as the first one, for a day"`
	Body   operator.MoveNode
}

// moveNode has a node go to another host with its data. What keeps it from that is found out before anything is stored.
func (s *Server) moveNode(ctx context.Context, c caller, in *moveInput) (*acceptedAnswer, error) {
	if p := c.RequireCluster("nodes/" + in.CTID.String()); p != nil {
		return nil, p
	}
	w := c.world()
	if _, seen := w.Node(in.CTID); !seen {
		return nil, noNode(in.CTID)
	}
	what := fmt.Sprintf("POST /nodes/%s/move %s %d", in.CTID, in.Body.Host, in.Body.RateMiB)
	if again, err := s.repeated(c, in.Key, what); !in.DryRun && (again != nil || err != nil) {
		return again, err
	}
	var asked wire.HostID
	if in.Body.Host != "" {
		h, ok := w.Host(in.Body.Host)
		if !ok {
			return nil, noHost(in.Body.Host)
		}
		asked = h.ID
	}
	to, why, p := s.Target(in.CTID, asked)
	if in.DryRun {
		if p != nil {
			return nil, p
		}
		h, _ := store.Hosts.Get(w.View, string(to))
		return &acceptedAnswer{Status: 200, Body: operator.Accepted{Move: &operator.MovePlan{HostName: h.Name, Why: why}}}, nil
	}
	var op operator.Operation
	err := s.do(c, "node.move", "nodes/"+in.CTID.String(), func() (err error) {
		if p != nil {
			return p
		}
		op, err = s.Ops.Move(ctx, ops.MoveRequest{Node: in.CTID, To: to, Why: why, Rate: in.Body.RateMiB << 20, By: c.Name,
			Also: remember(c, in.Key, what)})
		return err
	})
	if err != nil {
		return nil, err
	}
	return accepted(op), nil
}
