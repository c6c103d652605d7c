package store

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// upgrade turns all records of one schema version into those of the next. Keys are as stored, without prefix: "env/hello".
type upgrade func(records map[string]json.RawMessage) (map[string]json.RawMessage, error)

// upgrades[i] leads from version i+1 to i+2; the newest version is len(upgrades)+1.
//
// History: 1 (2026-11-22) first version.
var upgrades []upgrade

type schema struct {
	Version int `json:"version"`
}

// migrate brings the store to the newest version, one transaction a version, so that a power cut leaves one version or the next.
func migrate(ctx context.Context, m *member, list []upgrade) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	newest := len(list) + 1
	got, err := m.Get(ctx, schemaKey)
	if err != nil {
		return fmt.Errorf("read schema version: %v", err)
	}
	have := schema{}
	if len(got.Kvs) == 0 {
		if have.Version, err = emptyVersion(ctx, m, newest); err != nil {
			return err
		}
	} else if err := strict(got.Kvs[0].Value, &have); err != nil || have.Version < 1 {
		return fmt.Errorf("read schema version %q: %w", got.Kvs[0].Value, ErrNewer)
	}
	if have.Version > newest {
		return fmt.Errorf("open store: %w: it has schema %d, this program knows %d; start the newer orchestrator, or restore a snapshot made before the upgrade", ErrNewer, have.Version, newest)
	}
	for v := have.Version; v < newest; v++ {
		if err := step(ctx, m, v, list[v-1]); err != nil {
			return fmt.Errorf("upgrade store from schema %d: %w", v, err)
		}
	}
	return nil
}

// emptyVersion stamps a new store; one that has records but no version is not ours to touch.
func emptyVersion(ctx context.Context, m *member, newest int) (int, error) {
	n, err := m.Get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil {
		return 0, fmt.Errorf("read store: %v", err)
	}
	if n.Count > 0 {
		return 0, fmt.Errorf("open store: it has %d records and no schema version: %w", n.Count, ErrNewer)
	}
	raw, _ := json.Marshal(schema{newest})
	if _, err := m.Put(ctx, schemaKey, string(raw)); err != nil {
		return 0, fmt.Errorf("write schema version: %v", err)
	}
	return newest, nil
}

func step(ctx context.Context, m *member, from int, up upgrade) error {
	all, err := m.Get(ctx, prefix, clientv3.WithPrefix())
	if err != nil {
		return err
	}
	old := make(map[string]json.RawMessage, len(all.Kvs))
	for _, kv := range all.Kvs {
		old[string(kv.Key)[len(prefix):]] = kv.Value
	}
	next, err := up(maps.Clone(old))
	if err != nil {
		return err
	}
	raw, _ := json.Marshal(schema{from + 1})
	ops := []clientv3.Op{clientv3.OpPut(schemaKey, string(raw))}
	for _, k := range slices.Sorted(maps.Keys(next)) {
		if string(old[k]) != string(next[k]) {
			ops = append(ops, clientv3.OpPut(prefix+k, string(next[k])))
		}
	}
	for _, k := range slices.Sorted(maps.Keys(old)) {
		if _, kept := next[k]; !kept {
			ops = append(ops, clientv3.OpDelete(prefix+k))
		}
	}
	_, err = m.Txn(ctx).Then(ops...).Commit()
	return err
}
