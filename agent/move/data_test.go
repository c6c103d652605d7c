package move

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hardnode.dev/agent/container"
	"hardnode.dev/agent/move/talk"
	"hardnode.dev/agent/snapshot"
	"hardnode.dev/internal/disk/btrfs"
	"hardnode.dev/internal/testkit/loop"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/move"
	wiresnapshot "hardnode.dev/internal/wire/snapshot"
)

// real is the Data of a host whose containers do not run: what they have lies on a btrfs of its own.
type real struct {
	*Data
	*testing.T
	at    string
	snaps *snapshot.Store
}

func (r *real) Holding(context.Context, wire.CTID, func(*container.Hold) error) error { return nil }
func (r *real) Snapshots() *snapshot.Store                                            { return r.snaps }
func (r *real) Home(id wire.CTID) string                                              { return filepath.Join(r.at, "ct", id.String()) }
func (r *real) LogDir(id wire.CTID) string                                            { return filepath.Join(r.at, "log", id.String()) }

func (r *real) must(errs ...error) {
	r.Helper()
	if err := errors.Join(errs...); err != nil {
		r.Fatal(err)
	}
}

func newReal(t *testing.T, bytes int64) *real {
	r := &real{T: t, at: loop.Btrfs(t, bytes)}
	r.must(os.Mkdir(filepath.Join(r.at, "ct"), 0o755))
	r.agent()
	return r
}

// agent is what an agent does when it starts.
func (r *real) agent() {
	r.snaps = snapshot.Open(r.at)
	d, err := OpenData(r, r.at)
	r.must(r.snaps.SweepAll(), err)
	r.Data = d
}

// parts opens what the container has.
func (r *real) parts() (list []snapshot.Part, meta wiresnapshot.Snapshot, done func()) {
	entries, err := os.ReadDir(r.Home(101))
	r.must(err)
	for _, e := range entries {
		p := snapshot.Part{Name: e.Name()}
		if v, ok := strings.CutPrefix(e.Name(), "vol-"); ok {
			p.Volume = v
		} else {
			fmt.Sscanf(e.Name(), "layer-%d", &meta.Generation)
		}
		p.Dir, err = os.Open(filepath.Join(r.Home(101), e.Name()))
		r.must(err)
		list = append(list, p)
	}
	return list, meta, func() {
		for _, p := range list {
			p.Dir.Close()
		}
	}
}

// Take is as the Data's own, of a container that does not run.
func (r *real) Take(_ context.Context, id wire.CTID, base wiresnapshot.ID, last bool) (*talk.Head, error) {
	parts, meta, done := r.parts()
	defer done()
	h, err := r.taken(id, meta, parts, nil, base)
	if err == nil {
		h.Last = last
	}
	return h, err
}

// keep takes one of the container's own snapshots.
func (r *real) keep(note string) wiresnapshot.ID {
	parts, meta, done := r.parts()
	defer done()
	meta.Note = note
	s, err := r.snaps.Take(101, meta, parts, nil, time.Now())
	r.must(err)
	return s.ID
}

// make makes a subvolume of the container.
func (r *real) make(name string) {
	r.must(os.MkdirAll(r.Home(101), 0o700))
	home, err := os.Open(r.Home(101))
	r.must(err)
	defer home.Close()
	r.must(btrfs.CreateSubvolume(home, name))
}

// write writes so many random bytes into a file of the container.
func (r *real) write(name string, at, n int64) {
	f, err := os.OpenFile(filepath.Join(r.Home(101), name), os.O_CREATE|os.O_WRONLY, 0o600)
	r.must(err)
	b := make([]byte, n)
	rand.Read(b)
	_, err = f.WriteAt(b, at)
	r.must(err, f.Close())
}

// same tells whether what lies in both places is the same, subvolumes, folders and files.
func same(t *testing.T, here, there string) {
	t.Helper()
	list := func(at string) (all []string) {
		if err := filepath.WalkDir(at, func(path string, d os.DirEntry, err error) error {
			if err == nil && !d.IsDir() && d.Name() != "meta.json" {
				var b []byte
				b, err = os.ReadFile(path)
				all = append(all, fmt.Sprintf("%s %d %x", strings.TrimPrefix(path, at), len(b), identity(string(b)).UUID))
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return all
	}
	if a, b := list(here), list(there); !slices.Equal(a, b) {
		t.Errorf("there is\n%s\nwant\n%s", strings.Join(b, "\n"), strings.Join(a, "\n"))
	}
}

// TestData: a container goes from one btrfs to another with its snapshots, over cuts, an agent that is ended in the middle, and a redeploy;
// it costs about what is unique in all of them. What has no room, or is given up, leaves nothing.
func TestData(t *testing.T) {
	from, to := newReal(t, 512<<20), newReal(t, 512<<20)
	const size, change = 4 << 20, 128 << 10
	from.make("vol-data")
	from.make("layer-1")
	from.write("vol-data/big", 0, size)
	from.write("layer-1/own", 0, change)
	from.keep("whole")
	from.write("vol-data/big", 1<<20, change)
	gone := from.keep("changed")
	home, err := os.Open(from.Home(101))
	from.must(err)
	defer home.Close()
	from.must(btrfs.DeleteSubvolume(home, "layer-1")) // it was deployed anew
	from.make("layer-2")
	from.write("layer-2/own", 0, change)
	from.keep("redeployed")
	from.write("vol-data/big", 2<<20, change)

	p := &pair{t: t, from: &side{id: one, work: &work{}, real: from}, to: &side{id: other, work: &work{}, real: to}}
	var total, cuts atomic.Int64
	p.through = func(c net.Conn) net.Conn {
		left := &atomic.Int64{}
		left.Store(1<<20 + cuts.Add(1)*1237)
		return counted{cutting{c, left}, &total}
	}
	p.start(p.from)
	p.start(p.to)
	phase := func(ph move.Phase) {
		set := func(r move.Role, peer wire.HostID) host.Container {
			c := ct(r, peer, ph, 0)
			c.Generation, c.Limits.DiskBytes, c.Volumes[0].Bytes = 2, 8<<20, 8<<20
			return c
		}
		p.from.work.is(set(move.From, other))
		p.to.work.is(set(move.To, one))
	}
	phase(move.Copy)
	p.eventually("a snapshot has come", func() bool { list, _ := to.snaps.List(101); return len(list) > 0 })
	p.to.stop()
	if list, _ := to.snaps.List(101); len(list) > 0 {
		t.Errorf("%v are left of what did not arrive", list)
	}
	left, err := to.snaps.Coming(101) // as of an agent that was killed
	to.must(err, left.Keep(wiresnapshot.Snapshot{ID: "20200101-000000"}, nil))
	to.agent()
	total.Store(0)
	p.start(p.to)
	p.eventually("it comes", func() bool { return p.to.state().Round > 0 })
	if n := total.Load(); n < size || n > size+8*change || cuts.Load() < 4 {
		t.Errorf("%d bytes came for %d, over %d connections", n, size+4*change, cuts.Load())
	}
	_, err = from.snaps.Delete(101, gone)
	from.must(err)
	from.write("vol-data/big", 3<<20, change)
	from.keep("late")
	from.write("vol-data/last", 0, change)
	phase(move.Last)
	p.eventually("it has arrived", func() bool { return p.to.state().Arrived })
	same(t, from.Home(101), to.Home(101))
	same(t, filepath.Join(from.at, "snap/101"), filepath.Join(to.at, "snap/101"))
	list, err := to.snaps.List(101)
	to.must(err)
	var notes []string
	for _, s := range list {
		notes = append(notes, s.Note)
	}
	if !slices.Equal(notes, []string{"late", "redeployed", "whole"}) {
		t.Errorf("the snapshots are %q", notes)
	}
	p.from.work.is()
	p.eventually("nothing is kept to be given", func() bool { ids, _ := from.Given(); return len(ids) == 0 })
}

// TestDataRoom: a host without room for all of a container says how much that is, keeps nothing, and takes it when there is less.
func TestDataRoom(t *testing.T) {
	from, to := newReal(t, 512<<20), newReal(t, 160<<20)
	from.make("vol-data")
	from.write("vol-data/big", 0, 64<<20)
	id := from.keep("before")
	from.write("vol-data/big", 0, 96<<20)
	p := &pair{t: t, through: func(c net.Conn) net.Conn { return c }}
	p.from, p.to = &side{id: one, work: &work{}, real: from}, &side{id: other, work: &work{}, real: to}
	p.start(p.from)
	p.start(p.to)
	p.phase(move.Copy, 0)
	p.eventually("it is refused", func() bool { return strings.Contains(p.to.state().Error, "it has 161 MiB with its snapshots, and ") })
	if list, _ := os.ReadDir(filepath.Join(to.at, "snap")); len(list) != 0 || p.to.state().Round > 0 {
		t.Errorf("%v is there, %+v", list, p.to.state())
	}
	_, err := from.snaps.Delete(101, id)
	from.must(err)
	from.write("vol-data/big", 0, 32<<20)
	from.must(os.Truncate(filepath.Join(from.Home(101), "vol-data/big"), 32<<20))
	p.eventually("it comes", func() bool { return p.to.state().Round > 0 && p.to.state().Error == "" })
}
