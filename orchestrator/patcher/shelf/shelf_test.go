package shelf

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/internal/testkit/full"
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

// On a full disk a rollout is not begun, and one that is under way stays as it was kept last; both go on once there is room.
func TestShelfFull(t *testing.T) {
	disk := full.Disk(t, 64)
	dir := filepath.Join(disk, "rollouts")
	s, err := Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	going := of(1, operator.RolloutRunning)
	if err := s.Put(going); err != nil {
		t.Fatal(err)
	}
	free := full.Fill(t, disk, 0)
	paused := going
	paused.State = operator.RolloutPaused
	for _, r := range []operator.Rollout{paused, of(2, operator.RolloutRunning)} {
		if err := s.Put(r); !errors.Is(err, unix.ENOSPC) {
			t.Errorf("rollout %s on a full disk: %v", r.ID, err)
		}
	}
	if err := s.PutWatch(going.ID, rollout.Watch{Host: "h-1", Nodes: []rollout.NodeWatch{}}); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("a watch on a full disk: %v", err)
	}
	again, err := Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*Shelf{s, again} {
		if list := s.List(); len(list) != 1 || list[0].ID != going.ID || list[0].State != operator.RolloutRunning {
			t.Errorf("kept %+v", list)
		}
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) != 1 {
		t.Errorf("left behind: %v, %v", names, err)
	}
	free()
	if err := s.Put(paused); err != nil {
		t.Error(err)
	}
	if r, ok := s.Active(); !ok || r.State != operator.RolloutPaused {
		t.Errorf("with room: %+v", r)
	}
}
