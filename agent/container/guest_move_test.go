//go:build guest

package container_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hardnode.dev/agent/container"
	"hardnode.dev/agent/move"
	"hardnode.dev/agent/snapshot/answer"
	"hardnode.dev/internal/disk/btrfs"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/testkit/ports"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	wiremove "hardnode.dev/internal/wire/move"
	wiresnapshot "hardnode.dev/internal/wire/snapshot"
)

// end is one host of a move: this machine, with data of its own.
type end struct {
	r *container.Runtime
	m *move.Mover

	mu   sync.Mutex
	work host.Container
}

func (e *end) is(c host.Container, p *wiremove.Part) {
	e.mu.Lock()
	defer e.mu.Unlock()
	c.Move = p
	e.work = c
}

func (e *end) get() *host.Work {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.work.CTID == 0 {
		return &host.Work{}
	}
	return &host.Work{Containers: []host.Container{e.work}}
}

func (e *end) state(id wire.CTID) (s wiremove.State) {
	if p := e.m.States()[id]; p != nil {
		s = *p
	}
	return s
}

// leaky is a connection that is cut after so many bytes, and counts them.
type leaky struct {
	net.Conn
	left  int64
	total *atomic.Int64
}

func (l *leaky) Read(b []byte) (int, error) {
	n, err := l.Conn.Read(b)
	l.total.Add(int64(n))
	if l.left -= int64(n); l.left < 0 {
		l.Close()
		return n, io.ErrUnexpectedEOF
	}
	return n, err
}

// cutInArrive lays the disk out as a kill leaves it that comes when all is there, and nothing of it in its place.
func cutInArrive(t *testing.T, r *container.Runtime, s container.StartSpec) {
	t.Helper()
	home, ready := r.Home(s.CTID), filepath.Join("/data/elsewhere/snap", s.CTID.String(), "ready")
	must(t, os.MkdirAll(ready, 0o700))
	parts, err := os.ReadDir(home)
	must(t, err)
	for _, p := range parts {
		must(t, os.Rename(filepath.Join(home, p.Name()), filepath.Join(ready, p.Name())))
	}
	must(t, os.Remove(filepath.Join("/data/elsewhere/move/in", s.CTID.String())))
	next, err := container.New(container.Options{DataDir: "/data/elsewhere", Log: logging.New(io.Discard, "test", slog.LevelInfo)})
	must(t, err)
	d, err := move.OpenData(next, "/data/elsewhere")
	must(t, err)
	for range 2 {
		if here, err := d.Arrived(s.CTID, "m1"); !here || err != nil {
			t.Fatalf("what had come is not known to have: %v, %v", here, err)
		}
	}
	if here, err := d.Arrived(s.CTID, "m2"); here || err != nil {
		t.Fatalf("another move has arrived: %v, %v", here, err)
	}
}

// sameSnapshots: both hosts have these of a container, the newest first, and streams go on from either's.
func sameSnapshots(t *testing.T, here, there *container.Runtime, id wire.CTID, want ...wiresnapshot.ID) {
	t.Helper()
	var ids []wiresnapshot.ID
	list, err := there.Snapshots().List(id)
	must(t, err)
	for _, s := range list {
		ids = append(ids, s.ID)
		was, err := here.Snapshots().Find(id, s.ID)
		must(t, err)
		if !s.Taken.Equal(was.Taken) || s.Note != was.Note || s.Image != was.Image || s.Generation != was.Generation || len(s.Parts) != 2 {
			t.Errorf("snapshot %+v was %+v", s, was)
		}
		identities := func(r *container.Runtime) (out string) {
			_, parts, done, err := r.Snapshots().Open(id, s.ID)
			must(t, err)
			defer done()
			for _, p := range parts {
				is, err := btrfs.SubvolumeIdentity(p.Dir)
				must(t, err)
				out += fmt.Sprintln(p.Name, is)
			}
			return out
		}
		if a, b := identities(here), identities(there); a != b {
			t.Errorf("snapshot %s is\n%swas\n%s", s.ID, b, a)
		}
	}
	if !slices.Equal(ids, want) {
		t.Errorf("its snapshots are %v, want %v", ids, want)
	}
}

// sizes is that nothing is known of what servers know.
type sizes struct{}

func (sizes) Known(wire.CTID) string { return "" }
func (sizes) Came(wire.CTID, string) {}

// TestMove: a container that is written to goes to another host over connections that are cut again and again: what there is arrives about
// once, its snapshots with it, and what it was when it was stopped runs there; nothing is left where it came from, nor of one that was
// given up or does not fit.
func TestMove(t *testing.T) {
	const id, h1, h2 = wire.CTID(531), wire.HostID("h-000000000001"), wire.HostID("h-000000000002")
	size := int64(2_000_000)
	if os.Getenv("HARDNODE_SOAK") != "" {
		size = 24_000_000
	}
	g := newRig(t)
	s := g.box(id, 3, 64*mib+2*size)
	log := logging.New(io.Discard, "test", slog.LevelInfo)
	must(t, os.MkdirAll("/data/elsewhere", 0o700))
	r2, err := container.New(container.Options{Log: log, DataDir: "/data/elsewhere"})
	must(t, err)
	from, to := &end{r: g.r}, &end{r: r2}
	ctx, stop := context.WithCancel(context.Background())
	var all sync.WaitGroup
	defer all.Wait()
	defer stop()
	var total, conns atomic.Int64
	each := size / 8
	for e, dir := range map[*end]string{from: "/data", to: "/data/elsewhere"} {
		d, err := move.OpenData(e.r, dir)
		must(t, err)
		e.m = move.New(move.Options{Work: e.get, Disk: d, Log: log, Sizes: func() move.Sizes { return sizes{} },
			Image: func(context.Context, host.Image) error { return nil },
			Dial: func(_ context.Context, _ wire.HostID, of wire.CTID, by string) (net.Conn, error) {
				l := ports.Listen(t)
				go func() {
					defer l.Close() // not before: it would end a connection that is not accepted yet
					if c, err := l.Accept(); err == nil {
						defer c.Close()
						from.m.Serve(ctx, c, of, by, h2)
					}
				}()
				c, err := net.Dial("tcp", l.Addr().String())
				if err != nil {
					return nil, err
				}
				return &leaky{c, each + 4099*conns.Add(1), &total}, nil
			}})
	}
	for _, e := range []*end{from, to} {
		all.Go(func() { e.m.Run(ctx) })
	}
	part := func(r wiremove.Role, peer wire.HostID, p wiremove.Phase) *wiremove.Part {
		return &wiremove.Part{ID: "m1", Role: r, Peer: peer, Phase: p}
	}
	eventually := func(what string, is func() bool) {
		t.Helper()
		for end := time.Now().Add(10 * time.Minute); !is(); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("not within ten minutes: %s; from %+v, to %+v", what, from.state(id), to.state(id))
			}
		}
	}
	_, err = g.r.Start(deadline(t), s)
	must(t, err)
	defer func() { must(t, g.r.Remove(deadline(t), id, false), r2.Remove(deadline(t), id, false)) }()
	const sums = "cd / && sha256sum top srv/big srv/d/x | sort; ls -a /srv /etc; stat -c '%n %u:%g %a' /srv/d/x; readlink /srv/link"
	g.sh(id, "echo own > /top; head -c "+strconv.FormatInt(size, 10)+" /dev/urandom > /srv/big; ln -s /etc/passwd /srv/link; "+
		"mkdir /srv/d; echo x > /srv/d/x; chown 33:34 /srv/d/x; chmod 4755 /srv/d/x; rm -f /etc/group")
	const big = "sha256sum /srv/big; cat /top"
	first, wasFirst := g.ask(id, wiresnapshot.Ask{Action: wiresnapshot.Take, Note: "first"}).Done, g.sh(id, big)
	g.sh(id, "dd if=/dev/urandom of=/srv/big bs=64k count=2 seek=3 conv=notrunc; echo second > /top")
	second := g.ask(id, wiresnapshot.Ask{Action: wiresnapshot.Take, Note: "second"}).Done

	// one that does not fit, and is given up
	small := s.Container
	small.Volumes = []host.Volume{{Name: "data", Path: "/srv", Bytes: 1}} // and what roomFor adds
	from.is(s.Container, part(wiremove.From, h2, wiremove.Copy))
	to.is(small, part(wiremove.To, h1, wiremove.Copy))
	eventually("it says that it does not fit", func() bool { return strings.Contains(to.state(id).Error, "quota exceeded") })
	to.is(host.Container{}, nil)
	eventually("its half is gone", func() bool {
		_, err := os.Lstat("/data/elsewhere/snap/531/coming")
		return errors.Is(err, os.ErrNotExist) && to.m.States()[id] == nil
	})

	left, err := r2.Snapshots().Coming(id) // as of an agent that was killed
	must(t, err, left.Keep(wiresnapshot.Snapshot{ID: "20200101-000000"}, nil), left.Drop())
	total.Store(0)
	conns.Store(0)
	to.is(s.Container, part(wiremove.To, h1, wiremove.Copy))
	eventually("it comes", func() bool { return to.state(id).Round > 0 })
	t.Logf("first round: %d bytes over %d connections", total.Load(), conns.Load())
	if n := total.Load(); n < size || n > size+size/2 || conns.Load() < 5 {
		t.Errorf("%d bytes came over %d connections for %d", n, conns.Load(), size)
	}
	each = 1 << 40
	g.sh(id, "echo more >> /top; rm /srv/link; ln -s x /srv/link; mv /srv/d/x /srv/d/y; cp -p /srv/d/y /srv/d/x; sync")
	third := g.ask(id, wiresnapshot.Ask{Action: wiresnapshot.Take, Note: "third"}).Done
	g.ask(id, wiresnapshot.Ask{Action: wiresnapshot.Delete, ID: second})
	eventually("it is ready", func() bool { return to.state(id).Ready })
	want := g.sh(id, sums)
	wrote, err := os.OpenFile(filepath.Join(g.r.LogDir(id), "log"), os.O_WRONLY|os.O_APPEND, 0)
	must(t, err)
	wrote.WriteString("1764279303000000 o here\n")
	must(t, wrote.Close())

	began := time.Now()
	from.is(s.Container, part(wiremove.From, h2, wiremove.Last))
	to.is(s.Container, part(wiremove.To, h1, wiremove.Last))
	must(t, g.r.Stop(deadline(t), id))
	stopped := time.Since(began)
	eventually("it has arrived", func() bool { return to.state(id).Arrived })
	arrived := time.Since(began)
	cutInArrive(t, r2, s)
	began = began.Add(time.Since(began) - arrived)
	_, err = r2.Start(deadline(t), s)
	must(t, err)
	t.Logf("stopped after %s, arrived after %s, runs after %s; last delta %d bytes", stopped, arrived, time.Since(began),
		to.state(id).Delta)
	there := &rig{T: t, r: r2}
	there.says(id, sums, want)
	var lines []string
	must(t, r2.Logs(deadline(t), id, host.LogsSpec{}, func(_ bool, text []byte) error { lines = append(lines, string(text)); return nil }))
	if !slices.Contains(lines, "here") {
		t.Errorf("its log is %q", lines)
	}
	there.sh(id, "echo there > /srv/new") // it counts: nothing more than the volume may have
	more := "dd if=/dev/zero of=/srv/fill bs=1M count=" + strconv.FormatInt(100+2*size>>20, 10)
	if got := there.sh(id, more+" 2>&1 | grep -c 'uota exceeded'; rm /srv/fill"); got != "1" {
		t.Errorf("its quota does not count: %s", got)
	}
	if there, _ := os.ReadDir("/data/elsewhere/snap/531"); len(there) != 2 {
		t.Errorf("%v are there beside its snapshots", there)
	}
	there.a = &answer.Answerer{Runtime: r2, Store: r2.Snapshots(), Log: log}
	sameSnapshots(t, g.r, r2, id, third, first)
	used := func() int64 {
		d, err := r2.Volume(id, "data")
		must(t, err)
		defer d.Close()
		n, err := btrfs.SubvolumeBytes(d)
		must(t, err)
		return n
	}
	there.ask(id, wiresnapshot.Ask{Action: wiresnapshot.Restore, ID: first})
	_, err = r2.Start(deadline(t), s)
	must(t, err)
	there.says(id, big, wasFirst)
	eventually("its quota counts what the snapshots hold, once", func() bool { n := used(); return n >= size && n < size+mib })
	from.is(host.Container{}, nil)
	eventually("nothing is left to be given", func() bool {
		_, err := os.Lstat("/data/move/out/531")
		return errors.Is(err, os.ErrNotExist)
	})
	must(t, to.m.Forget(id))
}
