package backup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/disk/btrfs"
	"hardnode.dev/internal/wire/backup"
	"hardnode.dev/internal/wire/snapshot"
)

var zeros = strings.Repeat("0", 64)

// kept is a backup of a day of November, which goes on from that of another day, if any.
func kept(day, before int) Manifest {
	is := func(n int) btrfs.Identity { return btrfs.Identity{UUID: btrfs.UUID{byte(n)}, Transid: 1} }
	m := Manifest{Version: 1, Bytes: 1, Chunks: []Chunk{{zeros, 1}}, Head: backup.Head{ID: backup.ID(fmt.Sprint(day)), Node: 100,
		Taken: time.Date(2026, 11, day, 12, 0, 0, 0, time.UTC), Parts: []backup.Part{{Is: is(day)}}}}
	if before > 0 {
		m.Before, m.Parts[0].From = backup.ID(fmt.Sprint(before)), is(before)
	}
	return m
}

// TestRetain: what a kept one goes on from stays, whatever the rule says; what goes does so before the one that it goes on from.
func TestRetain(t *testing.T) {
	for _, c := range []struct {
		name               string
		list               []Manifest
		daily              int
		gone, needed, stay string
	}{
		{"none", nil, 1, "", "", ""},
		{"whole ones", []Manifest{kept(1, 0), kept(2, 0), kept(3, 0)}, 1, "2 1", "", "3"},
		{"a chain", []Manifest{kept(1, 0), kept(2, 1), kept(3, 2)}, 1, "", "2 1", "1 2 3"},
		{"an older chain", []Manifest{kept(1, 0), kept(2, 1), kept(3, 0), kept(4, 3)}, 1, "2 1", "3", "3 4"},
		{"two on one", []Manifest{kept(1, 0), kept(2, 1), kept(3, 1)}, 1, "2", "1", "1 3"},
		{"the clock went back", []Manifest{kept(9, 0), kept(1, 9), kept(20, 0)}, 1, "1 9", "", "20"},
		{"the first is missing", []Manifest{kept(2, 1), kept(3, 2)}, 1, "", "2", "2 3"},
		{"it goes on from itself", []Manifest{kept(2, 2), kept(3, 0)}, 1, "2", "", "3"},
		{"more than there are", []Manifest{kept(1, 0), kept(2, 0)}, 9, "", "", "1 2"},
	} {
		out := Retain(c.list, snapshot.Rule{Daily: c.daily})
		for _, l := range []struct {
			what string
			got  []Manifest
			want string
		}{{"go", out.Gone, c.gone}, {"are needed", out.Needed, c.needed}, {"stay", out.Stays, c.stay}} {
			var ids []string
			for _, m := range l.got {
				ids = append(ids, string(m.ID))
			}
			if got := strings.Join(ids, " "); got != l.want {
				t.Errorf("%s: %q %s, want %q", c.name, got, l.what, l.want)
			}
		}
	}
}

// holds puts backups into a place.
func holds(t *testing.T, p Place, list ...Manifest) {
	t.Helper()
	for _, m := range list {
		if err := errors.Join(p.Put(t.Context(), m.chunk(0), []byte("x")), save(t.Context(), p, m)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPrune: all of what goes is gone, in a directory and in a store; whatever was not deleted can still be restored.
func TestPrune(t *testing.T) {
	for name, p := range places(t) {
		ctx := t.Context()
		holds(t, p, kept(1, 0), kept(2, 1), kept(3, 2), kept(4, 0), kept(5, 4))
		rule := snapshot.Rule{Daily: 1}
		if out, err := Prune(ctx, p, 100, rule, true); err != nil || len(out.Gone) != 3 {
			t.Errorf("%s: to try: %+v, %v", name, out, err)
		}
		if list, err := List(ctx, p, 100); err != nil || len(list) != 5 {
			t.Errorf("%s: to try left %d, %v", name, len(list), err)
		}
		broke := errors.New("the store is gone")
		out, err := Prune(ctx, stuck{p, "100/2/000000-0000000000000000.age", broke}, 100, rule, false)
		if !errors.Is(err, broke) || len(out.Gone) != 1 {
			t.Errorf("%s: cut: %+v, %v", name, out.Gone, err)
		}
		list, err := List(ctx, p, 100)
		if err != nil || len(list) != 3 {
			t.Errorf("%s: cut: %d are left, %v", name, len(list), err)
		}
		for _, m := range list {
			if _, err := Chain(ctx, p, 100, m.ID); err != nil {
				t.Errorf("%s: cut: %v", name, err)
			}
		}
		if out, err := Prune(ctx, p, 100, rule, false); err != nil || len(out.Gone) != 1 || len(out.Needed) != 1 {
			t.Errorf("%s: %+v, %v", name, out, err)
		}
		if err := Delete(ctx, p, 100, "2"); err != nil { // what the cut left
			t.Errorf("%s: %v", name, err)
		}
		names, err := p.List(ctx, "")
		if want := []string{"100/4/000000-0000000000000000.age", "100/4/manifest.json", "100/5/000000-0000000000000000.age",
			"100/5/manifest.json"}; err != nil ||
			!slices.Equal(names, want) {
			t.Errorf("%s: left %q, %v", name, names, err)
		}
	}
}

// TestPruneCut: what was cut long ago, before a backup that is there, goes; what may still be written, or gone on with, stays.
func TestPruneCut(t *testing.T) {
	ctx, p := t.Context(), places(t)["directory"]
	holds(t, p, kept(3, 0))
	for day, written := range map[int]time.Duration{1: 25 * time.Hour, 2: 23 * time.Hour, 4: 25 * time.Hour} {
		c := Cut{Manifest: kept(day, 0), Written: time.Now().Add(-written), Marks: make([]backup.Mark, 1)}
		if err := errors.Join(p.Put(ctx, c.chunk(0), []byte("x")), c.save(ctx, p)); err != nil {
			t.Fatal(err)
		}
	}
	for _, dry := range []bool{true, false} {
		if _, err := Prune(ctx, p, 100, snapshot.Rule{Daily: 1}, dry); err != nil {
			t.Fatal(err)
		}
		cuts, err := Cuts(ctx, p, 100)
		var ids []backup.ID
		for _, c := range cuts {
			ids = append(ids, c.ID)
		}
		want := []backup.ID{"2", "4"}
		if dry {
			want = []backup.ID{"1", "2", "4"}
		}
		if err != nil || !slices.Equal(ids, want) {
			t.Errorf("dry %t: left %q, %v", dry, ids, err)
		}
	}
}

// stuck is a place where one name can't be deleted.
type stuck struct {
	Place
	name string
	err  error
}

func (s stuck) Delete(ctx context.Context, name string) error {
	if name == s.name {
		return s.err
	}
	return s.Place.Delete(ctx, name)
}

// TestDelete: one that is needed stays, and so does all of a node of which one can't be read, but that one itself.
func TestDelete(t *testing.T) {
	ctx, p := t.Context(), places(t)["directory"]
	holds(t, p, kept(1, 0), kept(2, 1))
	if err := p.Put(ctx, dir(100, "3")+manifest, []byte("no json")); err != nil {
		t.Fatal(err)
	}
	const unknown = "is not known"
	for _, c := range []struct{ id, want string }{{"2", unknown}, {"9", unknown}, {"../x", "want one that is listed"}, {"3", ""},
		{"1", "2 goes on from it"}, {"9", "no such backup"}, {"2", ""}, {"2", "no such backup"}, {"1", ""}} {
		err := Delete(ctx, p, 100, backup.ID(c.id))
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("backup %s: got %v, want %q", c.id, err, c.want)
		}
		if c.want == unknown {
			if _, err := Prune(ctx, p, 100, snapshot.Rule{Daily: 1}, false); err == nil || !strings.Contains(err.Error(), unknown) {
				t.Errorf("prune beside one that can't be read: %v", err)
			}
		}
	}
	if names, err := p.List(ctx, ""); len(names) != 0 || err != nil {
		t.Errorf("left %q, %v", names, err)
	}
}
