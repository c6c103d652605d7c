package snapshot

import (
	"bytes"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"hardnode.dev/internal/disk/btrfs"
	"hardnode.dev/internal/disk/btrfs/stream"
	"hardnode.dev/internal/wire/snapshot"
)

// TestKeep: what comes as a chain of streams into one subvolume has its steps kept as snapshots, which are those that were sent: in what
// they hold, and for whom streams go on from them. It costs what is new in each, and counts for the subvolume.
func TestKeep(t *testing.T) {
	must := func(errs ...error) {
		t.Helper()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
	}
	from, to := onLoop(t), onLoop(t)
	must(os.MkdirAll(from.home(1), 0o700), os.MkdirAll(to.home(1), 0o700))
	home, err := os.Open(from.home(1))
	must(err)
	defer home.Close()
	must(btrfs.CreateSubvolume(home, "vol-data"))
	vol, err := os.Open(filepath.Join(home.Name(), "vol-data"))
	must(err)
	defer vol.Close()

	const size, change = 4 << 20, 64 << 10
	data := make([]byte, size)
	var was [][]byte
	var sent []snapshot.Snapshot
	for i, at := range []int{0, change, 2 * change} {
		n := []int{size, change, change}[i]
		rand.Read(data[at : at+n])
		f, err := os.OpenFile(filepath.Join(vol.Name(), "file"), os.O_CREATE|os.O_WRONLY, 0o600)
		must(err)
		_, err = f.WriteAt(data[at:at+n], int64(at))
		must(err, f.Close())
		was = append(was, bytes.Clone(data))
		s, err := from.store.Take(1, snapshot.Snapshot{Note: "n", Generation: 7}, []Part{{"vol-data", "data", vol}}, nil, time.Now())
		must(err)
		sent = append(sent, s)
	}

	must(os.MkdirAll(filepath.Join(to.store.home(1), taking+string(sent[0].ID)), 0o700)) // as a kill leaves it
	c, err := to.store.Coming(1)
	must(err)
	dir, err := c.Make("vol-data", size+size/4)
	must(err)
	defer dir.Close()
	is := make([]btrfs.Identity, len(sent))
	pass := func(s *Store, i int, parent *os.File) (part Part, done func(), n int) {
		_, parts, done, err := s.Open(1, sent[i].ID)
		must(err)
		var b bytes.Buffer
		must(btrfs.Send(t.Context(), parts[0].Dir, parent, &b))
		n = b.Len()
		if s == from.store {
			at := btrfs.Identity{}
			if i > 0 {
				at = is[i-1]
			}
			is[i], err = stream.Apply(t.Context(), &b, dir, at, stream.Rules{})
			must(err)
		}
		return parts[0], done, n
	}
	var before *os.File
	for i, s := range sent {
		part, done, n := pass(from.store, i, before)
		defer done()
		if want := []int{size, change, change}[i]; n < want || n > want+want/4 {
			t.Errorf("snapshot %d: %d bytes were sent for %d", i, n, want)
		}
		before = part.Dir
		must(c.Keep(s, []Received{{Part{"vol-data", "data", dir}, is[i]}}))
	}
	if err := c.Keep(sent[0], nil); err == nil {
		t.Error("a second one of the same name was kept")
	}
	must(c.Ready(), to.store.Settle(1, to.home(1)))

	list, err := to.store.List(1)
	must(err)
	if len(list) != 3 {
		t.Fatalf("there are %+v", list)
	}
	before = nil
	for i := range sent {
		got := list[len(list)-1-i]
		if got.ID != sent[i].ID || got.Note != "n" || got.Generation != 7 || !got.Taken.Equal(sent[i].Taken) ||
			got.Bytes() < size || got.Bytes() > size+int64(i+1)*change {
			t.Errorf("snapshot %d is %+v, it was %+v", i, got, sent[i])
		}
		text, err := os.ReadFile(filepath.Join(to.store.home(1), string(got.ID), "vol-data", "file"))
		if err != nil || !bytes.Equal(text, was[i]) {
			t.Errorf("snapshot %d holds something else: %v", i, err)
		}
		part, done, n := pass(to.store, i, before)
		defer done()
		if id, err := btrfs.SubvolumeIdentity(part.Dir); err != nil || id != is[i] || i > 0 && n > 2*change {
			t.Errorf("snapshot %d is %v, it was %v; %d bytes go on from the one before; %v", i, id, is[i], n, err)
		}
		before = part.Dir
	}
	now, err := os.Open(filepath.Join(to.home(1), "vol-data"))
	must(err)
	defer now.Close()
	counts, err := btrfs.SubvolumeBytes(now)
	if err != nil || counts < size+2*change || counts > size+size/4 {
		t.Errorf("the volume counts %d bytes, %v", counts, err)
	}

	as := func(name string) string { return name }
	must(to.store.Prepare(1, 1, sent[0].ID, to.home(1), as), to.store.Ready(1), to.store.Settle(1, to.home(1)))
	back, err := os.Open(filepath.Join(to.home(1), "vol-data"))
	must(err)
	defer back.Close()
	if text, err := os.ReadFile(filepath.Join(back.Name(), "file")); err != nil || !bytes.Equal(text, was[0]) {
		t.Errorf("what is restored is something else: %v", err)
	}
	if n, err := btrfs.SubvolumeBytes(back); err != nil || n < counts-change || n > counts+change {
		t.Errorf("the restored volume counts %d bytes, %d before, %v", n, counts, err)
	}
}
