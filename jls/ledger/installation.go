package ledger

import (
	"context"
	"crypto/ed25519"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"hardnode.dev/internal/license"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/jls"
	"hardnode.dev/internal/wire/operator"
)

// Granted is what a lease shall say.
type Granted struct {
	License      string
	Installation jls.InstallationID
	Key          ed25519.PublicKey
	Until        time.Time
}

// Key is the public key an activated installation signs with.
func (l *Ledger) Key(ctx context.Context, id jls.InstallationID) (ed25519.PublicKey, error) {
	var key []byte
	err := l.db.QueryRowContext(ctx, "SELECT key FROM installations WHERE id = ?", id).Scan(&key)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, unknown(id)
	}
	if err != nil {
		return nil, fmt.Errorf("read key of %s: %v", id, err)
	}
	return key, nil
}

// Activate binds lic, which has been verified, to the installation.
func (l *Ledger) Activate(ctx context.Context, a jls.Activate, lic license.License, now time.Time) (g Granted, err error) {
	err = l.change(ctx, now, string(a.Installation), "activate", "licenses/"+lic.ID, func(tx *sql.Tx) error {
		if err := putLicense(ctx, tx, lic); err != nil {
			return err
		}
		rec, err := getLicense(ctx, tx, lic.ID)
		if err != nil {
			return err
		}
		before, err := find(ctx, tx, a.Installation)
		if err != nil {
			return err
		}
		if err := refuseActivation(rec, before, a, rec.Installation); err != nil {
			return err
		}
		if before != nil {
			if err := refuseSeq(before.seq, a.Seq); err != nil {
				return err
			}
		}
		g = Granted{License: lic.ID, Installation: a.Installation, Key: a.Key, Until: leaseUntil(now, rec.Expires)}
		_, err = tx.ExecContext(ctx, `INSERT INTO installations (id, key, cluster, name, version, license, seq, activated, seen, lease)
			VALUES (?,?,?,?,?,?,?,?,?,?) ON CONFLICT (id) DO UPDATE SET cluster = excluded.cluster, name = excluded.name,
			version = excluded.version, license = excluded.license, seq = excluded.seq, seen = excluded.seen, lease = excluded.lease, released = 0`,
			a.Installation, a.Key, a.Cluster, a.Name, a.Version, lic.ID, a.Seq, now.Unix(), now.Unix(), unix(g.Until))
		if err != nil {
			return fmt.Errorf("record activation of %s: %v", a.Installation, err)
		}
		return nil
	})
	return g, err
}

// Renew grants the next lease. It leaves no audit row: it happens daily and changes nothing a person decided.
func (l *Ledger) Renew(ctx context.Context, r jls.Renew, now time.Time) (g Granted, err error) {
	err = l.tx(ctx, func(tx *sql.Tx) error {
		in, lic, err := l.touch(ctx, tx, r.Head, now)
		if err != nil {
			return err
		}
		switch {
		case in.released:
			return operator.NewProblem(operator.Denied, "licenses/"+lic.ID, "the licence was released from this installation",
				"activate a licence again")
		case !lic.Revoked.IsZero():
			return operator.NewProblem(operator.Denied, "licenses/"+lic.ID, "the licence was revoked at "+lic.Revoked.Format(time.RFC3339),
				"ask the JLS's owner for another one")
		case !now.Before(lic.Expires):
			return operator.NewProblem(operator.Denied, "licenses/"+lic.ID, "the licence ended at "+lic.Expires.Format(time.RFC3339),
				"get a new licence and activate it")
		}
		g = Granted{License: lic.ID, Installation: in.id, Key: in.key, Until: leaseUntil(now, lic.Expires)}
		_, err = tx.ExecContext(ctx, "UPDATE installations SET lease = ?, version = ? WHERE id = ?", unix(g.Until), r.Version, in.id)
		return err
	})
	return g, err
}

// Report replaces the installation's list of hosts and says how the count stands.
func (l *Ledger) Report(ctx context.Context, s jls.Seats, now time.Time) (reply jls.SeatsReply, err error) {
	err = l.tx(ctx, func(tx *sql.Tx) error {
		in, lic, err := l.touch(ctx, tx, s.Head, now)
		if err != nil {
			return err
		}
		keep := map[wire.HostID]bool{}
		for _, h := range s.Hosts {
			keep[h.Host] = true
			if _, err := tx.ExecContext(ctx, `INSERT INTO seats (installation, host, name, fingerprint) VALUES (?,?,?,?)
				ON CONFLICT (installation, host) DO UPDATE SET name = excluded.name, fingerprint = excluded.fingerprint`,
				in.id, h.Host, h.Name, h.Fingerprint); err != nil {
				return fmt.Errorf("record seat %s: %v", h.Host, err)
			}
		}
		seats, err := seatsOf(ctx, tx, in.id)
		if err != nil {
			return err
		}
		order := []wire.HostID{}
		for _, h := range seats {
			if keep[h.Host] {
				order = append(order, h.Host)
			} else if _, err := tx.ExecContext(ctx, "DELETE FROM seats WHERE installation = ? AND host = ?", in.id, h.Host); err != nil {
				return fmt.Errorf("free seat %s: %v", h.Host, err)
			}
		}
		reply = jls.SeatsReply{Allowed: lic.Hosts, Used: len(order), Over: over(lic.Hosts, order), Now: now.UTC()}
		return nil
	})
	return reply, err
}

// Release frees an installation's licence for another one. The installation's lease runs out by itself.
func (l *Ledger) Release(ctx context.Context, who string, id jls.InstallationID, now time.Time) (out jls.Installation, err error) {
	err = l.change(ctx, now, who, "installation release", "installations/"+string(id), func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, "UPDATE installations SET released = ? WHERE id = ? AND released = 0", now.Unix(), id)
		if err != nil {
			return fmt.Errorf("release %s: %v", id, err)
		}
		if n, err := res.RowsAffected(); err != nil {
			return fmt.Errorf("release %s: %v", id, err)
		} else if n == 0 {
			if in, err := find(ctx, tx, id); err != nil || in == nil {
				return errors.Join(err, unknown(id))
			}
		}
		all, err := installations(ctx, tx, id)
		if err == nil && len(all) == 1 {
			out = all[0]
		}
		return err
	})
	return out, err
}

// Installations lists all installations, the last seen first.
func (l *Ledger) Installations(ctx context.Context) (out []jls.Installation, err error) {
	err = l.tx(ctx, func(tx *sql.Tx) error { out, err = installations(ctx, tx, ""); return err })
	return out, err
}

// Audit lists the newest audit rows.
func (l *Ledger) Audit(ctx context.Context, limit int) ([]jls.Audit, error) {
	rows, err := l.db.QueryContext(ctx, "SELECT at, who, what, object, result FROM audit ORDER BY n DESC LIMIT ?", limit)
	if err != nil {
		return nil, fmt.Errorf("list audit: %v", err)
	}
	defer rows.Close()
	out := []jls.Audit{}
	for rows.Next() {
		var a jls.Audit
		var at int64
		if err := rows.Scan(&at, &a.Who, &a.What, &a.Object, &a.Result); err != nil {
			return nil, fmt.Errorf("list audit: %v", err)
		}
		a.At = moment(at)
		out = append(out, a)
	}
	return out, rows.Err()
}

// touch reads an installation with its licence, refuses an old Seq, and marks it seen.
func (l *Ledger) touch(ctx context.Context, tx *sql.Tx, h jls.Head, now time.Time) (*known, jls.License, error) {
	in, err := find(ctx, tx, h.Installation)
	if err != nil {
		return nil, jls.License{}, err
	}
	if in == nil {
		return nil, jls.License{}, unknown(h.Installation)
	}
	if err := refuseSeq(in.seq, h.Seq); err != nil {
		return nil, jls.License{}, err
	}
	if _, err := tx.ExecContext(ctx, "UPDATE installations SET seq = ?, seen = ? WHERE id = ?", h.Seq, now.Unix(), in.id); err != nil {
		return nil, jls.License{}, fmt.Errorf("mark %s seen: %v", in.id, err)
	}
	lic, err := getLicense(ctx, tx, in.license)
	return in, lic, err
}

func find(ctx context.Context, tx *sql.Tx, id jls.InstallationID) (*known, error) {
	k := known{id: id}
	var key []byte
	var released int64
	err := tx.QueryRowContext(ctx, "SELECT key, seq, license, released FROM installations WHERE id = ?", id).Scan(&key, &k.seq,
		&k.license, &released)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read installation %s: %v", id, err)
	}
	k.key, k.released = key, released != 0
	return &k, nil
}

func installations(ctx context.Context, tx *sql.Tx, only jls.InstallationID) ([]jls.Installation, error) {
	rows, err := tx.QueryContext(ctx,
		`SELECT i.id, i.key, i.cluster, i.name, i.version, i.license, l.customer, l.hosts, i.activated, i.seen, i.lease, i.released
		FROM installations i JOIN licenses l ON l.id = i.license WHERE ? IN ('', i.id) ORDER BY i.seen DESC, i.id`, only)
	if err != nil {
		return nil, fmt.Errorf("list installations: %v", err)
	}
	defer rows.Close()
	out := []jls.Installation{}
	for rows.Next() {
		var in jls.Installation
		var key []byte
		var activated, seen, lease, released int64
		if err := rows.Scan(&in.ID, &key, &in.Cluster, &in.Name, &in.Version, &in.License, &in.Customer, &in.Allowed, &activated, &seen,
			&lease, &released); err != nil {
			return nil, fmt.Errorf("list installations: %v", err)
		}
		in.Key = license.KeyID(key)
		in.Activated, in.Seen, in.Lease, in.Released = moment(activated), moment(seen), moment(lease), moment(released)
		out = append(out, in)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list installations: %v", err)
	}
	for i := range out {
		if out[i].Hosts, err = seatsOf(ctx, tx, out[i].ID); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func seatsOf(ctx context.Context, tx *sql.Tx, id jls.InstallationID) ([]jls.Seat, error) {
	rows, err := tx.QueryContext(ctx, "SELECT host, name, fingerprint FROM seats WHERE installation = ? ORDER BY n", id)
	if err != nil {
		return nil, fmt.Errorf("list seats of %s: %v", id, err)
	}
	defer rows.Close()
	out := []jls.Seat{}
	for rows.Next() {
		var s jls.Seat
		if err := rows.Scan(&s.Host, &s.Name, &s.Fingerprint); err != nil {
			return nil, fmt.Errorf("list seats of %s: %v", id, err)
		}
		out = append(out, s)
	}
	return out, rows.Err()
}

func unknown(id jls.InstallationID) error {
	return operator.NewProblem(operator.NotFound, "installations/"+string(id), "the installation is not activated here",
		"activate it with its licence first")
}
