package hold

import (
	"testing"
	"time"

	"hardnode.dev/agent/spawner/call"
)

// Who has read all records gets none of them again until one has changed; another table's states are nobody's here.
func TestAllOnlyOnce(t *testing.T) {
	open := func() *Table {
		t.Helper()
		table, err := Open(nil, keeper{}, nil, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		table.mu.byID["101"] = &entry{Record: call.Record{ID: "101", Started: time.Unix(5, 0)}}
		return table
	}
	table, other := open(), open()
	list, _, first := table.All("")
	if len(list) != 1 || first == "" {
		t.Fatalf("got %v, state %q", list, first)
	}
	if list, _, again := table.All(first); len(list) != 0 || again != first {
		t.Errorf("nothing has changed: got %v, state %q", list, again)
	}
	if list, _, theirs := other.All(first); len(list) != 1 || theirs == first {
		t.Errorf("another table: got %v, state %q", list, theirs)
	}
	if err := table.Forget("101"); err != nil {
		t.Fatal(err)
	}
	table.mu.byID["102"] = &entry{Record: call.Record{ID: "102", Started: time.Unix(6, 0)}}
	list, _, second := table.All(first)
	if len(list) != 1 || list[0].ID != "102" || second == first {
		t.Errorf("after a change: got %v, state %q", list, second)
	}
}
