package store

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestWasteful(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		what                     string
		file, stored, last, free int64
		want                     bool
	}{
		{"small", 63 * mib, mib, 0, 9999 * mib, false},
		{"a third is stored", 66 * mib, 22 * mib, 0, 9999 * mib, true},
		{"more is stored", 66 * mib, 23 * mib, 0, 9999 * mib, false},
		{"it has hardly grown since", 100 * mib, mib, 51 * mib, 9999 * mib, false},
		{"it has grown again", 102 * mib, mib, 51 * mib, 9999 * mib, true},
		{"no room for the copy", 300 * mib, 50 * mib, 0, 355 * mib, false},
		{"just room for the copy", 300 * mib, 50 * mib, 0, 356 * mib, true},
	} {
		if got := (extent{c.file, c.stored, c.last, c.free}).wasteful(); got != c.want {
			t.Errorf("%s: got %v, want %v", c.what, got, c.want)
		}
	}
}

// What a busy time left of a store's file is given back in a calm one, and nothing is lost by it.
func TestFileShrinks(t *testing.T) {
	dir := t.TempDir()
	s := opened(t, dir, nil)
	db := func() int64 {
		i, err := os.Stat(filepath.Join(dir, "member", "member", "snap", "db"))
		if err != nil {
			t.Fatal(err)
		}
		return i.Size()
	}
	put := func(name, text string) {
		t.Helper()
		if _, err := s.Update(t.Context(), func(tx *Tx) error {
			Keys.Put(tx, name, IdempotencyKey{Name: name, Body: text})
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	large := 0
	for ; db() < shrinkFrom+8<<20; large++ {
		put(fmt.Sprint("large", large), strings.Repeat("x", 4<<20))
		if large > 100 {
			t.Fatalf("the file is %d bytes with %d records of 4 MiB", db(), large)
		}
	}
	if _, err := s.Update(t.Context(), func(tx *Tx) error {
		for i := range large {
			Keys.Delete(tx, fmt.Sprint("large", i))
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	put("before", "written before")
	ctx, end := context.WithCancel(t.Context())
	var shrinking sync.WaitGroup
	shrinking.Go(func() { s.shrink(ctx, 50*time.Millisecond) })
	for deadline := time.Now().Add(time.Minute); db() >= shrinkFrom/2; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the file is still %d bytes", db())
		}
	}
	put("later", "written after")
	end()
	shrinking.Wait()
	s.Close()
	again := opened(t, dir, nil)
	for name, want := range map[string]string{"before": "written before", "later": "written after"} {
		if k, ok := Keys.Get(again.View(), name); !ok || k.Body != want {
			t.Errorf("%s: got %v, %.20q", name, ok, k.Body)
		}
	}
}
