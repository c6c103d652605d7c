package store

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What a record was before is given up: a busy cluster's store does not grow by all that it ever held, until the member takes no more.
func TestHistoryIsGivenUp(t *testing.T) {
	dir := t.TempDir()
	s := opened(t, dir, nil)
	const rounds, size = 300, 512 << 10
	for i := range rounds {
		text := fmt.Sprint(i, strings.Repeat("x", size))
		if _, err := s.Update(t.Context(), func(tx *Tx) error {
			Keys.Put(tx, "large", IdempotencyKey{Name: "large", Body: text})
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	db, err := os.Stat(filepath.Join(dir, "member", "member", "snap", "db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d MiB were written, the store is %d MiB", rounds*size>>20, db.Size()>>20)
	if db.Size() > rounds*size*3/4 {
		t.Errorf("%d bytes were written of one record, and the store is %d bytes", rounds*size, db.Size())
	}
	if k, ok := Keys.Get(s.View(), "large"); !ok || !strings.HasPrefix(k.Body, fmt.Sprint(rounds-1, "x")) {
		t.Errorf("the record is not the newest: %v, %.10q", ok, k.Body)
	}
}
