package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"hardnode.dev/internal/license"
	"hardnode.dev/internal/wire/jls"
	"hardnode.dev/internal/wire/operator"
)

const licenseColumns = `l.id, l.customer, l.hosts, l.issued, l.expires, l.revoked,
  coalesce((SELECT i.id FROM installations i WHERE i.license = l.id AND i.released = 0), '') FROM licenses l`

// AddLicense records a licence that was issued here.
func (l *Ledger) AddLicense(ctx context.Context, who string, lic license.License, now time.Time) error {
	return l.change(ctx, now, who, "licence issue", "licenses/"+lic.ID, func(tx *sql.Tx) error { return putLicense(ctx, tx, lic) })
}

// Licenses lists all licences known here, newest first.
func (l *Ledger) Licenses(ctx context.Context) ([]jls.License, error) {
	rows, err := l.db.QueryContext(ctx, "SELECT "+licenseColumns+" ORDER BY l.issued DESC, l.id")
	if err != nil {
		return nil, fmt.Errorf("list licences: %v", err)
	}
	defer rows.Close()
	out := []jls.License{}
	for rows.Next() {
		one, err := scanLicense(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, one)
	}
	return out, rows.Err()
}

// Revoke ends a licence: its leases are not renewed. Nothing stops at once.
func (l *Ledger) Revoke(ctx context.Context, who, id string, now time.Time) (out jls.License, err error) {
	err = l.change(ctx, now, who, "licence revoke", "licenses/"+id, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "UPDATE licenses SET revoked = ? WHERE id = ? AND revoked = 0", now.Unix(), id); err != nil {
			return fmt.Errorf("revoke licence %s: %v", id, err)
		}
		out, err = getLicense(ctx, tx, id)
		return err
	})
	return out, err
}

func putLicense(ctx context.Context, tx *sql.Tx, lic license.License) error {
	_, err := tx.ExecContext(ctx,
		"INSERT INTO licenses (id, customer, hosts, issued, expires) VALUES (?,?,?,?,?) ON CONFLICT (id) DO NOTHING", lic.ID, lic.Customer,
		lic.Hosts, lic.Issued.Unix(), lic.Expires.Unix())
	if err != nil {
		return fmt.Errorf("record licence %s: %v", lic.ID, err)
	}
	return nil
}

func getLicense(ctx context.Context, tx *sql.Tx, id string) (jls.License, error) {
	one, err := scanLicense(tx.QueryRowContext(ctx, "SELECT "+licenseColumns+" WHERE l.id = ?", id))
	if errors.Is(err, sql.ErrNoRows) {
		return one, operator.NewProblem(operator.NotFound, "licenses/"+id, "there is no such licence",
			"list them with `hnctl jls licence list`")
	}
	return one, err
}

func scanLicense(row interface{ Scan(...any) error }) (jls.License, error) {
	var l jls.License
	var issued, expires, revoked int64
	if err := row.Scan(&l.ID, &l.Customer, &l.Hosts, &issued, &expires, &revoked, &l.Installation); err != nil {
		return l, fmt.Errorf("read licence: %w", err)
	}
	l.Issued, l.Expires, l.Revoked = moment(issued), moment(expires), moment(revoked)
	return l, nil
}
