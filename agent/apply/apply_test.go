package apply

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"hardnode.dev/agent/container"
	"hardnode.dev/agent/desired"
	"hardnode.dev/agent/fetch"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

var (
	imgA = wire.Digest("sha256:" + strings.Repeat("a", 64))
	imgB = wire.Digest("sha256:" + strings.Repeat("b", 64))
)

// agent is an Applier at work on the world.
type agent struct {
	*Applier
	store *desired.Store
	stop  func()
}

func (w *world) agent(t *testing.T, dir string) agent {
	t.Helper()
	store, err := desired.Open(dir, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	a := New(Options{Store: store, Runtime: w, Images: w, Network: w, MHz: 2000, Names: w.name, Servers: servers{w}, Check: w.check,
		Moves:    &w.moves,
		Pressure: func() host.Pressure { return w.pressure }, Closed: w.full, Root: func() (string, error) { return "/dev/loop0", nil },
		Identity: func(id wire.CTID) (string, error) { return "/sock", nil }, Forget: func(wire.CTID) {},
		Self: func() (wire.HostID, host.Role) { return "h-0", host.RoleUser }, Addrs: func(context.Context) []netip.Addr { return nil }})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	stop := sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(stop)
	return agent{a, store, stop}
}

func ct(id wire.CTID, gen int64) host.Container {
	return host.Container{CTID: id, Env: "hello", Hostname: fmt.Sprintf("node%d", id), Generation: gen, Run: true,
		Image:   host.Image{Name: "nginx", Digest: imgA},
		Process: host.Process{Argv: []string{"/bin/true"}}, Profile: host.ProfileApp, IPv4: netip.AddrFrom4([4]byte{10, 96, 1, byte(id)}),
		Limits: host.Limits{MemoryMax: 128 << 20, CPUMHz: 400}}
}

var revision wire.Revision

func (a agent) want(t *testing.T, cs ...host.Container) wire.Revision {
	t.Helper()
	revision++
	if err := a.store.Accept(host.Assignment{Work: &host.Work{Version: 1, Revision: revision, Containers: cs}}); err != nil {
		t.Fatal(err)
	}
	return revision
}

func states(r Report) string {
	var out []string
	for _, s := range r.Containers {
		out = append(out, fmt.Sprintf("%d %s", s.CTID, s.State))
	}
	return strings.Join(out, ", ")
}

func expect(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s:\n got %s\nwant %s", what, got, want)
	}
}

// in runs f in a bubble where time passes when everybody waits.
func in(t *testing.T, f func(t *testing.T, w *world, dir string)) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) { f(t, newWorld(), dir) })
}

// DNS is told whenever there are other names, also when Peers are the same but for them, and only then.
func TestNamesAreTold(t *testing.T) {
	in(t, func(t *testing.T, w *world, dir string) {
		a := w.agent(t, dir)
		for i, n := range []*host.NamesChange{{}, nil, {Accounts: []host.AccountNames{{Account: "admin", To: 5,
			Zones: []host.Zone{{Env: "web", Sum: 5, Nodes: []host.Name{{Name: "node7.web.internal"}}}}}}}} {
			change := host.Assignment{Names: n}
			if i == 0 {
				change.PeersChange = &host.PeersChange{To: 1, Head: 1, Peers: host.Peers{Version: 1, Revision: 9}}
			}
			if err := a.store.Accept(change); err != nil {
				t.Fatal(err)
			}
			time.Sleep(3 * time.Second)
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if !slices.Equal(w.named, []int{0, 1}) {
			t.Errorf("DNS was told names %d times: %v, want none and then one", len(w.named), w.named)
		}
		if a.Report().Peers != 9 {
			t.Errorf("the peers applied are %d", a.Report().Peers)
		}
	})
}

func TestLifeOfAContainer(t *testing.T) {
	in(t, func(t *testing.T, w *world, dir string) {
		a := w.agent(t, dir)
		time.Sleep(3 * time.Second)
		expect(t, "without work", w.log(), "")
		c := ct(101, 1)
		c.Image.Digest = imgB
		rev := a.want(t, c)
		time.Sleep(3 * time.Second)
		expect(t, "done", w.log(), "fetch, start 101/1")
		expect(t, "states", states(a.Report()), "101 running")
		if r := a.Report(); r.Work != rev || r.Containers[0].MemoryBytes != 1<<20 || !slices.Equal(w.attached, []wire.CTID{101}) {
			t.Errorf("got %+v, attached %v", r, w.attached)
		}
		c.Limits.MemoryMax, c.Limits.CPUMHz = 512<<20, 1600
		a.want(t, c)
		time.Sleep(3 * time.Second)
		if r := a.Report(); r.Containers[0].Tuned.Message != "told" {
			t.Errorf("after the resize: %+v", r.Containers[0])
		}
		c.Generation = 2
		a.want(t, c)
		time.Sleep(3 * time.Second)
		c.Run = false
		a.want(t, c)
		time.Sleep(3 * time.Second)
		rev = a.want(t)
		time.Sleep(3 * time.Second)
		expect(t, "done", w.log(), "fetch, start 101/1, resize 101 to 512 MiB, 80000 µs, stop 101, start 101/2, "+
			"stop 101, remove 101 keep=false")
		if r := a.Report(); r.Work != rev || len(r.Containers) != 0 {
			t.Errorf("at the end: got %+v, want nothing at revision %d", r, rev)
		}
		expect(t, "servers", strings.Join(w.asks, ", "), "starting 101 of 128 MiB, started 101 of 128 MiB, resizing 101, "+
			"resized 101, starting 101 of 512 MiB, started 101 of 512 MiB, forget 101")
	})
}

// Each container is answered for by itself: what one of them is stuck in says nothing of another, and what a step is still at work on is
// not gone, though nobody sees it.
func TestPlannedForOneByOne(t *testing.T) {
	in(t, func(t *testing.T, w *world, dir string) {
		a := w.agent(t, dir)
		a.want(t, ct(102, 1))
		time.Sleep(3 * time.Second)
		w.mu.Lock()
		w.startTakes[101] = 40 * time.Second
		w.mu.Unlock()
		first := a.want(t, ct(101, 1), ct(102, 1))
		time.Sleep(3 * time.Second)
		if r := a.Report(); r.Planned != first || r.Work == first || states(r) != "101 waiting, 102 running" {
			t.Errorf("while one starts: got %+v, want planned for %d", r, first)
		}
		last := a.want(t)
		time.Sleep(3 * time.Second)
		if r := a.Report(); r.Planned != last || r.Work == last || states(r) != "101 stopping" {
			t.Errorf("a start that is under way, wanted no more: got %+v, want planned for %d and 101 there", r, last)
		}
		time.Sleep(time.Minute)
		if r := a.Report(); r.Planned != last || r.Work != last || len(r.Containers) != 0 {
			t.Errorf("at the end: got %+v, want nothing", r)
		}
		expect(t, "done", w.log(), "start 102/1, stop 102, remove 102 keep=false, start 101/1, stop 101, remove 101 keep=false")
	})
}

func TestRestartedAgentTouchesNothing(t *testing.T) {
	in(t, func(t *testing.T, w *world, dir string) {
		a := w.agent(t, dir)
		rev := a.want(t, ct(101, 1), ct(102, 1))
		time.Sleep(3 * time.Second)
		a.stop()
		before := w.log()
		b := w.agent(t, dir)
		time.Sleep(30 * time.Second)
		expect(t, "done by the second agent", w.log(), before)
		if r := b.Report(); r.Work != rev || states(r) != "101 running, 102 running" {
			t.Errorf("got %+v", r)
		}
	})
}

func TestLostStateTouchesNothing(t *testing.T) {
	in(t, func(t *testing.T, w *world, dir string) {
		a := w.agent(t, dir)
		a.want(t, ct(101, 1))
		time.Sleep(3 * time.Second)
		a.stop()
		if err := os.WriteFile(dir+"/work.json", []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		before := w.log()
		b := w.agent(t, dir)
		time.Sleep(time.Minute)
		expect(t, "done without a readable assignment", w.log(), before)
		if r := b.Report(); len(r.Problems) != 1 || states(r) != "101 running" {
			t.Errorf("got %+v, want the container reported and one problem", r)
		}
	})
}

// A public address that the host can't answer for is said, and the container runs.
func TestRefusedAddressIsSaid(t *testing.T) {
	in(t, func(t *testing.T, w *world, dir string) {
		a, c := w.agent(t, dir), ct(101, 1)
		c.Addresses = []netip.Addr{netip.MustParseAddr("203.0.113.1")}
		a.want(t, c)
		time.Sleep(3 * time.Second)
		r := a.Report()
		if len(r.Problems) != 1 || states(r) != "101 running" {
			t.Fatalf("got %+v, want the container running and one problem", r)
		}
		p := r.Problems[0]
		if p.Object != host.AddressObject(c.Addresses[0]) || p.CTID != 101 || !strings.Contains(p.Reason, "it is the gateway") ||
			!strings.Contains(p.Next, "hnctl node address list 101") {
			t.Errorf("got %+v", p)
		}
		c.Addresses, c.Generation = nil, 2
		a.want(t, c)
		time.Sleep(time.Minute)
		if r := a.Report(); len(r.Problems) != 0 {
			t.Errorf("got %+v once the address is gone", r.Problems)
		}
	})
}

func TestSlowContainerHoldsNobodyUp(t *testing.T) {
	in(t, func(t *testing.T, w *world, dir string) {
		w.startTakes[101], w.startTakes[102] = 40*time.Second, 40*time.Second
		a := w.agent(t, dir)
		a.want(t, ct(101, 1), ct(102, 1), ct(103, 1), ct(104, 1))
		time.Sleep(5 * time.Second)
		if got := w.log(); !strings.Contains(got, "start 103/1") || !strings.Contains(got, "start 104/1") || strings.Contains(got, "101") {
			t.Errorf("after 5 s: got %s, want 103 and 104 started beside 101 and 102", got)
		}
		expect(t, "states", states(a.Report()), "101 waiting, 102 waiting, 103 running, 104 running")
	})
}

func TestCrashes(t *testing.T) {
	in(t, func(t *testing.T, w *world, dir string) {
		a := w.agent(t, dir)
		a.want(t, ct(101, 1))
		time.Sleep(time.Minute)
		w.end(101, 137) // after a long run: at once
		time.Sleep(100 * time.Millisecond)
		expect(t, "after one crash", w.log(), "start 101/1, start 101/1")
		w.mu.Lock()
		w.lives[101] = 100 * time.Millisecond
		w.mu.Unlock()
		w.end(101, 1)
		time.Sleep(2 * time.Minute)
		if n := strings.Count(w.log(), "start"); n < 7 || n > 14 {
			t.Errorf("a container that dies at once was started %d times in two minutes, want a growing back-off (7–14)", n)
		}
		r := a.Report()
		if s := r.Containers[0]; s.State != host.CtFailing || !strings.Contains(s.Reason, "exited with code 1") || s.Restarts < 6 {
			t.Errorf("got %+v", s)
		}
		if r.Work == 0 {
			t.Error("a failing container keeps the revision from being applied")
		}
		w.mu.Lock()
		w.lives[101] = 0
		w.mu.Unlock()
		time.Sleep(time.Minute)
		expect(t, "states in the end", states(a.Report()), "101 running")
	})
}

// TestSockets: a component is started with the sockets that it is to have, each time, and they are not kept open here.
func TestSockets(t *testing.T) {
	in(t, func(t *testing.T, w *world, dir string) {
		a := w.agent(t, dir)
		c := ct(8, 1)
		c.Env, c.Component, c.Sockets = "jelastic", host.ComponentNetboot, host.NetbootSockets("eth1")
		a.want(t, c)
		time.Sleep(time.Minute)
		w.end(8, 1)
		time.Sleep(3 * time.Second)
		const once = "open udp 67 on eth1, open udp 69 on eth1, open udp 4011 on eth1, open tcp 7448 on eth1, start 8/1"
		expect(t, "done", w.log(), once+", "+once)
		for _, f := range w.opened {
			if f.Close() == nil {
				t.Error("a socket is still open here")
			}
		}
	})
}

func TestStartErrors(t *testing.T) {
	in(t, func(t *testing.T, w *world, dir string) {
		w.startErr[101] = fmt.Errorf("no such program: %w", container.ErrInvalid)
		w.startErr[102] = errors.New("no memory")
		a := w.agent(t, dir)
		a.want(t, ct(101, 1), ct(102, 1))
		time.Sleep(time.Minute)
		expect(t, "states", states(a.Report()), "101 broken, 102 failing")
		if n := strings.Count(w.log(), "start 101 fails"); n != 1 {
			t.Errorf("what can't work was tried %d times, want once", n)
		}
		w.mu.Lock()
		clear(w.startErr)
		w.mu.Unlock()
		a.want(t, ct(101, 2), ct(102, 1))
		time.Sleep(time.Minute)
		expect(t, "states after the cause is gone", states(a.Report()), "101 running, 102 running")
	})
}

// TestClosed: a host that has no room for new containers keeps those that it has, and takes new ones again later.
func TestClosed(t *testing.T) {
	in(t, func(t *testing.T, w *world, dir string) {
		a := w.agent(t, dir)
		a.want(t, ct(101, 1))
		time.Sleep(time.Minute)
		w.mu.Lock()
		w.closed = errors.New("this host takes no new containers")
		w.mu.Unlock()
		a.want(t, ct(101, 2), ct(102, 1))
		time.Sleep(time.Minute)
		expect(t, "states", states(a.Report()), "101 running, 102 failing")
		if why := a.Report().Containers[1].Reason; !strings.Contains(why, "this host takes no new containers") {
			t.Errorf("the reason is %q", why)
		}
		w.mu.Lock()
		w.closed = nil
		w.mu.Unlock()
		time.Sleep(5 * time.Minute)
		expect(t, "states when there is room", states(a.Report()), "101 running, 102 running")
	})
}

// TestSlowLook: a start that ends while the loop looks is not made again from what the loop saw before.
func TestSlowLook(t *testing.T) {
	in(t, func(t *testing.T, w *world, dir string) {
		// the start ends in the middle of the look that begins a second after it
		w.lookTakes, w.startTakes[101] = 3*time.Second, 2*time.Second
		a := w.agent(t, dir)
		a.want(t, ct(101, 1))
		time.Sleep(time.Minute)
		expect(t, "done", w.log(), "start 101/1")
		expect(t, "states", states(a.Report()), "101 running")
	})
}

func TestFetchErrors(t *testing.T) {
	in(t, func(t *testing.T, w *world, dir string) {
		c, d := ct(101, 1), ct(102, 1)
		c.Image.Digest = imgB
		w.fetchErr[imgB] = &fetch.WrongError{Image: c.Image, Source: "registry", Why: "its content has another digest"}
		a := w.agent(t, dir)
		a.want(t, c, d)
		time.Sleep(5 * time.Second)
		r := a.Report()
		expect(t, "states", states(r), "101 broken, 102 running")
		if !strings.Contains(r.Containers[0].Reason, "its content has another digest; push the template again") {
			t.Errorf("reason: got %q", r.Containers[0].Reason)
		}
		w.mu.Lock()
		w.fetchErr[imgB] = errors.New("registry away")
		w.mu.Unlock()
		time.Sleep(time.Minute)
		expect(t, "states while the registry is away", states(a.Report()), "101 waiting, 102 running")
		w.mu.Lock()
		delete(w.fetchErr, imgB)
		w.mu.Unlock()
		time.Sleep(time.Minute)
		expect(t, "states in the end", states(a.Report()), "101 running, 102 running")
	})
}

// TestWrongImageForgotten: once nobody wants an image whose content was wrong, the next one who does is not told the old story.
func TestWrongImageForgotten(t *testing.T) {
	in(t, func(t *testing.T, w *world, dir string) {
		c, next := ct(101, 1), ct(103, 1)
		c.Image.Digest, next.Image.Digest = imgB, imgB
		w.fetchErr[imgB] = &fetch.WrongError{Image: c.Image, Source: "registry", Why: "its content has another digest"}
		a := w.agent(t, dir)
		a.want(t, c)
		time.Sleep(5 * time.Second)
		expect(t, "states", states(a.Report()), "101 broken")
		a.want(t)
		time.Sleep(2 * time.Second)
		w.mu.Lock()
		delete(w.fetchErr, imgB)
		w.mu.Unlock()
		a.want(t, next)
		time.Sleep(2 * time.Second)
		expect(t, "states of the next", states(a.Report()), "103 running")
	})
}

func TestChecks(t *testing.T) {
	in(t, func(t *testing.T, w *world, dir string) {
		w.checkErr = errors.New("connection refused")
		a := w.agent(t, dir)
		c := ct(101, 1)
		c.Check = &host.Check{Port: 80}
		a.want(t, c)
		set := func(err error) { w.mu.Lock(); w.checkErr = err; w.mu.Unlock() }
		time.Sleep(5 * time.Second)
		expect(t, "at first", states(a.Report()), "101 starting")
		time.Sleep(20 * time.Second)
		expect(t, "never well", states(a.Report()), "101 failing")
		set(nil)
		time.Sleep(3 * time.Second) // it is asked at ease by now
		expect(t, "well", states(a.Report()), "101 running")
		set(errors.New("connection refused"))
		time.Sleep(3 * time.Second)
		expect(t, "one failure", states(a.Report()), "101 running")
		time.Sleep(10 * time.Second)
		expect(t, "three failures", states(a.Report()), "101 failing")
		expect(t, "done", w.log(), "start 101/1")
	})
}

// TestAdoptedContainerStaysWell: a restarted agent does not report a container as starting that served all along.
func TestAdoptedContainerStaysWell(t *testing.T) {
	in(t, func(t *testing.T, w *world, dir string) {
		a := w.agent(t, dir)
		c := ct(101, 1)
		c.Check = &host.Check{Port: 80}
		a.want(t, c)
		time.Sleep(time.Minute)
		a.stop()
		b := w.agent(t, dir)
		<-b.First()
		expect(t, "the first report", states(b.Report()), "101 running")
		w.mu.Lock()
		w.checkErr = errors.New("connection refused")
		w.mu.Unlock()
		time.Sleep(15 * time.Second)
		expect(t, "when it does not serve any more", states(b.Report()), "101 failing")
	})
}

func TestCPUMax(t *testing.T) {
	for _, tt := range []struct{ ceiling, base, want int64 }{{400, 2000, 20_000}, {1600, 2000, 80_000}, {4000, 2000, 200_000}, {0, 2000, 0},
		{1, 4000, 1000}} {
		if got := cpuMax(tt.ceiling, tt.base); got != tt.want {
			t.Errorf("%d MHz of %d: got %d µs, want %d", tt.ceiling, tt.base, got, tt.want)
		}
	}
}
