package api

import (
	"context"
	"encoding/base64"
	"errors"
	"strconv"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/audit"
	"hardnode.dev/orchestrator/world"
)

// auditInput selects a part of the record.
type auditInput struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"The most items of one answer"`
	Cursor string `query:"cursor" maxLength:"400" doc:"The next of the answer before; empty begins at the newest"`
	Since  string `query:"since" maxLength:"40" doc:"Only what was done since: how long ago (90s, 15m, 2h, 7d), or a time (RFC 3339)"`
	Who    string `query:"who" maxLength:"63" doc:"Only what was done by this one: a token's name"`
}

// backwards is how far records may be out of the order of their times: a clock that was set back.
const backwards = time.Hour

func (s *Server) listAudit(_ context.Context, c caller, in *auditInput) (out operator.List[operator.Audit], err error) {
	var since time.Time
	if in.Since != "" {
		if since, err = operator.ParseSince(in.Since, time.Now()); err != nil {
			return out, operator.NewProblem(operator.Invalid, "since", err.Error(), "correct it, or leave it out")
		}
	}
	place := int64(-1)
	bad := operator.NewProblem(operator.Invalid, "cursor", "it is none that a list gave", "send the next of the answer before, or none")
	if in.Cursor != "" {
		raw, err := base64.RawURLEncoding.DecodeString(in.Cursor)
		if err != nil {
			return out, bad
		}
		if place, err = strconv.ParseInt(string(raw), 10, 64); err != nil || place <= 0 {
			return out, bad
		}
	}
	list, next, err := s.Audit.Back(place, in.Limit, func(a operator.Audit) (keep, goOn bool) {
		a = audited(c.Account, a)
		keep = a.Seq != 0 && (in.Who == "" || a.Who == in.Who) && !a.At.Before(since)
		return keep, since.IsZero() || a.At.After(since.Add(-backwards))
	})
	if errors.Is(err, audit.ErrPlace) {
		return out, bad
	}
	if err != nil {
		return out, operator.NewProblem(operator.Unavailable, "audit", err.Error(), "check the orchestrator's disk")
	}
	out.Items = []operator.Audit{}
	for _, a := range list {
		out.Items = append(out.Items, audited(c.Account, a))
	}
	if next > 0 {
		out.Next = base64.RawURLEncoding.EncodeToString(strconv.AppendInt(nil, next, 10))
	}
	return out, nil
}

// audited is a record as an account reads it; the zero one where it doesn't. Of another account's people it learns the account.
func audited(reader wire.Account, a operator.Audit) operator.Audit {
	switch {
	case reader.Sees(a.Account):
		return a
	case a.With != "" && reader.Sees(a.With):
		a.Who, a.User, a.From, a.By = world.Guest(a.Account), "", "", ""
		return a
	}
	return operator.Audit{}
}
