package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"hardnode.dev/agent/facts"
	"hardnode.dev/internal/wire/boot"
)

// TestLasting: what hardly ever changes is read each half minute, what is used now each time; boots that init has not told yet are asked
// for each time too.
func TestLasting(t *testing.T) {
	root := t.TempDir()
	put := func(path, text string) {
		t.Helper()
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	memory := func(total string) { put("proc/meminfo", "MemTotal: "+total+" kB\nMemFree: 1000 kB\n") }
	memory("4000")
	a := &agent{facts: facts.Source{Root: root, Data: root}}
	a.read()
	first := a.figures.Load()
	if first.err != nil || first.capacity.MemoryBytes == 0 || len(first.boots) != 0 {
		t.Fatalf("read at first: %+v", first)
	}
	memory("8000")
	put(boot.BootsFile, `[{"at":"2026-11-28T12:00:00Z","reason":"reboot"}]`)
	a.read()
	is := a.figures.Load()
	if is.capacity.MemoryBytes != first.capacity.MemoryBytes || is.load.MemoryUsed == first.load.MemoryUsed || len(is.boots) != 1 {
		t.Errorf("a moment later: %+v", is)
	}
	old := *is
	old.lasting.read = time.Now().Add(-lasts)
	a.figures.Store(&old)
	a.read()
	if is := a.figures.Load(); is.err != nil || is.capacity.MemoryBytes <= first.capacity.MemoryBytes || len(is.boots) != 1 {
		t.Errorf("half a minute later: %+v", is)
	}
}
