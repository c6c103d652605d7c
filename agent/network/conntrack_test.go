package network

import (
	"os"
	"path/filepath"
	"testing"
)

func TestConnections(t *testing.T) {
	for memory, want := range map[uint64]uint64{512 << 20: 65536, 2 << 30: 65536, 16 << 30: 524288, 1 << 40: 1 << 21} {
		if got := connections(memory); got != want {
			t.Errorf("with %d MiB %d, want %d", memory>>20, got, want)
		}
	}
	proc, sys := t.TempDir(), t.TempDir()
	put := func(path, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if full(proc) != nil {
		t.Error("a kernel without such a table is not full")
	}
	put(filepath.Join(proc, maxConnections), "1000\n")
	put(filepath.Join(sys, "module/nf_conntrack/parameters/hashsize"), "7\n")
	for open, want := range map[string]bool{"0\n": false, "799\n": false, "800\n": true, "1000\n": true} {
		put(filepath.Join(proc, openConnections), open)
		if p := full(proc); (p != nil) != want {
			t.Errorf("%s of 1000: %+v", open, p)
		}
	}
	if err := sizeConnections(proc, sys); err != nil {
		t.Fatal(err)
	}
	if n, err := number(filepath.Join(proc, maxConnections)); err != nil || n < leastConnections {
		t.Errorf("sized to %d, %v", n, err)
	}
}
