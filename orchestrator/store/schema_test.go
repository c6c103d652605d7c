package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

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
	if _, err := open(t.Context(), Options{Dir: dir, Unsafe: true}, []upgrade{{make: rename}, {make: fails}}); !errors.Is(err, cut) {
		t.Fatalf("a failing upgrade: %v", err)
	}
	drop := func(r map[string]json.RawMessage) (map[string]json.RawMessage, error) {
		delete(r, "token/t1")
		return r, nil
	}
	s = opened(t, dir, []upgrade{{make: rename}, {make: drop}})
	if n, ok := Numbers.Get(s.View(), "new"); !ok || n.Next != 7 || Numbers.Len(s.View()) != 1 || Tokens.Len(s.View()) != 0 {
		t.Errorf("after the upgrades: %+v %v, %d counters, %d tokens", n, ok, Numbers.Len(s.View()), Tokens.Len(s.View()))
	}
	s.Close()

	if _, err := open(t.Context(), Options{Dir: dir, Unsafe: true}, nil); !errors.Is(err, ErrNewer) ||
		!strings.Contains(err.Error(), "schema 3") {
		t.Errorf("an older program on a newer store: %v", err)
	}
}

// cutter fails every call after the first n, as a power cut would.
type cutter struct {
	clientv3.KV
	left int
}

var errCut = errors.New("power cut")

func (c *cutter) cut() error {
	if c.left--; c.left < 0 {
		return errCut
	}
	return nil
}

func (c *cutter) Put(ctx context.Context, k, v string, o ...clientv3.OpOption) (*clientv3.PutResponse, error) {
	if err := c.cut(); err != nil {
		return nil, err
	}
	return c.KV.Put(ctx, k, v, o...)
}

func (c *cutter) Delete(ctx context.Context, k string, o ...clientv3.OpOption) (*clientv3.DeleteResponse, error) {
	if err := c.cut(); err != nil {
		return nil, err
	}
	return c.KV.Delete(ctx, k, o...)
}

func (c *cutter) Txn(ctx context.Context) clientv3.Txn { return &cutTxn{c.KV.Txn(ctx), c} }

type cutTxn struct {
	clientv3.Txn
	c *cutter
}

func (t *cutTxn) Then(ops ...clientv3.Op) clientv3.Txn { return &cutTxn{t.Txn.Then(ops...), t.c} }
func (t *cutTxn) Commit() (*clientv3.TxnResponse, error) {
	if err := t.c.cut(); err != nil {
		return nil, err
	}
	return t.Txn.Commit()
}

// An upgrade of more records than one transaction takes; it is cut off at every write and goes on at the next start, with the same end.
func TestUpgradeIsRestartedAtAnyLine(t *testing.T) {
	m, err := startMember(t.Context(), Options{Dir: t.TempDir(), Unsafe: true})
	if err != nil {
		t.Fatal(err)
	}
	defer m.close()
	fill := func(n int) {
		if _, err := m.Delete(t.Context(), "/hardnode/", clientv3.WithPrefix()); err != nil {
			t.Fatal(err)
		}
		b := batch{ctx: t.Context(), m: m}
		for i := range n {
			b.add(20, clientv3.OpPut(fmt.Sprintf("%snumber/%05d", prefix, i), `{"next":1}`))
		}
		if err := b.flush(); err != nil {
			t.Fatal(err)
		}
		if err := stamp(t.Context(), m, schema{Version: 1}); err != nil {
			t.Fatal(err)
		}
	}
	// Adding one to each can't be done twice unnoticed; the even ones go.
	calls := 0
	up := func(r map[string]json.RawMessage) (map[string]json.RawMessage, error) {
		calls++
		for k, v := range r {
			var n Number
			if err := json.Unmarshal(v, &n); err != nil {
				return nil, err
			}
			n.Next++
			r[k], _ = json.Marshal(n)
			if last := k[len(k)-1]; last%2 == 0 {
				delete(r, k)
			}
		}
		return r, nil
	}
	check := func(what string, n int) {
		t.Helper()
		count := 0
		if err := pages(t.Context(), m, prefix, func(_ string, raw []byte) error {
			if count++; string(raw) != `{"next":2}` {
				return fmt.Errorf("a record is %s", raw)
			}
			return nil
		}); err != nil || count != n/2 {
			t.Errorf("%s: %d records, %v; want %d, each counted up once", what, count, err, n/2)
		}
		left, err := m.Get(t.Context(), stagedPrefix, clientv3.WithPrefix(), clientv3.WithCountOnly())
		if err != nil || left.Count != 0 {
			t.Errorf("%s: %d staged records are left, %v", what, left.Count, err)
		}
	}
	const many = 20_000 // more than twice what one transaction may have
	fill(many)
	if err := migrate(t.Context(), m, []upgrade{{make: up}}); err != nil {
		t.Fatalf("upgrade of %d records: %v", many, err)
	}
	check("uncut", many)

	whole := m.Client.KV
	const some = 1600
	for n := 0; ; n++ {
		fill(some)
		m.Client.KV = &cutter{whole, n}
		err := migrate(t.Context(), m, []upgrade{{make: up}})
		m.Client.KV = whole
		what := fmt.Sprintf("cut off at write %d", n)
		if err == nil {
			if n < 8 {
				t.Fatalf("the upgrade took %d writes: too few to cut it off between", n)
			}
			break
		}
		if !errors.Is(err, errCut) && !strings.Contains(err.Error(), errCut.Error()) {
			t.Fatalf("%s: %v", what, err)
		}
		// A program of the version before may read it only as long as nothing has changed.
		if err := migrate(t.Context(), m, nil); err == nil {
			count := 0
			if err := pages(t.Context(), m, prefix, func(_ string, raw []byte) error {
				if count++; string(raw) != `{"next":1}` {
					return fmt.Errorf("a record is %s", raw)
				}
				return nil
			}); err != nil || count != some {
				t.Errorf("%s: a program of the version before reads %d records, %v", what, count, err)
			}
		} else if !errors.Is(err, ErrNewer) {
			t.Errorf("%s: a program of the version before: %v", what, err)
		}
		if err := migrate(t.Context(), m, []upgrade{{make: up}}); err != nil {
			t.Errorf("%s: the next start: %v", what, err)
		}
		check(what, some)
	}
}

// What version 1 stored is read: operations at work hold their environments, and undoing them changes nothing.
func TestHolders(t *testing.T) {
	dir := t.TempDir()
	m, err := startMember(t.Context(), Options{Dir: dir, Unsafe: true})
	if err != nil {
		t.Fatal(err)
	}
	const at = `"2026-11-22T00:00:00Z"`
	const rest = `"by":"a","revision":1,"created":` + at + `,"updated":` + at + `,"deadline":` + at +
		`,"progress":0,"steps":null,"cancel":false,`
	for k, v := range map[string]string{
		schemaKey:            `{"version":1}`,
		prefix + "env/hello": `{"spec":{"version":1,"name":"hello","layers":null},"want":"running","created":"2026-11-22T00:00:00Z","by":"a"}`,
		prefix + "env/other": `{"spec":{"version":1,"name":"other","layers":null},"want":"running","created":"2026-11-22T00:00:00Z","by":"a"}`,
		prefix + "operation/op-1": `{"id":"op-1","kind":"env.start","object":"environments/hello","state":"running",` + rest +
			`"env":"hello","undo":"stopped","from":7}`,
		prefix + "operation/op-2": `{"id":"op-2","kind":"env.create","object":"environments/other","state":"done",` + rest +
			`"env":"other","undo":"deleted"}`,
		prefix + "operation/op-3": `{"id":"op-3","kind":"node.replace","object":"environments/other","state":"running",` + rest +
			`"env":"other","node":101,"old":100}`,
		prefix + "operation/op-4": `{"id":"op-4","kind":"env.delete","object":"environments/gone","state":"running",` + rest +
			`"env":"gone"}`,
	} {
		if _, err := m.Put(t.Context(), k, v); err != nil {
			t.Fatal(err)
		}
	}
	m.close()
	s, err := Open(t.Context(), Options{Dir: dir, Unsafe: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	hello, _ := Envs.Get(s.View(), "hello")
	other, _ := Envs.Get(s.View(), "other")
	if hello.Operation != "op-1" || other.Operation != "" || hello.Want != WantRunning {
		t.Errorf("hello is held by %q, other by %q; want op-1 and none", hello.Operation, other.Operation)
	}
	if op, ok := Operations.Get(s.View(), "op-1"); !ok || op.Before != nil || Operations.Len(s.View()) != 4 {
		t.Errorf("the operation at work: %+v", op)
	}
}

// An orchestrator is rolled back: it works on the later one's store, keeps what it doesn't know, and the later one makes its upgrade for
// what was written meanwhile.
func TestRolledBack(t *testing.T) {
	dir := t.TempDir()
	account := upgrade{readers: 1, make: func(r map[string]json.RawMessage) (map[string]json.RawMessage, error) {
		for k, raw := range r {
			var doc map[string]any
			if strings.HasPrefix(k, "number/") && json.Unmarshal(raw, &doc) == nil && doc["account"] == nil {
				doc["account"] = "made by the upgrade"
				r[k], _ = json.Marshal(doc)
			}
		}
		return r, nil
	}}
	later := func() *Store { return opened(t, dir, []upgrade{account}) }
	earlier := func() *Store { return opened(t, dir, nil) }
	raw := func(s *Store, key string) string {
		got, err := s.m.Get(t.Context(), prefix+key)
		if err != nil || len(got.Kvs) != 1 {
			t.Fatalf("read %s: %v, %d of them", key, err, len(got.Kvs))
		}
		return string(got.Kvs[0].Value)
	}
	put := func(s *Store, name string, n int64) {
		if _, err := s.Update(t.Context(), func(tx *Tx) error { Numbers.Put(tx, name, Number{Next: n}); return nil }); err != nil {
			t.Fatal(err)
		}
	}

	s := earlier()
	put(s, "first", 1)
	s.Close()
	s = later()
	if _, err := s.m.Put(t.Context(), prefix+"number/second", `{"next":2,"account":"mine"}`); err != nil {
		t.Fatal(err)
	}
	if _, err := s.m.Put(t.Context(), prefix+"kind-of-later/x", `{"any":"thing"}`); err != nil {
		t.Fatal(err)
	}
	s.Close()

	s = earlier()
	put(s, "first", 10)
	put(s, "second", 20)
	put(s, "third", 30)
	for key, want := range map[string]string{
		"number/first": `{"next":10,"account":"made by the upgrade"}`, "number/second": `{"next":20,"account":"mine"}`,
		"number/third": `{"next":30}`, "kind-of-later/x": `{"any":"thing"}`,
	} {
		if got := raw(s, key); got != want {
			t.Errorf("the earlier orchestrator leaves %s as %s, want %s", key, got, want)
		}
	}
	s.Close()

	s = later()
	if got, want := raw(s, "number/third"), `{"account":"made by the upgrade","next":30}`; got != want {
		t.Errorf("the later one finds %s, want %s", got, want)
	}
	if got, want := raw(s, "number/second"), `{"next":20,"account":"mine"}`; got != want {
		t.Errorf("the later one finds %s, want %s", got, want)
	}
	s.Close()

	account.readers = 0
	s = opened(t, dir, []upgrade{account, account})
	s.Close()
	if _, err := open(t.Context(), Options{Dir: dir, Unsafe: true}, []upgrade{account}); !errors.Is(err, ErrNewer) {
		t.Errorf("a store that allows no earlier orchestrator: %v, want ErrNewer", err)
	}
}
