// Package ledger is what the JLS remembers: licences, installations, their seats, and who changed what.
//
// Owns: the SQLite database, its schema and upgrades, and the transactions: each request is one, so a power cut leaves it done or not done.
// In: verified licences, decoded requests, the time.
// Out: records; operator.Problem when a rule refuses the request (one audit row says so).
// Never: verifies a signature, signs, or forgets an audit row.
package ledger

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"net/url"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"hardnode.dev/internal/wire/operator"
)

//go:embed schema/*.sql
var schema embed.FS

// SchemaVersion is the schema this program reads and writes; schema/N.sql leads from N-1 to N.
const SchemaVersion = 2

// Ledger is the open database. All methods may be called at once.
type Ledger struct{ db *sql.DB }

// Open opens or makes the database at path. It refuses a damaged one, and one that a newer program wrote, unless that one says that this
// program may work on it: a schema whose additions an earlier program can leave out has a table readers with one row, the oldest schema
// version whose programs may. Such a database keeps its version, so that the newer program goes on where it was.
func Open(ctx context.Context, path string) (*Ledger, error) {
	q := url.Values{"_txlock": {"immediate"},
		"_pragma": {"journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)", "busy_timeout(5000)", "cache_size(-1024)"}}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+q.Encode())
	if err != nil {
		return nil, fmt.Errorf("open ledger %q: %v", path, err)
	}
	db.SetMaxOpenConns(1) // one writer, and a small program
	l := &Ledger{db}
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
	if readers, err := l.readers(ctx, found); err != nil {
		return err
	} else if readers > SchemaVersion {
		return fmt.Errorf("schema version %d is newer than this program's %d: run the newer program", found, SchemaVersion)
	}
	var check string
	if err := l.db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&check); err != nil || check != "ok" {
		return fmt.Errorf("check database: %s %v: restore it from a backup", check, err)
	}
	for v := found + 1; v <= SchemaVersion; v++ {
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

// readers is the oldest schema version whose programs may work on a database of the version found.
func (l *Ledger) readers(ctx context.Context, found int) (int, error) {
	said, oldest := false, 0
	if found > SchemaVersion {
		if err := l.db.QueryRowContext(ctx, "SELECT count(*) > 0 FROM sqlite_schema WHERE type = 'table' AND name = 'readers'").Scan(
			&said); err != nil {
			return 0, fmt.Errorf("read schema version: %v", err)
		}
	}
	if !said {
		return found, nil
	}
	if err := l.db.QueryRowContext(ctx, "SELECT version FROM readers").Scan(&oldest); err != nil {
		return 0, fmt.Errorf("read the oldest version that may read schema %d: %v", found, err)
	}
	return oldest, nil
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

// change runs f in a transaction and leaves an audit row in any case: with the change, or alone with the reason of a refusal.
func (l *Ledger) change(ctx context.Context, now time.Time, who, what, object string, f func(*sql.Tx) error) error {
	row := func(tx *sql.Tx, result string) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO audit (at, who, what, object, result) VALUES (?,?,?,?,?)", now.Unix(), who, what,
			object, result)
		return err
	}
	err := l.tx(ctx, func(tx *sql.Tx) error {
		if err := row(tx, "ok"); err != nil {
			return err
		}
		return f(tx)
	})
	var refused *operator.Problem
	if errors.As(err, &refused) {
		if err := l.tx(ctx, func(tx *sql.Tx) error { return row(tx, refused.Reason) }); err != nil {
			return fmt.Errorf("audit: %v", err)
		}
	}
	return err
}

func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

func moment(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(n, 0).UTC()
}
