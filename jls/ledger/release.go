package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/jls"
	"hardnode.dev/internal/wire/operator"
)

// Documents are what the director signed last for an installation; nil before the first.
type Documents struct{ Targets, Snapshot, Timestamp []byte }

// Offer makes these the files of releases that may be assigned, in place of those offered before. A release that is assigned stays offered.
func (l *Ledger) Offer(ctx context.Context, who string, files []jls.ReleaseFile, now time.Time) error {
	return l.change(ctx, now, who, "release offer", "releases", func(tx *sql.Tx) error {
		offered := map[string]bool{}
		for _, f := range files {
			offered[f.Release] = true
		}
		var lost []string
		if err := each(ctx, tx, "SELECT DISTINCT release FROM assigned", func(scan func(...any) error) error {
			var r string
			err := scan(&r)
			if err == nil && !offered[r] {
				lost = append(lost, r)
			}
			return err
		}); err != nil {
			return fmt.Errorf("offer releases: %v", err)
		}
		if len(lost) > 0 {
			return operator.NewProblem(operator.Conflict, "releases", "release "+strings.Join(lost, ", ")+" is assigned to installations",
				"assign them another release first")
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM releases"); err != nil {
			return fmt.Errorf("offer releases: %v", err)
		}
		for _, f := range files {
			if _, err := tx.ExecContext(ctx, "INSERT INTO releases (path, release, length, digest) VALUES (?,?,?,?)", f.Path, f.Release,
				f.Length, string(f.Digest)); err != nil {
				return fmt.Errorf("offer %q: %v", f.Path, err)
			}
		}
		return nil
	})
}

// Releases lists the files offered, by path, and which installations shall have which release.
func (l *Ledger) Releases(ctx context.Context) (out jls.Releases, err error) {
	err = l.tx(ctx, func(tx *sql.Tx) error {
		if out.Files, err = filesOf(ctx, tx, ""); err != nil {
			return err
		}
		out.Assigned = map[jls.InstallationID][]string{}
		return each(ctx, tx, "SELECT installation, release FROM assigned ORDER BY installation, release",
			func(scan func(...any) error) error {
				var id jls.InstallationID
				var r string
				err := scan(&id, &r)
				out.Assigned[id] = append(out.Assigned[id], r)
				return err
			})
	})
	return out, err
}

// Assign says which releases an installation shall have from now on; none takes all away.
func (l *Ledger) Assign(ctx context.Context, who string, id jls.InstallationID, releases []string, now time.Time) error {
	what := "release assign " + strings.Join(releases, " ")
	return l.change(ctx, now, who, what, "installations/"+string(id), func(tx *sql.Tx) error {
		if in, err := find(ctx, tx, id); err != nil || in == nil {
			return errors.Join(err, unknown(id))
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM assigned WHERE installation = ?", id); err != nil {
			return fmt.Errorf("assign: %v", err)
		}
		for _, r := range releases {
			var n int
			if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM releases WHERE release = ?", r).Scan(&n); err != nil {
				return fmt.Errorf("assign %s: %v", r, err)
			}
			if n == 0 {
				return operator.NewProblem(operator.NotFound, "releases/"+r, "the release is not offered here",
					"offer what the image repository names: hnctl jls release offer")
			}
			if _, err := tx.ExecContext(ctx, "INSERT OR IGNORE INTO assigned (installation, release) VALUES (?,?)", id, r); err != nil {
				return fmt.Errorf("assign %s: %v", r, err)
			}
		}
		return nil
	})
}

// Direct has the next documents of an installation made, by its cluster and the files it shall have, and keeps them before anybody sees
// them: a version counter is never used twice. With a head it is the installation that asks.
func (l *Ledger) Direct(ctx context.Context, id jls.InstallationID, head *jls.Head, now time.Time,
	next func(old Documents, cluster wire.ClusterID, files []jls.ReleaseFile) (Documents, error)) (docs Documents, err error) {
	err = l.tx(ctx, func(tx *sql.Tx) error {
		if head != nil {
			if _, _, err := l.touch(ctx, tx, *head, now); err != nil {
				return err
			}
		}
		var cluster wire.ClusterID
		err := tx.QueryRowContext(ctx, "SELECT cluster FROM installations WHERE id = ?", id).Scan(&cluster)
		if errors.Is(err, sql.ErrNoRows) {
			return unknown(id)
		}
		if err != nil {
			return fmt.Errorf("read installation %s: %v", id, err)
		}
		var old Documents
		err = tx.QueryRowContext(ctx, "SELECT targets, snapshot, timestamp FROM documents WHERE installation = ?", id).Scan(&old.Targets,
			&old.Snapshot, &old.Timestamp)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("read the director's documents of %s: %v", id, err)
		}
		files, err := filesOf(ctx, tx, id)
		if err != nil {
			return err
		}
		if docs, err = next(old, cluster, files); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO documents (installation, targets, snapshot, timestamp) VALUES (?,?,?,?)
			ON CONFLICT (installation) DO UPDATE SET targets = excluded.targets, snapshot = excluded.snapshot,
			timestamp = excluded.timestamp`, id, docs.Targets, docs.Snapshot, docs.Timestamp)
		return err
	})
	return docs, err
}

// filesOf is the files an installation shall have; of "" all that are offered.
func filesOf(ctx context.Context, tx *sql.Tx, id jls.InstallationID) (out []jls.ReleaseFile, err error) {
	out = []jls.ReleaseFile{}
	err = each(ctx, tx, `SELECT path, release, length, digest FROM releases WHERE ?1 = '' OR release IN
		(SELECT release FROM assigned WHERE installation = ?1) ORDER BY path`, func(scan func(...any) error) error {
		var f jls.ReleaseFile
		err := scan(&f.Path, &f.Release, &f.Length, &f.Digest)
		out = append(out, f)
		return err
	}, id)
	if err != nil {
		return nil, fmt.Errorf("list releases: %v", err)
	}
	return out, nil
}

func each(ctx context.Context, tx *sql.Tx, query string, f func(scan func(...any) error) error, args ...any) error {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := f(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}
