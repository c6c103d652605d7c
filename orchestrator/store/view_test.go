package store

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"pgregory.net/rapid"

	"hardnode.dev/internal/wire"
)

// event is what a watch says of a node that was put, or deleted (nil).
func event(t interface{ Fatal(...any) }, name string, n *Node, rev int64) *clientv3.Event {
	e := &clientv3.Event{Type: clientv3.EventTypeDelete, Kv: &mvccpb.KeyValue{Key: []byte(prefix + "node/" + name), ModRevision: rev}}
	if n != nil {
		raw, err := json.Marshal(n)
		if err != nil {
			t.Fatal(err)
		}
		e.Type, e.Kv.Value = clientv3.EventTypePut, raw
	}
	return e
}

// What a view holds never changes, whatever follows it, and is what a plain map would hold; Since names what became another record.
func TestViewsAgainstAModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := []string{"1", "2", "9", "10", "11", "100", "1a", "a", "-1", "b9", "007"}
		envs := []wire.EnvName{"", "a", "b", "ab"}
		type state struct {
			view  *View
			model map[string]Node
		}
		all := []state{{newView(1), map[string]Node{}}}
		rev := int64(1)
		for range rapid.IntRange(1, 12).Draw(t, "batches") {
			last := all[len(all)-1]
			model := maps.Clone(last.model)
			var events []*clientv3.Event
			for range rapid.IntRange(1, 6).Draw(t, "events") {
				rev += int64(rapid.IntRange(0, 1).Draw(t, "next revision"))
				rev = max(rev, last.view.rev+1)
				name := rapid.SampledFrom(names).Draw(t, "name")
				if rapid.Bool().Draw(t, "put") {
					n := Node{CTID: wire.CTID(rev), Layer: wire.LayerName(name), Env: rapid.SampledFrom(envs).Draw(t, "env"),
						Created: time.Unix(rev, 0).UTC()}
					model[name] = n
					events = append(events, event(t, name, &n, rev))
				} else {
					delete(model, name)
					events = append(events, event(t, name, nil, rev))
				}
			}
			next, err := last.view.after(events)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, state{next, model})
		}
		newest := all[len(all)-1]
		for i, s := range all {
			sorted := slices.SortedFunc(maps.Keys(s.model), compareNames)
			var got []string
			for name, n := range Nodes.Refs(s.view) {
				got = append(got, name)
				if want := s.model[name]; n.CTID != want.CTID {
					t.Fatalf("view %d: node %s is of revision %d, want %d", i, name, n.CTID, want.CTID)
				}
			}
			if !slices.Equal(got, sorted) || Nodes.Len(s.view) != len(sorted) {
				t.Fatalf("view %d has %v (%d), want %v", i, got, Nodes.Len(s.view), sorted)
			}
			for _, name := range names {
				if _, there := Nodes.Get(s.view, name); there != slices.Contains(sorted, name) {
					t.Fatalf("view %d: node %s there: %v", i, name, there)
				}
			}
			for _, e := range envs {
				var got, want []string
				for n := range NodesOf.Of(s.view, string(e)) {
					got = append(got, string(n.Layer))
				}
				for _, name := range sorted {
					if s.model[name].Env == e {
						want = append(want, name)
					}
				}
				if !slices.Equal(got, want) {
					t.Fatalf("view %d: environment %q has %v, want %v", i, e, got, want)
				}
			}
			changes, ok := newest.view.Since(s.view.Revision())
			if !ok {
				t.Fatalf("view %d: nobody knows what changed since", i)
			}
			named := map[string]bool{}
			for _, c := range changes {
				named[c.Name] = true
			}
			for _, name := range names {
				if (s.model[name].CTID != newest.model[name].CTID) && !named[name] {
					t.Fatalf("view %d: node %s is another one now and not among the changes %v", i, name, changes)
				}
			}
		}
	})
}

// Names that are numbers and others stand beside each other: the order must be one.
func TestNamesHaveOneOrder(t *testing.T) {
	names := []string{"", "9", "10", "1a", "a", "-1", "12", "123", "007", "a9", "a10", "é"}
	for _, a := range names {
		for _, b := range names {
			if x, y := compareNames(a, b), compareNames(b, a); x > 0 != (y < 0) || (x == 0) != (a == b) {
				t.Errorf("%q and %q: %d and %d", a, b, x, y)
			}
			for _, c := range names {
				if compareNames(a, b) < 0 && compareNames(b, c) < 0 && compareNames(a, c) >= 0 {
					t.Errorf("%q comes before %q, that before %q, and that not after %q", a, b, c, a)
				}
			}
		}
	}
}

// What changed is known back to some revision; who asks for more is told so and never given a part.
func TestChangesAreForgotten(t *testing.T) {
	v := newView(1)
	step := keptChanges / 8
	first := v
	for rev := int64(2); rev < 40; rev++ {
		var events []*clientv3.Event
		for i := range step {
			events = append(events, event(t, fmt.Sprint(i), nil, rev))
		}
		next, err := v.after(events)
		if err != nil {
			t.Fatal(err)
		}
		v = next
		for from := int64(0); from <= rev+1; from++ {
			changes, ok := v.Since(wire.Revision(from))
			switch want := int(rev-from) * step; {
			case from > rev || from < first.rev:
				if ok {
					t.Fatalf("revision %d, since %d: %d changes, want it not to be known", rev, from, len(changes))
				}
			case ok && len(changes) != want:
				t.Fatalf("revision %d, since %d: %d changes, want %d", rev, from, len(changes), want)
			case !ok && want <= keptChanges:
				t.Fatalf("revision %d, since %d: not known, and only %d changes", rev, from, want)
			}
		}
	}
	if changes, ok := first.Since(1); !ok || len(changes) != 0 {
		t.Errorf("the first view: %d changes since itself, %v", len(changes), ok)
	}
	if len(v.changes) > 2*keptChanges+step {
		t.Errorf("%d changes are kept", len(v.changes))
	}
}

// TestFigures measures; its figures are for make bench-orchestrator.
func TestFigures(t *testing.T) {
	if os.Getenv("HARDNODE_BENCH") == "" {
		t.Skip("HARDNODE_BENCH is not set: figures are measured by make bench-orchestrator")
	}
	v := newView(1)
	node := func(i int) *Node {
		return &Node{CTID: wire.CTID(i), Env: wire.EnvName(fmt.Sprintf("e%d", i/4)), Host: wire.HostID(fmt.Sprintf("h-%012x", i%5000)),
			Layer: "cp"}
	}
	for i := range 100_000 {
		e := event(t, fmt.Sprint(i), node(i), 1)
		if err := v.set(string(e.Kv.Key), e.Kv.Value, 1); err != nil {
			t.Fatal(err)
		}
	}
	var events []*clientv3.Event
	const n = 2000
	for i := range n {
		events = append(events, event(t, fmt.Sprint(i*47), node(i*47+1), int64(2+i)))
	}
	began := time.Now()
	for _, e := range events {
		if _, _, err := decoders["node"](e.Kv.Value); err != nil {
			t.Fatal(err)
		}
	}
	decoding := time.Since(began)
	began = time.Now()
	for i := range events {
		next, err := v.after(events[i : i+1])
		if err != nil {
			t.Fatal(err)
		}
		v = next
	}
	took := time.Since(began)
	fmt.Printf("FIGURE a new view for one event, 100000 nodes: %.1f µs, of it %.1f µs to read the record\n", took.Seconds()*1e6/n,
		decoding.Seconds()*1e6/n)
}
