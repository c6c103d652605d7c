package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestGiven: what can't be is refused with what to give in its place.
func TestGiven(t *testing.T) {
	want := []string{"52:54:00:aa:00:00", "52:54:00:aa:00:01"}
	if got, err := cards("52-54-00-AA-00-01, 52:54:00:aa:00:00"); err != nil || !slices.Equal(got, want) {
		t.Errorf("two cards: %v, %v", got, err)
	}
	if got, err := cards("all"); err != nil || got != nil {
		t.Errorf("all: %v, %v", got, err)
	}
	for _, bad := range []string{"", "host-1", "52:54:00", "52:54:00:aa:00:01,", "02:00:5e:10:00:00:00:01"} {
		if _, err := cards(bad); err == nil || !strings.Contains(err.Error(), "want MACs") {
			t.Errorf("-for %q: %v", bad, err)
		}
	}
	if _, err := networkOf("no-such-card"); err == nil || !strings.Contains(err.Error(), "ip link") {
		t.Errorf("a card that is not there: %v", err)
	}
	if p, err := networkOf("lo"); err == nil && !p.Addr().IsLoopback() {
		t.Errorf("lo is %s", p)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "undionly.kpxe"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := firmware(dir); err == nil || !strings.Contains(err.Error(), "snponly.efi") {
		t.Errorf("half a tree: %v", err)
	}
}
