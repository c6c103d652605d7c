package api

import (
	"context"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/usage"
)

type usageInput struct {
	CTID  wire.CTID     `path:"ctid" minimum:"1"`
	Step  string        `query:"step" enum:"sample,minute,hour" default:"minute" doc:"5 seconds (kept for 10 minutes), a minute (24 hours) or an hour (35 days)"`
	Since wire.Revision `query:"since" minimum:"0" doc:"Only records of later revisions: the next of the last answer"`
	From  int64         `query:"from" minimum:"0" doc:"Only records that ended then or later, in Unix seconds"`
	Host  string        `query:"host" doc:"Name of the host that is asked, for whoever runs the cluster: one that the node has left keeps what it counted there; default: the one that it is on"`
}

// nodeUsage asks a node's host, or another one that it has been on, what the node used there: each host has records and revisions of its
// own, which do not move.
func (s *Server) nodeUsage(ctx context.Context, c caller, in *usageInput) (out usage.Answer, err error) {
	n, ok := c.world().Node(in.CTID)
	if !ok {
		return out, noNode(in.CTID)
	}
	ask := usage.Ask{Step: usage.Step(in.Step), Since: in.Since, From: in.From, CTID: in.CTID}
	if err := ask.Validate(); err != nil {
		return out, operator.NewProblem(operator.Invalid, "usage", err.Error(), "correct it")
	}
	at, reason := operator.Host{ID: n.Host, Name: n.HostName}, n.Reason
	if in.Host != "" {
		if p := c.RequireCluster("hosts/" + in.Host); p != nil {
			return out, p
		}
		if at, ok = c.world().Host(in.Host); !ok {
			return out, noHost(in.Host)
		}
		reason = at.Reason
	}
	if !c.world().Answers(at.ID) {
		return out, operator.NewProblem(operator.Unavailable, "nodes/"+in.CTID.String(), reason, "wait for its host: hnctl host list")
	}
	return asks[usage.Answer](ctx, s, at, host.SessionRequest{Usage: &ask})
}
