package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/usage"
	"hardnode.dev/orchestrator/metering/hours"
)

// Reading is what was read of one book of a host: records of minutes, or of hours where the minutes are not kept any more.
type Reading struct {
	Host     wire.HostID
	Book     string
	From, To wire.Revision // of minutes: read after From, up to To
	Step     usage.Step    // minute or hour
	MHz      int64         // of the host's processors; 0 is 2000
	Records  []usage.Record
	Lost     int64 // minutes after From that the host has not kept, neither as minutes nor as hours
	At       time.Time
}

// usualMHz is that of a host that does not say.
const usualMHz = 2000

// mostMHz bounds what a host says.
const mostMHz = 10_000

// part is what of an hour of a book was read.
type part struct {
	ctid    wire.CTID
	account wire.Account
}

// Take counts a reading, as a whole or not at all. refused says what of it could not be counted, and why.
func (l *Ledger) Take(ctx context.Context, in Reading) (refused []string, err error) {
	if in.MHz <= 0 {
		in.MHz = usualMHz
	}
	in.MHz = min(in.MHz, mostMHz)
	err = l.tx(ctx, func(tx *sql.Tx) error {
		refused = nil
		var minute wire.Revision
		err := tx.QueryRowContext(ctx, "SELECT minute FROM book WHERE host = ? AND book = ?", in.Host, in.Book).Scan(&minute)
		if err != nil && err != sql.ErrNoRows {
			return err
		}
		if minute != in.From || in.To < in.From {
			return fmt.Errorf("book %s of host %s was read up to %d: a reading from %d to %d is not what follows", in.Book, in.Host, minute,
				in.From, in.To)
		}
		parts, err := partsOf(ctx, tx, in)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM part WHERE host = ? AND book = ?", in.Host, in.Book); err != nil {
			return err
		}
		rows := map[hours.Row]hours.Row{} // by whose they are
		next := map[part]usage.Record{}   // of the hour that To is in
		for _, r := range in.Records {
			if err := hours.Check(r); err != nil {
				refused = append(refused, fmt.Sprintf("revision %d, container %d: %v", r.Revision, r.CTID, err))
				continue
			}
			at, counts := part{r.CTID, r.Account}, true
			switch {
			case in.Step == usage.Hour:
				if r.Revision == hourOf(in.From+1) {
					r, counts = hours.Rest(r, parts[at])
				}
			case hourOf(r.Revision) == hourOf(in.To) && in.To%usage.PerHour != 0:
				if _, there := next[at]; !there && hourOf(in.From) == hourOf(in.To) {
					next[at] = parts[at]
				}
				next[at] = next[at].Add(r)
			}
			if !counts {
				continue
			}
			for _, p := range hours.Split(r) {
				row := hours.RowOf(p, in.Host, in.MHz)
				if had, there := rows[row.Whose()]; there {
					row = had.Add(row)
				}
				rows[row.Whose()] = row
			}
		}
		if err := add(ctx, tx, rows); err != nil {
			return err
		}
		if hourOf(in.From) == hourOf(in.To) && in.To%usage.PerHour != 0 {
			for at, r := range parts {
				if _, there := next[at]; !there {
					next[at] = r
				}
			}
		}
		st, err := tx.PrepareContext(ctx, "INSERT INTO part VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)")
		if err != nil {
			return err
		}
		defer st.Close()
		for at, r := range next {
			if _, err := st.ExecContext(ctx, in.Host, in.Book, at.ctid, at.account,
				r.Seconds, r.RAMMean, r.RAMPeak, r.RAMPeakAt, r.CPUMicros, r.Read, r.Written, r.NetIn, r.NetOut); err != nil {
				return err
			}
		}
		_, err = tx.ExecContext(ctx, "INSERT INTO book VALUES (?,?,?,?,?) ON CONFLICT (host, book) DO UPDATE SET "+
			"minute = excluded.minute, lost = lost + excluded.lost, read = excluded.read", in.Host, in.Book, in.To, in.Lost, in.At.Unix())
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("keep what was used: %w", err)
	}
	return refused, nil
}

// hourOf is the revision of hours that one of minutes is summed up in.
func hourOf(minute wire.Revision) wire.Revision { return (minute + usage.PerHour - 1) / usage.PerHour }

// partsOf are the sums of the minutes of an hour whose others were not read yet.
func partsOf(ctx context.Context, tx *sql.Tx, in Reading) (map[part]usage.Record, error) {
	rows, err := tx.QueryContext(ctx, "SELECT ctid, account, seconds, ram_mean, ram_peak, ram_peak_at, cpu, read, written, "+
		"net_in, net_out FROM part WHERE host = ? AND book = ?", in.Host, in.Book)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := map[part]usage.Record{}
	for rows.Next() {
		var r usage.Record
		if err := rows.Scan(&r.CTID, &r.Account, &r.Seconds, &r.RAMMean, &r.RAMPeak, &r.RAMPeakAt, &r.CPUMicros, &r.Read, &r.Written,
			&r.NetIn, &r.NetOut); err != nil {
			return nil, err
		}
		out[part{r.CTID, r.Account}] = r
	}
	return out, rows.Err()
}

// add adds rows to what is there of them (hours.Row.Add).
func add(ctx context.Context, tx *sql.Tx, rows map[hours.Row]hours.Row) error {
	st, err := tx.PrepareContext(ctx, `INSERT INTO hour VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)
		ON CONFLICT (start, ctid, account, env, host) DO UPDATE SET seconds = seconds + excluded.seconds,
		ram_peak_at = CASE WHEN excluded.ram_peak_at <> 0 AND (ram_peak_at = 0 OR excluded.ram_peak > ram_peak)
			THEN excluded.ram_peak_at ELSE ram_peak_at END,
		ram_peak = max(ram_peak, excluded.ram_peak), cpu = cpu + excluded.cpu, cpu_mhz = cpu_mhz + excluded.cpu_mhz,
		reserved = max(reserved, excluded.reserved), disk_seconds = disk_seconds + excluded.disk_seconds,
		read = read + excluded.read, written = written + excluded.written, net_in = net_in + excluded.net_in,
		net_out = net_out + excluded.net_out`)
	if err != nil {
		return err
	}
	defer st.Close()
	for _, r := range rows {
		if _, err := st.ExecContext(ctx, r.Start, r.CTID, r.Account, r.Env, r.Host, r.Seconds, r.RAMPeak, r.RAMPeakAt, r.CPUMicros,
			r.CPUMHz, r.Reserved, r.DiskSeconds, r.Read, r.Written, r.NetIn, r.NetOut); err != nil {
			return err
		}
	}
	return nil
}
