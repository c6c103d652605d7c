package ledger_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hardnode.dev/jls/ledger"
)

// A program that was rolled back works on the later one's database when that says so, and leaves it as the later one made it.
func TestNewerSchema(t *testing.T) {
	for _, c := range []struct{ name, made, refused string }{
		{"says nothing", "DROP TABLE readers; PRAGMA user_version = 99", "newer"},
		{"from this one on", "ALTER TABLE audit ADD COLUMN account TEXT NOT NULL DEFAULT 'admin'; UPDATE readers SET version = 2; " +
			"PRAGMA user_version = 3", ""},
		{"from a later one on", "UPDATE readers SET version = 3; PRAGMA user_version = 4", "newer"},
		{"says nothing clear", "DELETE FROM readers; PRAGMA user_version = 4", "oldest version"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "with space?.db")
			l, err := ledger.Open(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			l.Close()
			if _, err := os.Stat(path); err != nil {
				t.Fatalf("the database lies elsewhere: %v", err)
			}
			set(t, path, c.made)
			l, err = ledger.Open(t.Context(), path)
			if c.refused != "" {
				if err == nil || !strings.Contains(err.Error(), c.refused) {
					t.Errorf("got %v, want a refusal that says %q", err, c.refused)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			// Whatever this program writes has the later one's default.
			if _, err := l.Revoke(t.Context(), "test", "no-such-licence", time.Now()); err == nil {
				t.Error("a licence that is not there was revoked")
			}
			if a, err := l.Audit(t.Context(), 10); err != nil || len(a) != 1 {
				t.Errorf("the audit record is %v, %v, want the refusal", a, err)
			}
			set(t, path, "UPDATE audit SET account = account WHERE account = 'admin'")
		})
	}
}

func TestOpenRefusesDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jls.db")
	if err := os.WriteFile(path, []byte(strings.Repeat("not a database ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ledger.Open(t.Context(), path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v, want a refusal naming the file", err)
	}
	raw, err := os.ReadFile(path)
	if err != nil || !strings.HasPrefix(string(raw), "not a database") {
		t.Error("a file that is no database was changed")
	}
}

func TestOpenTwice(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jls.db")
	for range 2 {
		l, err := ledger.Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		if a, err := l.Audit(t.Context(), 10); err != nil || len(a) != 0 {
			t.Errorf("got %v, %v", a, err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
}

func set(t *testing.T, path, stmt string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+strings.ReplaceAll(strings.ReplaceAll(path, " ", "%20"), "?", "%3f"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(stmt); err != nil {
		t.Fatal(err)
	}
}
