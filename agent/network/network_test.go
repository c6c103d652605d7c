package network

import (
	"context"
	"errors"
	"strings"
	"testing"
)

// TestModulesAreWaitedForOnce: what init says is asked until it says yes; the mesh key can be read meanwhile.
func TestModulesAreWaitedForOnce(t *testing.T) {
	asked, answer := 0, errors.New(`load module "wireguard.ko": no room`)
	n := New(func(context.Context) error { asked++; return answer }, nil)
	for range 2 {
		if err := n.modules(t.Context()); err == nil || !strings.Contains(err.Error(), "wireguard.ko") {
			t.Errorf("a missing module: got %v, want its name", err)
		}
	}
	answer = nil
	for range 2 {
		if err := n.modules(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if asked != 3 {
		t.Errorf("asked %d times, want 3", asked)
	}
	n.mu.Lock() // Apply at work
	defer n.mu.Unlock()
	if key := n.MeshKey(); key != "" {
		t.Errorf("mesh key %q before there is a mesh", key)
	}
}
