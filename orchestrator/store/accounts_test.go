package store

import (
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
)

// TestAccounts: the records of version 2, in the form it wrote them, get an account, and hosts a new revision of their Work.
func TestAccounts(t *testing.T) {
	records := map[string]json.RawMessage{}
	for key, file := range map[string]string{"env/text": "env", "operation/text": "operation", "token/text": "token",
		"template/text": "template", "node/101": "node",
		"work/h-1": "work", "host/h-1": "host"} {
		raw, err := os.ReadFile("testdata/golden/" + file + ".1.json")
		if err != nil {
			t.Fatal(err)
		}
		records[key] = raw
	}
	before := maps.Clone(records)
	after, err := accounts(records)
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"env/text": "admin", "operation/text": "admin", "token/text": "admin",
		"template/text": "admin", "node/101": "container admin",
		"work/h-1": "containers admin, revision 102", "host/h-1": "as it was"} {
		if got := accountIn(t, key, before[key], after[key]); got != want {
			t.Errorf("%s: %s, want %s", key, got, want)
		}
	}

	// Whose an environment is counts for what is in it, and what has an account keeps it.
	after, err = accounts(map[string]json.RawMessage{
		"env/shop": json.RawMessage(`{"account":"acme"}`), "node/5": json.RawMessage(`{"env":"shop","container":{"ctid":5,"env":"shop"}}`),
		"work/h-1": json.RawMessage(
			`{"version":1,"revision":7,"containers":[{"ctid":5,"env":"shop"},{"ctid":6,"env":"shop","account":"other"},{"ctid":1,"env":"jelastic"}]}`),
		"operation/op-1": json.RawMessage(`{"env":"shop"}`), "operation/op-2": json.RawMessage(`{"env":"gone"}`),
		"operation/op-3": json.RawMessage(`{"kind":"import"}`),
		"token/t":        json.RawMessage(`{"account":"acme"}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"env/shop": `{"account":"acme"}`, "node/5": `{"container":{"account":"acme","ctid":5,"env":"shop"},"env":"shop"}`,
		"work/h-1":       `{"containers":[{"account":"acme","ctid":5,"env":"shop"},{"account":"other","ctid":6,"env":"shop"},{"account":"admin","ctid":1,"env":"jelastic"}],"revision":8,"version":1}`,
		"operation/op-1": `{"account":"acme","env":"shop"}`, "operation/op-2": `{"account":"admin","env":"gone"}`,
		"operation/op-3": `{"account":"admin","kind":"import"}`,
		"token/t":        `{"account":"acme"}`,
	} {
		if got := string(after[key]); got != want {
			t.Errorf("%s became %s, want %s", key, got, want)
		}
	}
	if _, err := accounts(map[string]json.RawMessage{"work/h-1": json.RawMessage(`{"revision":"x","containers":[]}`)}); err == nil ||
		!strings.Contains(err.Error(), `"work/h-1"`) {
		t.Errorf("a damaged record: %v, want an error that names it", err)
	}
}

// accountIn says what account a record has, and what else changed of it.
func accountIn(t *testing.T, key string, before, after []byte) string {
	t.Helper()
	var a, b map[string]any
	if err := json.Unmarshal(before, &b); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(after, &a); err != nil {
		t.Fatal(err)
	}
	take := func(doc map[string]any) string { s, _ := doc["account"].(string); delete(doc, "account"); return s }
	out := ""
	switch kind, _, _ := strings.Cut(key, "/"); kind {
	case "node":
		out = "container " + take(a["container"].(map[string]any))
	case "work":
		out = "containers " + take(a["containers"].([]any)[0].(map[string]any))
		rev, _ := json.Marshal(a["revision"])
		out += ", revision " + string(rev)
		a["revision"] = b["revision"]
	default:
		if out = take(a); out == "" {
			out = "as it was"
		}
	}
	x, _ := json.Marshal(a)
	if y, _ := json.Marshal(b); string(x) != string(y) {
		t.Errorf("%s: more has changed than the account:\n%s\nwant\n%s", key, x, y)
	}
	return out
}

// As an orchestrator of version 2 knows these records: without accounts. What else is not here, it carries too.
type (
	containerBefore struct {
		CTID wire.CTID    `json:"ctid"`
		Env  wire.EnvName `json:"env"`
		Run  bool         `json:"run"`
	}
	envBefore struct {
		Want Want   `json:"want"`
		By   string `json:"by"`
	}
	operationBefore struct {
		ID       wire.OperationID        `json:"id"`
		Kind     string                  `json:"kind"`
		Object   string                  `json:"object"`
		By       string                  `json:"by"`
		State    operator.OperationState `json:"state"`
		Revision wire.Revision           `json:"revision"`
		Created  time.Time               `json:"created"`
		Updated  time.Time               `json:"updated"`
		Progress int                     `json:"progress"`
		Steps    []operator.Step         `json:"steps"`
		Cancel   bool                    `json:"cancel"`
		Env      wire.EnvName            `json:"env,omitempty"`
	}
	tokenBefore struct {
		Name string `json:"name"`
	}
	templateBefore struct {
		Name  wire.TemplateName `json:"name"`
		Bytes int64             `json:"bytes"`
	}
	nodeBefore struct {
		CTID      wire.CTID       `json:"ctid"`
		Env       wire.EnvName    `json:"env"`
		Gone      bool            `json:"gone,omitempty"`
		Container containerBefore `json:"container"`
	}
	workBefore struct {
		Version    int               `json:"version"`
		Revision   wire.Revision     `json:"revision"`
		Containers []containerBefore `json:"containers"`
	}
)

// TestAccountsRolledBack: an orchestrator of version 2 works on this one's store, a new one and an upgraded one alike, and changes every
// kind of record; forward again, nothing is lost, and what it made has an account.
func TestAccountsRolledBack(t *testing.T) {
	dir := t.TempDir()
	later := func() *Store { return opened(t, dir, upgrades) }
	knows, groups := maps.Clone(decoders), maps.Clone(indices)
	earlier := func(f func(*Tx)) {
		t.Helper()
		table[envBefore]("env")
		table[operationBefore]("operation")
		table[tokenBefore]("token")
		table[templateBefore]("template")
		table[nodeBefore]("node")
		table[workBefore]("work")
		clear(indices) // they are made for this version's types
		defer func() {
			maps.Copy(decoders, knows)
			maps.Copy(indices, groups)
		}()
		s := opened(t, dir, upgrades[:1])
		defer s.Close()
		if _, err := s.Update(t.Context(), func(tx *Tx) error { f(tx); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	s := later() // a new store
	for key, raw := range map[string]string{
		"env/shop": `{"spec":{"version":1,"name":"shop","layers":null},"account":"acme","want":"running","created":"2026-11-22T00:00:00Z","by":"a"}`,
		"operation/op-1": `{"id":"op-1","kind":"env.start","object":"environments/shop","by":"a","account":"acme","state":"running","revision":1,"created":"2026-11-22T00:00:00Z",` +
			`"updated":"2026-11-22T00:00:00Z","progress":0,"steps":null,"cancel":false,"env":"shop"}`,
		"token/t1":    `{"id":"t1","name":"ci","account":"acme","hash":"t1","scopes":null,"created":"2026-11-22T00:00:00Z"}`,
		"template/w1": `{"name":"w1","digest":"","bytes":1,"oci":"","process":{"argv":null},"profile":"app","imported":"2026-11-22T00:00:00Z","account":"acme"}`,
		"node/100":    `{"ctid":100,"env":"shop","container":{"ctid":100,"env":"shop","account":"acme","run":true},"layer":"cp","index":0,"host":"h-1","placed":"","cloudlets":{"reserved":1,"dynamic":1},"created":"2026-11-22T00:00:00Z"}`,
		"work/h-1":    `{"version":1,"revision":7,"containers":[{"ctid":100,"env":"shop","account":"acme","run":true}]}`,
	} {
		// A container has more fields that must be there; none of them matters here.
		raw = strings.ReplaceAll(raw, `"run":true`,
			`"run":true,"layer":"cp","hostname":"n","generation":1,"image":{"name":"w1","digest":"","bytes":1},"process":{"argv":null},"profile":"app",`+
				`"limits":{"memoryMin":0,"memoryHigh":0,"memoryMax":0,"cpuWeight":0,"cpuMHz":0,"pids":0,"diskBytes":0},"ipv4":"10.96.1.10"`)
		if _, err := s.m.Put(t.Context(), prefix+key, raw); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()

	earlier(func(tx *Tx) {
		Table[envBefore]{"env"}.Put(tx, "shop", envBefore{Want: WantStopped, By: "b"})
		Table[operationBefore]{"operation"}.Put(tx, "op-1", operationBefore{ID: "op-1", State: operator.OpDone, Env: "shop"})
		Table[tokenBefore]{"token"}.Put(tx, "t1", tokenBefore{Name: "cd"})
		Table[templateBefore]{"template"}.Put(tx, "w1", templateBefore{Name: "w1", Bytes: 2})
		Table[nodeBefore]{"node"}.Put(tx, "100",
			nodeBefore{CTID: 100, Env: "shop", Gone: true, Container: containerBefore{100, "shop", false}})
		Table[workBefore]{"work"}.Put(tx, "h-1", workBefore{1, 8, []containerBefore{{100, "shop", false}}})
		Table[operationBefore]{"operation"}.Put(tx, "op-2", operationBefore{ID: "op-2", State: operator.OpDone, Env: "shop"})
	})

	s = later()
	defer s.Close()
	v := s.View()
	e, _ := Envs.Get(v, "shop")
	op, _ := Operations.Get(v, "op-1")
	tok, _ := Tokens.Get(v, "t1")
	tpl, _ := Templates.Get(v, "w1")
	n, _ := Nodes.Get(v, "100")
	w, _ := Works.Get(v, "h-1")
	if e.Want != WantStopped || op.State != operator.OpDone || tok.Name != "cd" || tpl.Bytes != 2 || !n.Gone || n.Container.Run ||
		w.Revision != 9 || len(w.Containers) != 1 {
		t.Errorf("what the earlier one wrote is not there: %+v", []any{e, op, tok, tpl, n, w})
	}
	for what, a := range map[string]wire.Account{"environment": e.Account, "operation": op.Account, "token": tok.Account,
		"template": tpl.Account, "node": n.Container.Account,
		"work": w.Containers[0].Account} {
		if a != "acme" {
			t.Errorf("the %s is %q's after the way back and forth, want acme's", what, a)
		}
	}
	if e.Spec.Name != "shop" || tpl.Imported.IsZero() || n.Layer != "cp" || w.Containers[0].Layer != "cp" {
		t.Error("other fields are lost")
	}
	if made, _ := s.m.Get(t.Context(), prefix+"operation/op-2"); len(made.Kvs) != 1 ||
		!strings.Contains(string(made.Kvs[0].Value), `"account":"acme"`) {
		t.Errorf("what the earlier one made: %v, want acme's, as its environment", made.Kvs)
	}
}

// TestReaders: which orchestrators may work on a store does not depend on whether it was made or upgraded.
func TestReaders(t *testing.T) {
	same := upgrade{make: func(r map[string]json.RawMessage) (map[string]json.RawMessage, error) { return r, nil }}
	kind := same
	kind.readers = 2
	lists := [][]upgrade{nil, {same}, {same, kind}}
	for _, made := range []string{"new", "upgraded"} {
		dir := t.TempDir()
		if made == "upgraded" {
			opened(t, dir, lists[0]).Close()
		}
		opened(t, dir, lists[2]).Close()
		s := opened(t, dir, lists[1]) // version 2 is let in
		s.Close()
		if _, err := open(t.Context(), Options{Dir: dir, Unsafe: true}, lists[0]); err == nil {
			t.Errorf("%s: version 1 is let in", made)
		}
		opened(t, dir, lists[2]).Close()
	}
	if !slices.EqualFunc([]int{readers(lists[2], 1), readers(lists[2], 2), readers(lists[2], 3)}, []int{0, 0, 2},
		func(a, b int) bool { return a == b }) {
		t.Error("readers of versions 1 to 3: want 0, 0, 2")
	}
}
