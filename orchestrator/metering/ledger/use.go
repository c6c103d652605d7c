package ledger

import (
	"context"
	"fmt"
	"strings"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/metering"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/metering/hours"
)

// mostRows is how many rows an answer has at most.
const mostRows = 20_000

// behind is after which time it is said that a host was not read.
const behind = 15 * time.Minute

// Use answers a question. What is asked in a wrong way, and what would be too long, is a Problem.
func (l *Ledger) Use(ctx context.Context, q metering.Question, now time.Time) (out operator.Usage, err error) {
	if err := q.Validate(); err != nil {
		return out, operator.NewProblem(operator.Invalid, "usage", err.Error(), "correct it")
	}
	names, err := l.state(ctx, &out, now)
	if err != nil {
		return out, err
	}
	text, args := "SELECT start, ctid, account, env, host, seconds, ram_peak, ram_peak_at, cpu, cpu_mhz, reserved, disk_seconds, read, "+
		"written, net_in, net_out FROM hour WHERE start >= ? AND start < ?", []any{q.From, q.To}
	also := func(column string, value any) { text, args = text+" AND "+column+" = ?", append(args, value) }
	if q.Account != "" {
		also("account", q.Account)
	}
	if len(q.Envs) > 0 {
		text += " AND env IN (?" + strings.Repeat(",?", len(q.Envs)-1) + ")"
		for _, e := range q.Envs {
			args = append(args, e)
		}
	}
	if q.Host != "" {
		also("host", q.Host)
	}
	if q.Node != 0 {
		also("ctid", q.Node)
	}
	rows, err := l.db.QueryContext(ctx, text+" ORDER BY start, ctid, account, env, host", args...)
	if err != nil {
		return out, err
	}
	defer rows.Close()
	sum := hours.NewSum(q.From, q.Step, q.By, func(id wire.HostID) string {
		if name := names[id]; name != "" {
			return name
		}
		return string(id)
	})
	for rows.Next() {
		var r hours.Row
		if err := rows.Scan(&r.Start, &r.CTID, &r.Account, &r.Env, &r.Host, &r.Seconds, &r.RAMPeak, &r.RAMPeakAt, &r.CPUMicros, &r.CPUMHz,
			&r.Reserved, &r.DiskSeconds, &r.Read, &r.Written, &r.NetIn, &r.NetOut); err != nil {
			return out, err
		}
		if sum.Add(r); sum.Len() > l.most {
			break
		}
	}
	if out.Items = sum.Rows(); len(out.Items) > l.most {
		return operator.Usage{}, operator.NewProblem(operator.Exhausted, "usage", fmt.Sprintf("the answer would have more than %d rows",
			l.most), "ask for a shorter time, or for longer spans")
	}
	return out, rows.Err()
}

// state says up to when all hosts were read, and what is lacking; names are the hosts'.
func (l *Ledger) state(ctx context.Context, out *operator.Usage, now time.Time) (names map[wire.HostID]string, err error) {
	rows, err := l.db.QueryContext(ctx, "SELECT id, name, here, seen, trouble, coalesce((SELECT sum(lost) FROM book WHERE host = id), 0) "+
		"FROM host ORDER BY name, id")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	names = map[wire.HostID]string{}
	for rows.Next() {
		var (
			id            wire.HostID
			name, trouble string
			here          bool
			seen, lost    int64
		)
		if err := rows.Scan(&id, &name, &here, &seen, &trouble, &lost); err != nil {
			return nil, err
		}
		names[id] = name
		at := time.Unix(seen, 0).UTC()
		if lost > 0 {
			out.Notes = append(out.Notes, fmt.Sprintf("host %s: %d minutes are lost: it had not kept them when it was read again", name,
				lost))
		}
		if !here {
			continue
		}
		switch {
		case seen == 0:
			out.Notes = append(out.Notes, strings.TrimSuffix(fmt.Sprintf("host %s was not read yet: %s", name, trouble), ": "))
			continue // it may never have counted anything
		case now.Sub(at) > behind:
			out.Notes = append(out.Notes, strings.TrimSuffix(fmt.Sprintf("host %s was read last at %s: %s", name, at.Format(time.RFC3339),
				trouble), ": "))
		}
		if out.Until.IsZero() || at.Before(out.Until) {
			out.Until = at
		}
	}
	return names, rows.Err()
}
