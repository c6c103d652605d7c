package shelf

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"hardnode.dev/internal/wire/host"
)

// plain is a shelf in a directory that needs no btrfs.
func plain(t *testing.T, work *host.Work) *Shelf {
	t.Helper()
	s := New(Options{Data: t.TempDir(), Work: func() *host.Work { return work }})
	if err := os.MkdirAll(filepath.Join(s.top, coming), 0o700); err != nil {
		t.Fatal(err)
	}
	s.mu.open = true
	return s
}

func chunk(n int, data []byte) string {
	sum := sha256.Sum256(data)
	return fmt.Sprintf("101/20261127-101502/%06d-%x.age", n, sum[:8])
}

func TestShelf(t *testing.T) {
	s := plain(t, &host.Work{})
	ctx := t.Context()
	data := []byte("a chunk")
	put := func(name string, data []byte, n int64) error { return s.Put(ctx, name, n, bytes.NewReader(data)) }
	if err := errors.Join(put(chunk(0, data), data, 7), put("101/20261127-101502/cut.json", []byte("{}"), 2)); err != nil {
		t.Fatal(err)
	}
	names, err := s.List(ctx, "101/")
	if err != nil || len(names) != 2 || names[0] != chunk(0, data) {
		t.Errorf("list: %q, %v", names, err)
	}
	r, n, err := s.Get(ctx, chunk(0, data))
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	r.Close()
	if err != nil || n != 7 || string(got) != "a chunk" {
		t.Errorf("get: %q of %d, %v", got, n, err)
	}
	for what, c := range map[string]struct {
		err  error
		want string
	}{
		"another sum":    {put(chunk(1, data), []byte("changed"), 7), "is not what its name says"},
		"cut":            {put(chunk(1, data), data, 9), "7 bytes came of 9"},
		"out of it":      {put("../../x", data, 7), "names nothing of a backup"},
		"deleted beyond": {s.Delete(ctx, "../../x"), "names nothing of a backup"},
	} {
		if c.err == nil || !strings.Contains(c.err.Error(), c.want) {
			t.Errorf("%s: %v", what, c.err)
		}
	}
	if half, err := os.ReadDir(filepath.Join(s.top, coming)); err != nil || len(half) != 0 {
		t.Errorf("half are %v, %v", half, err)
	}
	if err := errors.Join(s.Delete(ctx, chunk(0, data)), s.Delete(ctx, chunk(0, data))); err != nil {
		t.Error(err)
	}
	if err := s.Delete(ctx, "101/20261127-101502/cut.json"); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(s.top, "101")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("its folder: %v", err)
	}
	if _, _, err := s.Get(ctx, chunk(0, data)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("deleted: %v", err)
	}
	if names, err := s.List(ctx, ""); err != nil || len(names) != 0 {
		t.Errorf("list: %q, %v", names, err)
	}
}

// TestMay: a host keeps nothing of what it runs itself, nor before it knows what that is, nor when its own nodes need the room.
func TestMay(t *testing.T) {
	work := &host.Work{Containers: []host.Container{{CTID: 101}, {CTID: 102, Remove: true}}}
	s := plain(t, work)
	if err := errors.Join(s.May(t.Context(), 102), s.May(t.Context(), 103)); err != nil {
		t.Error(err)
	}
	if err := s.May(t.Context(), 101); err == nil || !strings.Contains(err.Error(), "node 101 runs on this very host") {
		t.Errorf("of its own: %v", err)
	}
	if err := plain(t, nil).May(t.Context(), 103); err == nil || !strings.Contains(err.Error(), "has not been told") {
		t.Errorf("without work: %v", err)
	}
	s.o.Closed = func() error { return errors.New("metadata has little room") }
	if err := s.May(t.Context(), 103); err == nil || !strings.Contains(err.Error(), "no backup is put here: metadata has little room") {
		t.Errorf("closed: %v", err)
	}
}

func TestExplained(t *testing.T) {
	s := plain(t, nil)
	for cause, want := range map[error]string{unix.EDQUOT: "and they are full: delete some", unix.ENOSPC: "DATA of this host is full",
		unix.EIO: "put x: input/output error"} {
		if err := s.explained("x", cause); !errors.Is(err, cause) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v", cause, err)
		}
	}
}
