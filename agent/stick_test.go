package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"hardnode.dev/internal/wire/upkeep"
)

// TestBundled: a bundle is there whole, or nothing is.
func TestBundled(t *testing.T) {
	dir := t.TempDir()
	says := func(err error) shower {
		return func(_ context.Context, what upkeep.Show, w io.Writer) error {
			io.WriteString(w, string(what))
			return err
		}
	}
	if n, err := bundled(t.Context(), filepath.Join(dir, "a"), says(nil)); err != nil || n != int64(len(upkeep.ShowSupport)) {
		t.Errorf("got %d bytes, %v", n, err)
	}
	if _, err := bundled(t.Context(), filepath.Join(dir, "b"), says(unix.ENOSPC)); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("on a full volume: %v", err)
	}
	if _, err := bundled(t.Context(), filepath.Join(dir, "none", "c"), says(nil)); err == nil {
		t.Error("a bundle in a folder that is not there")
	}
	all, err := os.ReadDir(dir)
	if err != nil || len(all) != 1 || all[0].Name() != "a" {
		t.Errorf("there is %v, %v", all, err)
	}
}
