package desired

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hardnode.dev/internal/wire/host"
)

// The wanted system is durable, is asked for again after another program accepted it, and a damaged one is set aside.
func TestSystem(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if s.System() != nil || s.Known().System != 0 {
		t.Fatalf("an empty store wants %+v", s.System())
	}
	want := host.System{Version: 1, Revision: 7, Release: "1.4.0", Step: host.Switch, Order: "o1"}
	if err := s.Accept(host.Assignment{System: &want}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.Ordered():
	default:
		t.Error("no hint of the order")
	}
	select {
	case <-s.Changed():
		t.Error("a hint to those who run containers")
	default:
	}
	again := open(t, dir)
	if got := again.System(); got == nil || *got != want || again.Known().System != 7 {
		t.Fatalf("after a restart: %+v, known %d", got, again.Known().System)
	}
	taken := host.System{Version: 1, Revision: 8}
	if err := again.Accept(host.Assignment{System: &taken}); err != nil || again.System().Wanted() || again.Known().System != 8 {
		t.Errorf("taken back: %+v, %v", again.System(), err)
	}

	path := filepath.Join(dir, "system.json")
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	other := again.mu.system
	other.Program = "another"
	if err := again.system.Save(other); err != nil {
		t.Fatal(err)
	}
	if again = open(t, dir); again.Known().System != 0 || again.System() == nil {
		t.Errorf("accepted by another program: known %d, %+v", again.Known().System, again.System())
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(raw), `"revision":8`, `"revision":9`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if again = open(t, dir); again.System() != nil || len(again.Problems()) != 1 {
		t.Errorf("damaged: %+v, %v", again.System(), again.Problems())
	}
}
