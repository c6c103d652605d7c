package store

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"sync"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"hardnode.dev/internal/wire"
)

// Memory is a store that no member keeps: what is written is in its views at once, and gone with it. It is for tests of those who read and
// write a Store, and need many, or many changes.
type Memory struct {
	mu struct {
		sync.Mutex
		view *View
	}
}

// NewMemory has no records.
func NewMemory() *Memory {
	m := &Memory{}
	m.mu.view = newView(1)
	return m
}

// View is the newest state.
func (m *Memory) View() *View {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mu.view
}

// Update is Store.Update.
func (m *Memory) Update(_ context.Context, f func(*Tx) error) (wire.Revision, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	tx := newTx(m.mu.view)
	if err := f(tx); err != nil {
		return 0, err
	}
	if len(tx.write) == 0 {
		return m.mu.view.Revision(), nil
	}
	var events []*clientv3.Event
	for _, key := range slices.Sorted(maps.Keys(tx.write)) {
		kv := &mvccpb.KeyValue{Key: []byte(key), Value: tx.write[key], ModRevision: m.mu.view.rev + 1}
		e := &clientv3.Event{Type: clientv3.EventTypePut, Kv: kv}
		if tx.write[key] == nil {
			e.Type = clientv3.EventTypeDelete
		}
		events = append(events, e)
	}
	next, err := m.mu.view.after(events)
	if err != nil {
		return 0, err
	}
	close(m.mu.view.over)
	m.mu.view = next
	return next.Revision(), nil
}

// Dump is all records as they are stored, by key.
func (v *View) Dump() map[string]string {
	out := map[string]string{}
	for kind, r := range v.tables {
		r.records.Ascend(func(r row) bool {
			raw := r.raw
			if raw == nil {
				var err error
				if raw, err = json.Marshal(r.val); err != nil {
					panic("BUG: record " + kind + "/" + r.name + ": " + err.Error())
				}
			}
			out[kind+"/"+r.name] = string(raw)
			return true
		})
	}
	return out
}
