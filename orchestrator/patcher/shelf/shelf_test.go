package shelf

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/patcher/rollout"
)

var noon = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

func of(n int, s operator.RolloutState) operator.Rollout {
	return operator.Rollout{ID: fmt.Sprintf("ro-%03d", n), State: s, Created: noon.Add(time.Duration(n) * time.Hour),
		Visits: []operator.RolloutVisit{}}
}

// What is kept is there for the next process; one damaged file takes nothing else along, and the oldest are forgotten.
func TestShelf(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "rollouts")
	s, err := Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	for n := range Most + 2 {
		if err := s.Put(of(n, operator.RolloutDone)); err != nil {
			t.Fatal(err)
		}
	}
	last := of(200, operator.RolloutRunning)
	if err := s.Put(last); err != nil {
		t.Fatal(err)
	}
	if err := s.PutWatch(last.ID, rollout.Watch{Host: "h-1", Name: "one", Nodes: []rollout.NodeWatch{}}); err != nil {
		t.Fatal(err)
	}
	last.Reason = "not kept"
	s.Hold(last)
	if r, _ := s.Get(last.ID); r.Reason != "not kept" {
		t.Errorf("held %+v", r)
	}
	if err := os.WriteFile(filepath.Join(dir, "ro-050", rolloutFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(dir, nil); err != nil {
		t.Fatal(err)
	}
	list := s.List()
	if len(list) != Most-1 || list[0].ID != last.ID || list[len(list)-1].ID != "ro-003" {
		t.Errorf("%d rollouts, the newest %s, the oldest %s", len(list), list[0].ID, list[len(list)-1].ID)
	}
	if r, ok := s.Active(); !ok || r.ID != last.ID || r.Reason != "" {
		t.Errorf("active %v %+v", ok, r)
	}
	if _, p := s.Get("ro-000"); p == nil || p.Code != operator.NotFound {
		t.Errorf("the oldest: %v", p)
	}
	if w, err := s.Watches(last.ID); err != nil || len(w) != 1 || w[0].Name != "one" {
		t.Errorf("%+v, %v", w, err)
	}
	if err := s.Put(operator.Rollout{ID: "../up"}); err == nil {
		t.Error("a rollout outside the folder")
	}
}
