package move

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hardnode.dev/agent/move/talk"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/move"
)

// last ends a move: the container stops only once its host was told.
func (p *pair) last() {
	p.t.Helper()
	p.phase(move.Last, 0)
	p.from.disk.with(func() { p.from.disk.runs = false })
	p.eventually("it has arrived", func() bool { return p.to.state().Arrived })
	var want, got map[string]string
	p.from.disk.with(func() { want = maps.Clone(p.from.disk.has) })
	p.to.disk.with(func() { got = maps.Clone(p.to.disk.has) })
	if !maps.Equal(got, want) {
		p.t.Errorf("%d volumes are there, they are not what they were", len(got))
	}
	if got, want := p.to.size.Known(101), p.from.size.Known(101); got != want {
		p.t.Errorf("its servers are said to know of %q, want %q", got, want)
	}
	p.sameSnapshots()
	p.eventually("the host that gave it says so", func() bool { s := p.from.state(); return s.Arrived && s.Phase == move.Last })
}

// sameSnapshots: both hosts have the container's own, and they hold the same.
func (p *pair) sameSnapshots() {
	p.t.Helper()
	is := func(s *side) (out string) {
		s.disk.with(func() {
			for _, id := range slices.Sorted(maps.Keys(s.disk.kept)) {
				out += fmt.Sprint(id, s.disk.kept[id], slices.Contains(s.disk.own, id), "\n")
			}
		})
		return out
	}
	if got, want := is(p.to), is(p.from); got != want {
		p.t.Errorf("its snapshots are\n%.2000s\nwant\n%.2000s", got, want)
	}
}

// TestSnapshots: the container's own snapshots come along, whichever are taken and deleted meanwhile, and none is sent twice.
func TestSnapshots(t *testing.T) {
	p := newPair(t)
	d := p.from.disk
	p.from.size.Came(101, "memory 1 told")
	big := strings.Repeat("x", 200_000)
	d.with(func() { d.runs, d.has = true, map[string]string{"": "layer", "data": big, "old": "o"} })
	d.take("20261101-000001")
	d.with(func() { d.has["data"] = big + "y"; delete(d.has, "old") })
	d.take("20261101-000002")
	d.take("20261101-000003")
	p.phase(move.Copy, 0)
	p.eventually("it comes", func() bool { return p.to.state().Round > 0 })
	p.sameSnapshots()
	d.take("20261102-000001")
	d.drop("20261101-000002")
	p.eventually("it is ready", func() bool { return p.to.state().Ready })
	var sent int64
	d.with(func() { sent, d.has["data"] = d.sent, "z"; d.has["old"] = "again" })
	d.take("20261103-000001")
	d.drop("20261101-000003")
	d.drop("20261101-000001") // and another one has its name
	d.take("20261101-000001")
	p.last()
	if d.with(func() { sent = d.sent - sent }); sent > int64(len(big))*3 {
		t.Errorf("%d bytes were sent for the last state", sent)
	}
}

// TestSnapshotGone: one that is deleted while it is sent does not come, and the container does.
func TestSnapshotGone(t *testing.T) {
	p := newPair(t)
	d := p.from.disk
	d.with(func() { d.runs, d.has = true, map[string]string{"data": strings.Repeat("x", 600_000)} })
	d.take("20261101-000001")
	d.take("20261101-000002")
	p.phase(move.Copy, 500_000)
	p.eventually("it comes", func() bool { var n int64; d.with(func() { n = d.sent }); return n > 100_000 })
	d.drop("20261101-000001")
	p.phase(move.Copy, 0)
	p.last()
}

// TestRate: a copy with a rate takes at least the time that it says, and at no moment more than a tenth beyond it has come: one large
// volume, and many small ones and snapshots, each of which is a stream of its own.
func TestRate(t *testing.T) {
	const rate, all, piece = 500_000, 600_000, 50_000 // bytes a second, bytes, and bytes that may go at once
	for _, parts := range []int{1, 60} {
		t.Run(fmt.Sprint(parts, " volumes"), func(t *testing.T) {
			p := newPair(t)
			d := p.from.disk
			d.with(func() {
				for i := range parts {
					d.has[fmt.Sprint("v", i)] = strings.Repeat(string(rune('a'+i)), all/parts)
				}
			})
			c := &clocked{}
			p.through = func(conn net.Conn) net.Conn { c.Conn = conn; return c }
			p.phase(move.Copy, rate)
			p.eventually("it comes", func() bool { return p.to.state().Round > 0 })
			c.mu.Lock()
			defer c.mu.Unlock()
			if n := c.came[len(c.came)-1]; n.bytes < all {
				t.Fatalf("%d bytes came of %d", n.bytes, all)
			}
			for _, at := range c.came {
				if may := int64(1.1*rate*at.after.Seconds()) + piece + 20_000; at.bytes > may { // what is no stream: questions, answers
					t.Fatalf("%s after its first question %d bytes had come, more than %d", at.after, at.bytes, may)
				}
				if at.bytes >= all {
					if least := time.Second * (all - piece) / rate; at.after < least {
						t.Errorf("%d bytes came within %s, want %s at least", at.bytes, at.after, least)
					}
					break
				}
			}
		})
	}
}

// clocked is a connection that notes how much has come, and how long after its first question.
type clocked struct {
	net.Conn
	mu    sync.Mutex
	began time.Time
	came  []came
}

type came struct {
	after time.Duration
	bytes int64
}

func (c *clocked) Write(b []byte) (int, error) {
	c.mu.Lock()
	if c.began.IsZero() {
		c.began = time.Now()
	}
	c.mu.Unlock()
	return c.Conn.Write(b)
}

func (c *clocked) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	sum := int64(n)
	if k := len(c.came); k > 0 {
		sum += c.came[k-1].bytes
	}
	c.came = append(c.came, came{time.Since(c.began), sum})
	return n, err
}

// TestUnready: what is here as a whole and can't get its place is not pulled again.
func TestUnready(t *testing.T) {
	p := newPair(t)
	p.from.disk.with(func() { p.from.disk.has = map[string]string{"data": "x"} })
	p.from.disk.take("20261101-000001")
	p.to.disk.with(func() { p.to.disk.unready = 1 })
	p.phase(move.Copy, 0)
	p.last()
	p.eventually("its pull has ended", func() bool { p.to.mu.Lock(); defer p.to.mu.Unlock(); return len(p.to.mu.pulls) == 0 })
	p.sameSnapshots()
}

// TestOldAsker: a host that would not take snapshots along gets none of the container, and is told why.
func TestOldAsker(t *testing.T) {
	p := newPair(t)
	p.from.disk.with(func() { p.from.disk.has = map[string]string{"data": "x"} })
	p.from.disk.take("20261101-000001")
	p.from.work.is(ct(move.From, other, move.Copy, 0))
	conn, err := p.dial(other, 101, "m1")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	talk.Write(conn, talk.Ask{})
	var a talk.Answer
	if err := talk.Read(conn, &a); err != nil || a.Head != nil || !strings.Contains(a.Refused, "it has 1 snapshots") {
		t.Errorf("%+v, %v", a, err)
	}
}

func TestFits(t *testing.T) {
	if err := fits(5<<30, 5<<30); err != nil {
		t.Error(err)
	}
	err := fits(5<<30+1, 1<<30)
	if err == nil || !strings.Contains(err.Error(), "it has 5121 MiB with its snapshots, and 1024 MiB are free") {
		t.Error(err)
	}
}

// TestMove: all, then what changes, then the last state of what is stopped; volumes come and go meanwhile.
func TestMove(t *testing.T) {
	p := newPair(t)
	d := p.from.disk
	d.with(func() {
		d.runs, d.has = true, map[string]string{"": "layer", "data": strings.Repeat("x", 1<<20), "old": "o"}
	})
	p.phase(move.Copy, 0)
	p.eventually("it is ready", func() bool { return p.to.state().Ready })
	if s := p.to.state(); s.Arrived || s.Phase != move.Copy || s.Round < 2 || s.Bytes < 2<<20 {
		t.Errorf("%+v", s)
	}
	d.with(func() { d.has["data"], d.has["new"] = "y", "n"; delete(d.has, "old") })
	p.phase(move.Last, 0)
	time.Sleep(50 * time.Millisecond)
	if p.to.state().Arrived {
		t.Fatal("it has arrived while it runs")
	}
	p.last()
	p.from.work.is()
	p.eventually("nothing is kept to be given", func() bool { ids, _ := d.Given(); return len(ids) == 0 })
}

// cutting is a connection that ends after so many bytes.
type cutting struct {
	net.Conn
	left *atomic.Int64
}

func (c cutting) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.left.Add(-int64(n)) < 0 {
		c.Close()
		return n, io.ErrUnexpectedEOF
	}
	return n, err
}

// TestCut: what came before a cut is not sent again.
func TestCut(t *testing.T) {
	p := newPair(t)
	text := make([]byte, 4<<20)
	rnd := rand.NewChaCha8([32]byte{1})
	rnd.Read(text)
	var cuts atomic.Int64
	var got atomic.Int64
	p.through = func(c net.Conn) net.Conn {
		left := &atomic.Int64{}
		left.Store(int64(300<<10 + cuts.Add(1)*1237))
		return counted{cutting{c, left}, &got}
	}
	d := p.from.disk
	d.with(func() { d.has = map[string]string{"": "layer", "data": string(text)} })
	p.phase(move.Copy, 0)
	p.eventually("it is all there", func() bool { return p.to.state().Round > 0 })
	if n := got.Load(); n > 6<<20 {
		t.Errorf("%d bytes came for %d, with %d connections", n, len(text), cuts.Load())
	}
	if cuts.Load() < 10 {
		t.Errorf("only %d connections", cuts.Load())
	}
	p.through = func(c net.Conn) net.Conn { return c }
	p.last()
}

type counted struct {
	net.Conn
	n *atomic.Int64
}

func (c counted) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.n.Add(int64(n))
	return n, err
}

// changing is a connection whose bytes another one changes, once.
type changing struct {
	net.Conn
	n     *atomic.Int64
	where int64
}

func (c changing) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if at := c.n.Add(int64(n)); n > 0 && at-int64(n) <= c.where && at > c.where {
		b[n-1] ^= 1
	}
	return n, err
}

// TestLog: what the container wrote comes along, over cuts; what can't be kept of it keeps nothing back.
func TestLog(t *testing.T) {
	for name, deaf := range map[string]bool{"it comes": false, "it can not be kept": true} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t)
			text := strings.Repeat("1764279303000000 o a line\n", 20_000)
			p.from.disk.with(func() { p.from.disk.has, p.from.disk.log = map[string]string{"data": "x"}, text })
			p.to.disk.with(func() { p.to.disk.deaf = deaf })
			var cuts atomic.Int64
			p.through = func(c net.Conn) net.Conn {
				left := &atomic.Int64{}
				left.Store(100_000 + cuts.Add(1)*1237)
				return cutting{c, left}
			}
			p.phase(move.Copy, 0)
			p.last()
			var got string
			p.to.disk.with(func() { got = p.to.disk.log })
			if deaf && got != "" || !deaf && (got != text || cuts.Load() < 4) {
				t.Errorf("%d of %d bytes are there, after %d connections", len(got), len(text), cuts.Load())
			}
		})
	}
}

// TestChanged: wherever a byte is changed, what arrives is what was.
func TestChanged(t *testing.T) {
	for _, where := range []int64{0, 5, 300, 2000, 100_000, 400_000} {
		p := newPair(t)
		n := &atomic.Int64{}
		p.through = func(c net.Conn) net.Conn { return changing{c, n, where} }
		d := p.from.disk
		d.with(func() { d.has = map[string]string{"data": strings.Repeat("abc", 150_000)} })
		p.phase(move.Copy, 0)
		p.last()
		p.from.stop()
		p.to.stop()
	}
}

// TestOthers: nobody but the host that Work names gets anything, and only of that container and move.
func TestOthers(t *testing.T) {
	p := newPair(t)
	p.from.disk.with(func() { p.from.disk.has = map[string]string{"data": "secret"} })
	p.from.work.is(ct(move.From, other, move.Copy, 0))
	for _, c := range []struct {
		by wire.HostID
		of wire.CTID
		id string
	}{{"h-000000000003", 101, "m1"}, {one, 101, "m1"}, {other, 102, "m1"}, {other, 101, "m2"}, {other, 101, ""}} {
		conn, err := p.dial(c.by, c.of, c.id)
		if err != nil {
			t.Fatal(err)
		}
		var a talk.Answer
		talk.Write(conn, talk.Ask{})
		if err := talk.Read(conn, &a); err != nil || a.Refused == "" || a.Head != nil {
			t.Errorf("%+v: %+v, %v", c, a, err)
		}
		conn.Close()
	}
	p.to.work.is(ct(move.To, one, move.Copy, 0)) // once it is the one, it is given, and then not any more
	p.eventually("it comes", func() bool { return p.to.state().Round > 0 })
	p.from.work.is(ct(move.From, "h-000000000003", move.Copy, 0))
	p.eventually("it is refused", func() bool { return strings.Contains(p.to.state().Error, "does not go to host") })
}

// TestFull: a host without room says so, keeps nothing, and goes on when there is some.
func TestFull(t *testing.T) {
	p := newPair(t)
	p.from.disk.with(func() { p.from.disk.has = map[string]string{"data": "x"} })
	p.to.disk.with(func() { p.to.disk.full = true })
	p.phase(move.Copy, 0)
	p.eventually("it says so", func() bool { return strings.Contains(p.to.state().Error, "no space left") })
	p.eventually("nothing is kept while it waits to try again", func() (nothing bool) {
		p.to.disk.with(func() { nothing = p.to.disk.copies == 0 })
		return nothing
	})
	p.to.disk.with(func() { p.to.disk.full = false })
	p.eventually("it comes", func() bool { return p.to.state().Round > 0 && p.to.state().Error == "" })
}

// TestClosed: a host that takes nothing new says so, and nothing comes; what is stopped for its last state comes all the same.
func TestClosed(t *testing.T) {
	p := newPair(t)
	p.from.disk.with(func() { p.from.disk.has = map[string]string{"data": "x"} })
	p.to.disk.with(func() { p.to.disk.closed = errors.New("this host takes no new containers") })
	p.phase(move.Copy, 0)
	p.eventually("it says so", func() bool { return strings.Contains(p.to.state().Error, "takes no new containers") })
	if s := p.to.state(); s.Round > 0 {
		t.Errorf("it comes: %+v", s)
	}
	p.last()
}

// TestEndless: a stream without an end is ended.
func TestEndless(t *testing.T) {
	was := spare
	spare = 1 << 20
	defer func() { spare = was }()
	p := newPair(t)
	p.from.disk.with(func() {
		p.from.disk.has, p.from.disk.endless = map[string]string{"": strings.Repeat("x", 100_000)}, true
	})
	p.phase(move.Copy, 0)
	p.eventually("it is ended", func() bool { return strings.Contains(p.to.state().Error, "it has more than") })
	p.to.stop()
	if p.to.disk.copies != 0 {
		t.Errorf("%d halves are kept", p.to.disk.copies)
	}
}

// TestEnds: whichever agent ends, and where, the next one goes on, and nothing is left of what did not arrive.
func TestEnds(t *testing.T) {
	p := newPair(t)
	d := p.from.disk
	text := string(bytes.Repeat([]byte("0123456789"), 60_000))
	d.with(func() { d.runs, d.has = true, map[string]string{"data": text} })
	p.phase(move.Copy, 2<<20)
	p.eventually("it comes", func() bool { var n int64; d.with(func() { n = d.sent }); return n > 100_000 })
	p.to.stop()
	if p.to.disk.copies != 0 {
		t.Errorf("%d halves are kept", p.to.disk.copies)
	}
	p.start(p.to)
	p.eventually("it is there", func() bool { return p.to.state().Round > 0 })
	p.from.stop()
	p.start(p.from)
	p.last()
	p.to.stop()
	p.start(p.to)
	p.eventually("it is known to have arrived", func() bool { return p.to.state().Arrived })
}

// TestGivenUp: out of the Work of the host that it goes to, nothing is left there.
func TestGivenUp(t *testing.T) {
	p := newPair(t)
	d := p.from.disk
	d.with(func() { d.runs, d.has = true, map[string]string{"data": "x"} })
	p.phase(move.Copy, 0)
	p.eventually("it comes", func() bool { return p.to.state().Round > 0 })
	p.to.work.is()
	p.eventually("nothing is left", func() bool {
		n := 1
		p.to.disk.with(func() { n = p.to.disk.copies })
		return n == 0 && p.to.States()[101] == nil
	})
	if err := p.to.Forget(101); err != nil {
		t.Error(err)
	}
	p.phase(move.Copy, 0)
	p.eventually("it comes again", func() bool { return p.to.state().Round > 0 })
	if err := p.to.Forget(101); err != nil { // while it comes
		t.Error(err)
	}
}

// TestRecalled: a host that was told Last and is told Copy again says so, and then it does not arrive, however ready all is; or it has.
func TestRecalled(t *testing.T) {
	p := newPair(t)
	d := p.from.disk
	d.with(func() { d.runs, d.has = true, map[string]string{"data": "x"} })
	p.phase(move.Copy, 0)
	p.eventually("it comes", func() bool { return p.to.state().Round > 0 })
	p.phase(move.Last, 0)
	p.eventually("it waits for the last state", func() bool { return p.to.state().Phase == move.Last })
	p.to.work.is(ct(move.To, one, move.Copy, 0))
	d.with(func() { d.runs = false })
	p.eventually("it says one or the other", func() bool { s := p.to.state(); return s.Phase == move.Copy || s.Arrived })
	if s := p.to.state(); !s.Arrived { // what it waited for may have come first
		p.eventually("it goes on copying", func() bool { return p.to.state().Round > s.Round })
		if s := p.to.state(); s.Arrived {
			t.Errorf("it has arrived all the same: %+v", s)
		}
	}
	p.last()
}

// TestMost: while two others come to a host, or leave one, a container waits and says so; one that is stopped waits for none.
func TestMost(t *testing.T) {
	for name, full := range map[string]func(*pair, bool){
		"others come": func(p *pair, full bool) {
			p.to.mu.Lock()
			defer p.to.mu.Unlock()
			for id := range wire.CTID(move.Most) {
				if delete(p.to.mu.coming, id); full {
					p.to.mu.coming[id] = true
				}
			}
		},
		"others leave": func(p *pair, full bool) {
			p.from.mu.Lock()
			defer p.from.mu.Unlock()
			for id := range wire.CTID(move.Most) {
				if delete(p.from.mu.conns, id); full {
					p.from.mu.conns[id] = &net.TCPConn{}
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t)
			p.from.disk.with(func() { p.from.disk.has = map[string]string{"data": "x"} })
			full(p, true)
			p.phase(move.Copy, 0)
			p.eventually("it waits", func() bool { return p.to.state().Waits })
			if s := p.to.state(); s.Round > 0 || s.Error != "" {
				t.Errorf("%+v", s)
			}
			full(p, false)
			p.eventually("it comes", func() bool { s := p.to.state(); return s.Round > 0 && !s.Waits })
			full(p, true)
			p.last()
		})
	}
}

func TestReady(t *testing.T) {
	const s = time.Second
	for _, c := range []struct {
		done []round
		want bool
	}{
		{nil, false},
		{[]round{{1, 0}}, false},
		{[]round{{100, 9 * s}, {1, s / 2}}, true},
		{[]round{{100, 9 * s}, {50, 5 * s}, {40, 4 * s}, {30, 3 * s}, {20, 2 * s}}, false},
		{[]round{{100, 9 * s}, {20, 5 * s}, {20, 4 * s}, {20, 3 * s}}, false},
		{[]round{{100, 9 * s}, {20, 5 * s}, {20, 4 * s}, {20, 3 * s}, {20, 3 * s}}, true},
	} {
		if got := ready(c.done); got != c.want {
			t.Errorf("%v: %v", c.done, got)
		}
	}
}
