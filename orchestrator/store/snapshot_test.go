package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// later are the upgrades of a program that this one can't follow.
func later() []upgrade {
	same := func(r map[string]json.RawMessage) (map[string]json.RawMessage, error) { return r, nil }
	return append(append([]upgrade{}, upgrades...), upgrade{make: same})
}

// TestSnapshotRestored: a store that a later orchestrator made its own is set aside, and what it was before that is back: unless the
// snapshot is too old, another program's, or damaged. Killed between its renames the restore is finished by the next start.
func TestSnapshotRestored(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	for _, c := range []struct {
		name string
		mend func(t *testing.T, path string, at *time.Time)
		want bool
	}{
		{"whole", func(*testing.T, string, *time.Time) {}, true},
		{"too old", func(_ *testing.T, _ string, at *time.Time) { *at = at.Add(4 * time.Hour) }, false},
		{"another program's", func(t *testing.T, path string, _ *time.Time) { damage(t, path, program, "9.9.9") }, false},
		{"damaged", func(t *testing.T, path string, _ *time.Time) {
			damage(t, path, "/hardnode/record/number/n700", "/hardnode/record/number/n7x0")
		}, false},
		{"cut off", func(t *testing.T, path string, _ *time.Time) {
			st, err := os.Stat(path)
			if err := errors.Join(err, os.Truncate(path, st.Size()-20)); err != nil {
				t.Fatal(err)
			}
		}, false},
		{"none", func(t *testing.T, path string, _ *time.Time) { os.Remove(path) }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			base := t.TempDir()
			o, snapshots, at := Options{Dir: filepath.Join(base, "store"), Unsafe: true}, filepath.Join(base, "snapshots"), now
			ctx := context.Background()
			s, err := Recover(ctx, o, snapshots, now)
			if err != nil {
				t.Fatal(err)
			}
			put := func(s *Store, from, to int) {
				t.Helper()
				if _, err := s.Update(ctx, func(tx *Tx) error {
					for i := from; i < to; i++ {
						Numbers.Put(tx, fmt.Sprintf("n%03d", i), Number{Next: int64(i)})
					}
					return nil
				}); err != nil {
					t.Fatal(err)
				}
			}
			put(s, 0, 800) // more than a page
			if err := s.Snapshot(ctx, snapshots, "the orchestrator is replaced", now); err != nil {
				t.Fatal(err)
			}
			s.Close()
			s, err = open(ctx, o, later())
			if err != nil {
				t.Fatal(err)
			}
			put(s, 800, 801)
			s.Close()
			for _, x := range Snapshots(snapshots) {
				c.mend(t, x.Path, &at)
			}
			s, err = Recover(ctx, o, snapshots, at)
			if !c.want {
				if !errors.Is(err, ErrNewer) {
					t.Fatalf("got %v, want ErrNewer", err)
				}
				if s, err = open(ctx, o, later()); err != nil || Numbers.Len(s.View()) != 801 {
					t.Fatalf("the store was touched: %v", err)
				}
				s.Close()
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if n, _ := Numbers.Get(s.View(), "n799"); Numbers.Len(s.View()) != 800 || n.Next != 799 {
				t.Errorf("%d records are back, n799 is %+v", Numbers.Len(s.View()), n)
			}
			put(s, 800, 802)
			s.Close()
			aside := o
			aside.Dir += ".newer"
			if s, err = open(ctx, aside, later()); err != nil || Numbers.Len(s.View()) != 801 {
				t.Fatalf("what was set aside: %v", err)
			}
			s.Close()
			if err := os.Rename(o.Dir, o.Dir+".restored"); err != nil { // as a kill between the renames leaves it
				t.Fatal(err)
			}
			if s, err = Recover(ctx, o, snapshots, at); err != nil || Numbers.Len(s.View()) != 802 {
				t.Fatalf("after a kill: %v", err)
			}
			s.Close()
		})
	}
}

func damage(t *testing.T, path, was, is string) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil || !bytes.Contains(raw, []byte(was)) {
		t.Fatalf("%s has no %q: %v", path, was, err)
	}
	if err := os.WriteFile(path, bytes.Replace(raw, []byte(was), []byte(is), 1), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestSnapshotsKept: the newest few stay; one that could not be written whole leaves nothing.
func TestSnapshotsKept(t *testing.T) {
	s, err := Open(t.Context(), Options{Dir: t.TempDir(), Unsafe: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	dir, now := t.TempDir(), time.Unix(1_800_000_000, 0)
	for i := range 8 {
		if err := s.Snapshot(t.Context(), dir, fmt.Sprint(i), now.Add(time.Duration(i)*time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	list := Snapshots(dir)
	if len(list) != keptSnapshots || list[0].Reason != "7" || list[4].Reason != "3" || list[0].Program != program {
		t.Errorf("kept are %+v", list)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for range 100 { // whether the member would still answer is a matter of chance
		if err := s.Snapshot(gone, dir, "x", now.Add(9*time.Hour)); !errors.Is(err, context.Canceled) {
			t.Fatalf("a snapshot for somebody who has gone: %v", err)
		}
	}
	if entries, _ := os.ReadDir(dir); len(entries) != keptSnapshots {
		t.Errorf("%d files are left", len(entries))
	}
}
