// Package ledger keeps what nodes used, by hours of the clock, and how far each host's records have been read.
//
// Owns: the SQLite database of metering, its schema.
// In: records of one revision after the other; questions.
// Out: sums; how far a host has been read.
// Never: counts a record twice: what a reading counts and how far it came is one transaction; asks a host, or says what use costs.
package ledger

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"net/url"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/metering"
	"hardnode.dev/orchestrator/metering/hours"
)

//go:embed schema/*.sql
var schema embed.FS

// schemaVersion is the schema that this program reads and writes; schema/N.sql leads from N-1 to N.
const schemaVersion = 1

// keep is for how long an hour is kept.
const keep = metering.MostDays * 24 * time.Hour

// Ledger is the open database. All methods may be called at once.
type Ledger struct {
	db   *sql.DB
	most int // rows of an answer
}

// Open opens or makes the database at path. It refuses a damaged one, and one that a newer program wrote.
func Open(ctx context.Context, path string) (*Ledger, error) {
	q := url.Values{"_txlock": {"immediate"},
		"_pragma": {"journal_mode(WAL)", "synchronous(FULL)", "busy_timeout(5000)", "cache_size(-2048)"}}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+q.Encode())
	if err != nil {
		return nil, fmt.Errorf("open ledger %q: %v", path, err)
	}
	db.SetMaxOpenConns(2) // one that reads hosts, one that answers
	l := &Ledger{db, mostRows}
	if err := l.upgrade(ctx); err != nil {
		db.Close()
		return nil, fmt.Errorf("open ledger %q: %w", path, err)
	}
	return l, nil
}

// Close writes what is left to the main file.
func (l *Ledger) Close() error { return l.db.Close() }

func (l *Ledger) upgrade(ctx context.Context) error {
	var found int
	if err := l.db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&found); err != nil {
		return fmt.Errorf("read schema version: %v", err)
	}
	if found > schemaVersion {
		return fmt.Errorf("schema version %d is newer than this program's %d: run the newer program", found, schemaVersion)
	}
	var check string
	if err := l.db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&check); err != nil || check != "ok" {
		return fmt.Errorf("check database: %s %v: restore it from a backup, or move it away: hosts have the last 35 days", check, err)
	}
	for v := found + 1; v <= schemaVersion; v++ {
		text, err := schema.ReadFile(fmt.Sprintf("schema/%d.sql", v))
		if err != nil {
			panic("BUG: " + err.Error())
		}
		err = l.tx(ctx, func(tx *sql.Tx) error {
			if _, err := tx.ExecContext(ctx, string(text)); err != nil {
				return err
			}
			_, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", v))
			return err
		})
		if err != nil {
			return fmt.Errorf("upgrade schema to %d: %v", v, err)
		}
	}
	return nil
}

func (l *Ledger) tx(ctx context.Context, f func(*sql.Tx) error) error {
	tx, err := l.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer tx.Rollback()
	if err := f(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// Hosts takes in which hosts the cluster has. Others stay known by their names, for what they have counted.
func (l *Ledger) Hosts(ctx context.Context, list []metering.Host) error {
	return l.tx(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "UPDATE host SET here = 0"); err != nil {
			return err
		}
		for _, h := range list {
			if _, err := tx.ExecContext(ctx, "INSERT INTO host (id, name, here) VALUES (?,?,1) "+
				"ON CONFLICT (id) DO UPDATE SET name = excluded.name, here = 1", h.ID, h.Name); err != nil {
				return err
			}
		}
		return nil
	})
}

// Seen notes that a host was read up to its end at a time, or why it could not be read.
func (l *Ledger) Seen(ctx context.Context, id wire.HostID, at time.Time, trouble string) error {
	if trouble != "" {
		_, err := l.db.ExecContext(ctx, "UPDATE host SET trouble = ? WHERE id = ?", trouble, id)
		return err
	}
	_, err := l.db.ExecContext(ctx, "UPDATE host SET trouble = '', seen = ? WHERE id = ?", at.Unix(), id)
	return err
}

// Book is the series of revisions of a host that was read last, and up to which revision of minutes; "": none was.
func (l *Ledger) Book(ctx context.Context, id wire.HostID) (book string, minute wire.Revision, err error) {
	err = l.db.QueryRowContext(ctx, "SELECT book, minute FROM book WHERE host = ? ORDER BY read DESC LIMIT 1", id).Scan(&book, &minute)
	if err == sql.ErrNoRows {
		err = nil
	}
	return book, minute, err
}

// Minute is up to which revision of minutes a book of a host was read; 0: it is new.
func (l *Ledger) Minute(ctx context.Context, id wire.HostID, book string) (minute wire.Revision, err error) {
	err = l.db.QueryRowContext(ctx, "SELECT minute FROM book WHERE host = ? AND book = ?", id, book).Scan(&minute)
	if err == sql.ErrNoRows {
		err = nil
	}
	return minute, err
}

// Forget removes what is older than a year, and what is known of hosts that have nothing left.
func (l *Ledger) Forget(ctx context.Context, now time.Time) error {
	before := now.Add(-keep).Unix() / hours.Hour * hours.Hour
	return l.tx(ctx, func(tx *sql.Tx) error {
		for _, text := range []string{"DELETE FROM hour WHERE start < ?1", "DELETE FROM part WHERE (host, book) IN " +
			"(SELECT host, book FROM book WHERE read < ?1)", "DELETE FROM book WHERE read < ?1",
			"DELETE FROM host WHERE here = 0 AND seen < ?1 AND id NOT IN (SELECT host FROM book)"} {
			if _, err := tx.ExecContext(ctx, text, before); err != nil {
				return err
			}
		}
		return nil
	})
}
