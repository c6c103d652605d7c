//go:build guest

package shelf

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"hardnode.dev/internal/disk/btrfs"
	"hardnode.dev/internal/wire/host"
)

// TestFull: what others put here ends at its quota, in words, and DATA has room for its own; what is deleted makes room again; what a
// killed agent left half is gone with the next one.
func TestFull(t *testing.T) {
	const data = "/data"
	dir, err := os.Open(data)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if err := btrfs.EnableSimpleQuota(dir); err != nil {
		t.Fatal(err)
	}
	open := func() *Shelf { return New(Options{Data: data, Work: func() *host.Work { return &host.Work{} }}) }
	s, n := open(), 0
	put := func() (name string, err error) {
		b := make([]byte, 8<<20)
		rand.Read(b)
		sum := sha256.Sum256(b)
		name = fmt.Sprintf("101/20261127-101502/%06d-%x.age", n, sum[:8])
		n++
		return name, s.Put(t.Context(), name, int64(len(b)), bytes.NewReader(b))
	}
	first, err := put()
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = put()
	}
	room, rerr := s.Room(t.Context())
	if !errors.Is(err, unix.EDQUOT) || !strings.Contains(err.Error(), "and they are full: delete some") || rerr != nil {
		t.Fatalf("after %d: %v, %v", n, err, rerr)
	}
	if kept := int64(n-1) * 8 << 20; kept > room.Limit || room.Limit-kept > 16<<20 || room.Used > room.Limit || room.Used < kept {
		t.Errorf("%d bytes are kept; room %+v", kept, room)
	}
	if err := os.WriteFile(data+"/own", make([]byte, 32<<20), 0o600); err != nil {
		t.Errorf("the host's own: %v", err)
	}
	names, err := s.List(t.Context(), "101/")
	if err != nil || len(names) != n-1 {
		t.Errorf("%d are listed of %d, %v", len(names), n-1, err)
	}
	if half, err := os.ReadDir(filepath.Join(s.top, coming)); err != nil || len(half) > 0 {
		t.Errorf("half: %v, %v", half, err)
	}
	if err := os.WriteFile(filepath.Join(s.top, coming, "killed"), []byte("x"), 0o600); err != nil {
		t.Error(err)
	}
	if err := s.Delete(t.Context(), first); err != nil {
		t.Error(err)
	}
	unix.Sync()
	s = open()
	if _, err := put(); err != nil {
		t.Errorf("after one was deleted: %v", err)
	}
	if _, err := os.Stat(filepath.Join(s.top, coming, "killed")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what was left half: %v", err)
	}
}
