package store

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"hardnode.dev/internal/wire/neighbour"
)

// upgrade turns all records of one schema version into those of the next. Keys are as stored, without prefix: "env/hello". An orchestrator
// that was rolled back leaves its own version behind, so an upgrade may find what it adds already there.
type upgrade struct {
	make func(records map[string]json.RawMessage) (map[string]json.RawMessage, error)
	// readers is the oldest version whose orchestrators may work on what the upgrade leads to: they keep the fields and the kinds of record
	// that they do not know. 0: only orchestrators that know it.
	readers int
}

// upgrades[i] leads from version i+1 to i+2; the newest version is len(upgrades)+1.
//
// History: 1 (2026-11-22) first version. 2 (2026-11-25) an environment names the operation that holds it; an operation keeps what was
// before it. Orchestrators before version 2 refuse every field they do not know. 3 (2026-11-26) environments, tokens, operations, templates
// and containers have an account.
var upgrades = []upgrade{{make: holders}, {make: accounts, readers: 2}}

// stagedPrefix is where an upgrade's changes lie until all of them are known to be there.
const stagedPrefix = "/hardnode/upgrade/"

// The bounds of one transaction of an upgrade: a store may have more records than etcd takes at once.
const (
	stepRecords = 1000
	stepBytes   = 2 << 20
)

// schema is the store's version. An upgrade has three phases, each restarted by whoever opens the store next:
//
//	stage    the changes are written beside the records; the version is the old one, so starting anew from the records is safe
//	Upgrading is set: all changes are staged, no program of the old version reads the store any more
//	carry out each change is made in the transaction that drops it from the stage; then the version is the new one
//
// An orchestrator that is older than the store works on it if Readers says so, and stamps its own version: the later one then makes its
// upgrade again, for the records that were written without it.
type schema struct {
	Version   int `json:"version"`
	Upgrading int `json:"upgrading,omitempty"` // the version that the staged changes lead to; 0: none is under way
	Readers   int `json:"readers,omitempty"`   // the oldest version whose orchestrators may work on the store; 0 is Version
}

// staged is one change of an upgrade.
type staged struct {
	Put    json.RawMessage `json:"put,omitempty"`
	Delete bool            `json:"delete,omitempty"`
}

// migrate brings the store to the newest version. A power cut at any line leaves a store that the next start brings there.
func migrate(ctx context.Context, m *member, list []upgrade) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	newest := len(list) + 1
	got, err := m.Get(ctx, schemaKey)
	if err != nil {
		return fmt.Errorf("read schema version: %v", err)
	}
	have := schema{}
	if len(got.Kvs) == 0 {
		if have.Version, err = emptyVersion(ctx, m, list); err != nil {
			return err
		}
	} else if err := neighbour.Decode(got.Kvs[0].Value, &have); err != nil || have.Version < 1 || have.Upgrading != 0 &&
		have.Upgrading != have.Version+1 {
		return fmt.Errorf("read schema version %q: %w", got.Kvs[0].Value, ErrNewer)
	}
	if have.Version > newest && have.Upgrading == 0 && have.Readers != 0 && have.Readers <= newest {
		return stamp(ctx, m, schema{Version: newest, Readers: have.Readers})
	}
	if needs := max(have.Version, have.Upgrading); needs > newest {
		return fmt.Errorf("open store: %w: it has schema %d, this program knows %d; start the newer orchestrator, or restore a snapshot "+
			"made before the upgrade", ErrNewer, needs, newest)
	}
	for v := have.Version; v < newest; v++ {
		if have.Upgrading != v+1 {
			err = stage(ctx, m, v, list[v-1].make)
		}
		if err == nil {
			err = carryOut(ctx, m, schema{Version: v + 1, Readers: readers(list, v+1)})
		}
		if err != nil {
			return fmt.Errorf("upgrade store from schema %d: %w", v, err)
		}
	}
	return nil
}

// readers is the oldest version whose orchestrators may work on a store of a version; 0 is that version.
func readers(list []upgrade, version int) int {
	if version < 2 {
		return 0
	}
	return list[version-2].readers
}

// emptyVersion stamps a new store, as an upgraded one is; one that has records but no version is not ours to touch.
func emptyVersion(ctx context.Context, m *member, list []upgrade) (int, error) {
	newest := len(list) + 1
	n, err := m.Get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil {
		return 0, fmt.Errorf("read store: %v", err)
	}
	if n.Count > 0 {
		return 0, fmt.Errorf("open store: it has %d records and no schema version: %w", n.Count, ErrNewer)
	}
	if err := stamp(ctx, m, schema{Version: newest, Readers: readers(list, newest)}); err != nil {
		return 0, err
	}
	return newest, nil
}

func stamp(ctx context.Context, m *member, s schema) error {
	raw, _ := json.Marshal(s)
	if _, err := m.Put(ctx, schemaKey, string(raw)); err != nil {
		return fmt.Errorf("write schema version: %v", err)
	}
	return nil
}

// stage works the changes out and writes them beside the records, which stay as they are.
func stage(ctx context.Context, m *member, from int, up func(map[string]json.RawMessage) (map[string]json.RawMessage, error)) error {
	// What an earlier try left is not whole.
	if _, err := m.Delete(ctx, stagedPrefix, clientv3.WithPrefix()); err != nil {
		return err
	}
	old := map[string]json.RawMessage{}
	if err := pages(ctx, m, prefix, func(key string, raw []byte) error { old[key] = raw; return nil }); err != nil {
		return err
	}
	next, err := up(maps.Clone(old))
	if err != nil {
		return err
	}
	b := batch{ctx: ctx, m: m}
	for _, k := range slices.Sorted(maps.Keys(next)) {
		if string(old[k]) != string(next[k]) {
			raw, err := json.Marshal(staged{Put: next[k]})
			if err != nil {
				return fmt.Errorf("record %q: %v", k, err)
			}
			b.add(len(raw), clientv3.OpPut(stagedPrefix+k, string(raw)))
		}
	}
	gone, _ := json.Marshal(staged{Delete: true})
	for _, k := range slices.Sorted(maps.Keys(old)) {
		if _, kept := next[k]; !kept {
			b.add(len(gone), clientv3.OpPut(stagedPrefix+k, string(gone)))
		}
	}
	if err := b.flush(); err != nil {
		return err
	}
	return stamp(ctx, m, schema{Version: from, Upgrading: from + 1})
}

// carryOut makes the staged changes and then the version.
func carryOut(ctx context.Context, m *member, to schema) error {
	b := batch{ctx: ctx, m: m}
	err := pages(ctx, m, stagedPrefix, func(key string, raw []byte) error {
		var c staged
		if err := neighbour.Decode(raw, &c); err != nil {
			return fmt.Errorf("staged record %q: %v", key, err)
		}
		op := clientv3.OpDelete(prefix + key)
		if !c.Delete {
			op = clientv3.OpPut(prefix+key, string(c.Put))
		}
		b.add(len(c.Put), op, clientv3.OpDelete(stagedPrefix+key))
		return b.err
	})
	if err == nil {
		err = b.flush()
	}
	if err != nil {
		return err
	}
	return stamp(ctx, m, to)
}

// pages hands over everything below a prefix, without the prefix, a bounded answer at a time.
func pages(ctx context.Context, m *member, below string, f func(key string, raw []byte) error) error {
	end := clientv3.GetPrefixRangeEnd(below)
	for from := below; ; {
		got, err := m.Get(ctx, from, clientv3.WithRange(end), clientv3.WithLimit(stepRecords))
		if err != nil {
			return err
		}
		for _, kv := range got.Kvs {
			if err := f(string(kv.Key)[len(below):], kv.Value); err != nil {
				return err
			}
		}
		if !got.More {
			return nil
		}
		from = string(got.Kvs[len(got.Kvs)-1].Key) + "\x00"
	}
}

// batch collects writes into transactions of bounded size. The first error stops it; flush gives it back.
type batch struct {
	ctx   context.Context
	m     *member
	ops   []clientv3.Op
	bytes int
	err   error
}

// add puts the operations into one transaction with what is there, or into the next if there is no room.
func (b *batch) add(bytes int, ops ...clientv3.Op) {
	if len(b.ops)+len(ops) > stepRecords || b.bytes+bytes > stepBytes {
		b.flush()
	}
	b.ops, b.bytes = append(b.ops, ops...), b.bytes+bytes
}

func (b *batch) flush() error {
	if b.err == nil && len(b.ops) > 0 {
		_, b.err = b.m.Txn(b.ctx).Then(b.ops...).Commit()
	}
	b.ops, b.bytes = nil, 0
	return b.err
}
