package store

import (
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"
)

func opened(t *testing.T, dir string, list []upgrade) *Store {
	t.Helper()
	s, err := open(t.Context(), Options{Dir: dir, Unsafe: true}, list)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sync.OnceFunc(s.Close))
	return s
}

func TestRecords(t *testing.T) {
	dir := t.TempDir()
	s := opened(t, dir, nil)
	before := s.View()
	rev, err := s.Update(t.Context(), func(tx *Tx) error {
		Nodes.Put(tx, "100", Node{CTID: 100, Env: "hello"})
		Nodes.Put(tx, "99", Node{CTID: 99, Env: "hello"})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if s.View().Revision() < rev || before.Revision() >= rev {
		t.Errorf("revisions: before %d, commit %d, now %d", before.Revision(), rev, s.View().Revision())
	}
	select {
	case <-before.Over():
	default:
		t.Error("the old view was not declared over")
	}
	if n := Nodes.Len(before); n != 0 {
		t.Errorf("the old view changed: it has %d nodes", n)
	}
	if all := Nodes.All(s.View()); len(all) != 2 || all[0].CTID != 99 || all[1].CTID != 100 {
		t.Errorf("nodes are not in order of their numbers: %+v", all)
	}
	same, err := s.Update(t.Context(), func(tx *Tx) error { Nodes.Put(tx, "100", Node{CTID: 100, Env: "hello"}); return nil })
	if err != nil || same != rev {
		t.Errorf("putting what is there: revision %d, %v; want %d and nothing stored", same, err, rev)
	}
	refused := errors.New("no")
	if _, err := s.Update(t.Context(), func(tx *Tx) error { Nodes.Delete(tx, "100"); return refused }); !errors.Is(err, refused) || Nodes.Len(s.View()) != 2 {
		t.Errorf("a refused transaction: %v, %d nodes left", err, Nodes.Len(s.View()))
	}
	if _, err := s.Update(t.Context(), func(tx *Tx) error { Nodes.Delete(tx, "99"); return nil }); err != nil || Nodes.Len(s.View()) != 1 {
		t.Errorf("delete: %v, %d nodes left", err, Nodes.Len(s.View()))
	}
	s.Close()

	again := opened(t, dir, nil)
	if n, ok := Nodes.Get(again.View(), "100"); !ok || n.Env != "hello" {
		t.Errorf("after a restart: %+v %v", n, ok)
	}
}

func TestUpdatesDontOverwriteEachOther(t *testing.T) {
	s := opened(t, t.TempDir(), nil)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 5 {
				if _, err := s.Update(t.Context(), func(tx *Tx) error {
					n, _ := Numbers.Read(tx, "ctid")
					n.Next++
					Numbers.Put(tx, "ctid", n)
					return nil
				}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n, _ := Numbers.Get(s.View(), "ctid"); n.Next != 20 {
		t.Errorf("20 additions gave %d", n.Next)
	}
}

func TestUpgrade(t *testing.T) {
	dir := t.TempDir()
	s := opened(t, dir, nil)
	if _, err := s.Update(t.Context(), func(tx *Tx) error {
		Numbers.Put(tx, "old", Number{Next: 7})
		Tokens.Put(tx, "t1", Token{ID: "t1", Created: time.Unix(1, 0).UTC()})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	s.Close()

	// Version 2 renames a counter; version 3 fails the first time, as a power cut would: the store stays at 2 and is tried again.
	rename := func(r map[string]json.RawMessage) (map[string]json.RawMessage, error) {
		r["number/new"] = r["number/old"]
		delete(r, "number/old")
		return r, nil
	}
	cut := errors.New("cut")
	fails := func(map[string]json.RawMessage) (map[string]json.RawMessage, error) { return nil, cut }
	if _, err := open(t.Context(), Options{Dir: dir, Unsafe: true}, []upgrade{rename, fails}); !errors.Is(err, cut) {
		t.Fatalf("a failing upgrade: %v", err)
	}
	drop := func(r map[string]json.RawMessage) (map[string]json.RawMessage, error) {
		delete(r, "token/t1")
		return r, nil
	}
	s = opened(t, dir, []upgrade{rename, drop})
	if n, ok := Numbers.Get(s.View(), "new"); !ok || n.Next != 7 || Numbers.Len(s.View()) != 1 || Tokens.Len(s.View()) != 0 {
		t.Errorf("after the upgrades: %+v %v, %d counters, %d tokens", n, ok, Numbers.Len(s.View()), Tokens.Len(s.View()))
	}
	s.Close()

	if _, err := open(t.Context(), Options{Dir: dir, Unsafe: true}, nil); !errors.Is(err, ErrNewer) || !strings.Contains(err.Error(), "schema 3") {
		t.Errorf("an older program on a newer store: %v", err)
	}
}

func TestUnreadableRecordStopsTheStore(t *testing.T) {
	dir := t.TempDir()
	s := opened(t, dir, nil)
	if _, err := s.m.Put(t.Context(), prefix+"node/100", `{"ctid":100,"fromTheFuture":true}`); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if _, err := Open(t.Context(), Options{Dir: dir, Unsafe: true}); !errors.Is(err, ErrNewer) || !strings.Contains(err.Error(), "fromTheFuture") {
		t.Errorf("an unknown field: %v", err)
	}
}

func FuzzRecord(f *testing.F) {
	f.Add("node", []byte(`{"ctid":100}`))
	f.Add("env", []byte(`{"spec":{"version":1}} {}`))
	f.Fuzz(func(t *testing.T, kind string, raw []byte) {
		v := &View{tables: map[string]map[string]entry{}}
		if err := v.set(prefix+kind+"/x", raw, 1); err != nil && v.tables[kind] != nil {
			t.Error("a refused record was kept")
		}
	})
}
