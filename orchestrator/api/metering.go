package api

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/metering"
	"hardnode.dev/internal/wire/operator"
)

// Metering is what the API needs of the component metering, which has what was used.
type Metering interface {
	Use(context.Context, metering.Question) (operator.Usage, error)
}

type meteringInput struct {
	From        int64          `query:"from" minimum:"0" doc:"Unix seconds; the hour that it is in is the first one; absent: a day before to"`
	To          int64          `query:"to" minimum:"0" doc:"Unix seconds; the hour before it is the last one; absent: now, with the hour that has begun"`
	Span        operator.Span  `query:"span" enum:"hour,day,month,all" default:"day" doc:"What a row is about; days and months are those of UTC"`
	By          operator.Whole `query:"by" enum:"account,environment,node,host" default:"environment" doc:"What a row is of; hosts are for those who run the cluster"`
	Account     wire.Account   `query:"account" maxLength:"60" doc:"Of this account alone; another one than the own is for those who run the cluster"`
	Environment wire.EnvName   `query:"environment" maxLength:"60" doc:"Of this environment alone, by the name that it had at the time"`
	Host        string         `query:"host" maxLength:"100" doc:"On this host alone, by id or name, for those who run the cluster"`
	Node        wire.CTID      `query:"node" minimum:"0" doc:"Of this node alone"`
}

// getUsage says what was used. An account sees what was its own at the time, whatever became of it; who holds a token for some environments
// sees these; those who run the cluster see all.
func (s *Server) getUsage(ctx context.Context, c caller, in *meteringInput) (out operator.Usage, err error) {
	now := c.world().Now
	q := metering.Question{To: in.To, From: in.From, Step: in.Span, By: in.By, Account: in.Account, Node: in.Node}
	hour := int64(time.Hour / time.Second)
	whole := func(unix int64) int64 { return unix / hour * hour }
	if q.To == 0 {
		q.To = now.Unix() + hour
	}
	if q.To = whole(q.To); q.From == 0 {
		q.From = q.To - 24*hour
	}
	q.From = max(whole(q.From), 0)
	if in.Environment != "" {
		q.Envs = []wire.EnvName{in.Environment}
	}
	all := c.RequireCluster("usage") == nil
	switch {
	case all:
	case in.Host != "" || in.By == operator.ByHost:
		return out, c.RequireCluster("hosts/" + in.Host)
	case in.Account != "" && in.Account != c.Account.Owner():
		return out, c.RequireCluster("accounts/" + string(in.Account))
	case c.Envs != nil && in.Environment != "" && !slices.Contains(c.Envs, in.Environment):
		return out, noEnvironment(in.Environment)
	default:
		q.Account = c.Account.Owner()
		if c.Envs != nil && in.Environment == "" {
			q.Envs = c.Envs
		}
	}
	if c.Envs != nil && len(q.Envs) == 0 { // a token for none: none is not all
		return operator.Usage{Items: []operator.UsageRow{}}, nil
	}
	if in.Host != "" {
		q.Host = wire.HostID(in.Host) // of one that is gone, only its id is known
		if h, ok := c.world().Host(in.Host); ok {
			q.Host = h.ID
		}
	}
	if err := q.Validate(); err != nil {
		return out, operator.NewProblem(operator.Invalid, "usage", err.Error(), "correct it")
	}
	if out, err = s.Metering.Use(ctx, q); err != nil {
		return out, err
	}
	if !all && len(out.Notes) > 0 { // which hosts there are is nothing to an account
		out.Notes = []string{fmt.Sprintf("some of what was used since %s may be lacking: those who run the cluster see why",
			cmp.Or(out.Until, now).UTC().Format(time.RFC3339))}
	}
	return out, nil
}
