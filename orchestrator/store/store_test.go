package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
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
	if _, err := s.Update(t.Context(), func(tx *Tx) error { Nodes.Delete(tx, "100"); return refused }); !errors.Is(err, refused) ||
		Nodes.Len(s.View()) != 2 {
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

// watchers is how many watches the members of this process hold.
func watchers(t *testing.T) float64 {
	t.Helper()
	all, err := prometheus.DefaultGatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if f.GetName() == "etcd_debugging_mvcc_watcher_total" {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatal("the member doesn't count its watchers any more: find another way to see a leak")
	return 0
}

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); run.Wait(t.Context(), 10*time.Millisecond) {
		if f() {
			return
		}
	}
	t.Fatalf("not within 30 s: %s", what)
}

// A watch that breaks is closed: a record that can't be read breaks one after the other until somebody mends it.
func TestBrokenWatchIsClosed(t *testing.T) {
	var log lines
	s, err := open(t.Context(), Options{Dir: t.TempDir(), Unsafe: true, Log: slog.New(slog.NewTextHandler(&log, nil))}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	eventually(t, "one watch", func() bool { return watchers(t) >= 1 })
	before := watchers(t)
	if _, err := s.m.Put(t.Context(), prefix+"node/100", `{"ctid":100}`); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the watch has broken", func() bool { return log.count("can't be followed") > 0 })
	run.Wait(t.Context(), 2*time.Second) // it breaks again and again
	if n := log.count("can't be followed"); n != 1 {
		t.Errorf("one record that can't be read was told of %d times", n)
	}
	whole, err := json.Marshal(Node{CTID: 100})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.m.Put(t.Context(), prefix+"node/100", string(whole)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the view follows again", func() bool { _, ok := Nodes.Get(s.View(), "100"); return ok })
	eventually(t, fmt.Sprintf("no more than %v watches are left", before), func() bool { return watchers(t) <= before })
	if _, err := s.Update(t.Context(), func(tx *Tx) error { Nodes.Delete(tx, "100"); return nil }); err != nil {
		t.Errorf("after it was mended: %v", err)
	}
}

// lines is a log that can be counted.
type lines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) Write(p []byte) (int, error) { l.mu.Lock(); defer l.mu.Unlock(); return l.b.Write(p) }
func (l *lines) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), s)
}

// A transaction that lost a race is tried again at once, whatever else was written: the newest revision may be of nothing the view holds.
// One that waited for that revision would end with its time, after 30 seconds.
func TestLostRaceIsTriedAgainAtOnce(t *testing.T) {
	s := opened(t, t.TempDir(), nil)
	tries := 0
	began := time.Now()
	_, err := s.Update(t.Context(), func(tx *Tx) error {
		n, _ := Numbers.Read(tx, "ctid")
		if tries++; tries == 1 {
			if _, err := s.Update(t.Context(), func(tx *Tx) error { Numbers.Put(tx, "ctid", Number{Next: 7}); return nil }); err != nil {
				return err
			}
			if _, err := s.m.Put(t.Context(), "/elsewhere", "x"); err != nil {
				return err
			}
		}
		n.Next++
		Numbers.Put(tx, "ctid", n)
		return nil
	})
	if n, _ := Numbers.Get(s.View(), "ctid"); err != nil || tries != 2 || n.Next != 8 || time.Since(began) > 25*time.Second {
		t.Errorf("%d tries, %v, counter %d, %s", tries, err, n.Next, time.Since(began))
	}
}

func TestUnreadableRecordStopsTheStore(t *testing.T) {
	dir := t.TempDir()
	s := opened(t, dir, nil)
	if _, err := s.m.Put(t.Context(), prefix+"node/100", `{"ctid":100}`); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if _, err := Open(t.Context(), Options{Dir: dir, Unsafe: true}); !errors.Is(err, ErrNewer) ||
		!strings.Contains(err.Error(), `"cloudlets" is missing`) {
		t.Errorf("a record without all its fields: %v", err)
	}
}

func FuzzRecord(f *testing.F) {
	f.Add("node", []byte(`{"ctid":100}`))
	f.Add("env", []byte(`{"spec":{"version":1}} {}`))
	f.Fuzz(func(t *testing.T, kind string, raw []byte) {
		v := newView(1)
		if err := v.set(prefix+kind+"/x", raw, 1); err != nil && v.tables[kind] != nil {
			t.Error("a refused record was kept")
		}
	})
}

// An index groups what a view holds, and a view that follows has its own groups.
func TestIndex(t *testing.T) {
	s := opened(t, t.TempDir(), nil)
	defer s.Close()
	put := func(id wire.CTID, env wire.EnvName) {
		if _, err := s.Update(t.Context(),
			func(tx *Tx) error { Nodes.Put(tx, id.String(), Node{CTID: id, Env: env}); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	of := func(v *View, env string) (ids []wire.CTID) {
		for n := range NodesOf.Of(v, env) {
			ids = append(ids, n.CTID)
		}
		return ids
	}
	check := func(v *View, env string, want ...wire.CTID) {
		t.Helper()
		if got := of(v, env); !slices.Equal(got, want) {
			t.Errorf("%s has nodes %v, want %v", env, got, want)
		}
	}
	check(s.View(), "a")
	put(100, "a")
	put(99, "a")
	put(1000, "b")
	first := s.View()
	check(first, "a", 99, 100)
	check(first, "b", 1000)
	put(100, "b")
	check(s.View(), "a", 99)
	check(s.View(), "b", 100, 1000)
	check(first, "a", 99, 100)
	if _, err := s.Update(t.Context(),
		func(tx *Tx) error { Nodes.Delete(tx, "99"); Numbers.Put(tx, "ctid", Number{Next: 7}); return nil }); err != nil {
		t.Fatal(err)
	}
	check(s.View(), "a")
	shared := s.View().tables["node"]
	if _, err := s.Update(t.Context(), func(tx *Tx) error { Numbers.Put(tx, "ctid", Number{Next: 8}); return nil }); err != nil {
		t.Fatal(err)
	}
	if s.View().tables["node"] != shared {
		t.Error("a table that did not change is made anew")
	}
	check(s.View(), "b", 100, 1000)
}
