package hot

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hardnode.dev/init/supervise"
	"hardnode.dev/internal/wire/boot"
)

// fake is a service. Its program of a root whose name begins with bad ends again and again.
type fake struct {
	sync.Mutex
	is      boot.ServiceStatus
	swapped *[]string
	bad     string
}

func (f *fake) Swap(_ context.Context, program string) error {
	f.Lock()
	defer f.Unlock()
	*f.swapped = append(*f.swapped, program)
	f.is.Program, f.is.State = program, supervise.Ready
	if f.bad != "" && strings.Contains(program, boot.RootsDir+"/"+f.bad) {
		f.is.State = supervise.Backoff
	}
	return nil
}

func (f *fake) Status() boot.ServiceStatus {
	f.Lock()
	defer f.Unlock()
	if f.is.State == supervise.Backoff {
		f.is.Restarts, f.is.LastExit = f.is.Restarts+1, "exit status 7"
	}
	return f.is
}

func (f *fake) end() {
	f.Lock()
	defer f.Unlock()
	f.is.State = supervise.Backoff
}

// world is a replacer of three services.
type world struct {
	*Replacer
	dir      string
	services map[string]*fake
	swapped  []string
}

func newWorld(t *testing.T) *world {
	w := &world{dir: t.TempDir(), services: map[string]*fake{}}
	for _, name := range []string{"netd", "spawner", "agent"} {
		f := &fake{swapped: &w.swapped}
		f.is = boot.ServiceStatus{Name: name, State: supervise.Ready, Program: "/image/usr/lib/hardnode/" + name}
		w.services[name] = f
	}
	w.Replacer = New(Options{Dir: w.dir, Tick: time.Millisecond, Say: t.Logf, Services: func(name string) Service {
		if s := w.services[name]; s != nil {
			return s
		}
		return nil
	}})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return w
}

// order makes a root and gives the order for it.
func (w *world) order(t *testing.T, release string) boot.HotOrder {
	t.Helper()
	o := boot.HotOrder{Release: release, Root: boot.RootsDir + "/" + release, Programs: []string{"netd", "spawner", "agent"}, WithinSec: 30}
	for _, name := range o.Programs {
		path := w.program(o, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return o
}

func (w *world) until(t *testing.T, want boot.HotState) *boot.Hot {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; {
		h := w.Status()
		w.mu.Lock()
		under := w.mu.under
		w.mu.Unlock()
		if h != nil && h.State == want && (want == boot.HotTrying || !under) {
			return h
		}
		if time.Now().After(end) {
			t.Fatalf("got %+v, want state %s", h, want)
		}
		<-time.After(time.Millisecond)
	}
}

func (w *world) programs() string {
	var all []string
	for _, p := range w.swapped {
		all = append(all, strings.TrimPrefix(p, w.dir+boot.RootsDir))
	}
	return strings.Join(all, " ")
}

func TestKept(t *testing.T) {
	w := newWorld(t)
	o := w.order(t, "2.0.0")
	if err := w.Order(o); err != nil {
		t.Fatal(err)
	}
	if err := w.Order(o); err != ErrBusy {
		t.Errorf("a second order at once: %v", err)
	}
	h := w.until(t, boot.HotTrying)
	if h.Runs != "" || h.Release != "2.0.0" {
		t.Errorf("while it is tried: %+v", h)
	}
	if err := w.Keep(boot.RootsDir + "/1.0.0"); err == nil {
		t.Error("programs of another root are kept")
	}
	for range 2 { // an agent that was started again says it once more
		if err := w.Keep(o.Root); err != nil {
			t.Error(err)
		}
	}
	if h = w.until(t, boot.HotKept); h.Runs != "2.0.0" || h.Reason != "" {
		t.Errorf("kept: %+v", h)
	}
	const d = "/usr/lib/hardnode/"
	if got, want := w.programs(), "/2.0.0"+d+"netd /2.0.0"+d+"spawner /2.0.0"+d+"agent"; got != want {
		t.Errorf("swapped %s, want %s", got, want)
	}
}

func TestBack(t *testing.T) {
	const d = "/usr/lib/hardnode/"
	for _, c := range []struct {
		name   string
		bad    string // service whose new program is bad from the beginning
		reason string
		back   []string
	}{
		{"a program ends again and again", "spawner", "spawner: ended 3 times, the last time: exit status 7", []string{"spawner", "netd"}},
		{"the agent ends while it is tried", "", "agent: ended", []string{"agent", "spawner", "netd"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			if c.bad != "" {
				w.services[c.bad].bad = "2"
			}
			if err := w.Order(w.order(t, "2.0.0")); err != nil {
				t.Fatal(err)
			}
			if c.bad == "" {
				w.until(t, boot.HotTrying)
				w.services["agent"].end()
			}
			h := w.until(t, boot.HotBack)
			if !strings.HasPrefix(h.Reason, c.reason) || h.Runs != "" {
				t.Errorf("got %+v, want reason %q", h, c.reason)
			}
			if err := w.Keep(h.Root); err == nil {
				t.Error("programs that were gone back from are kept")
			}
			var want []string
			for _, name := range c.back {
				want = append(want, "/image"+d+name)
			}
			if got := w.swapped[len(w.swapped)-len(want):]; !slices.Equal(got, want) {
				t.Errorf("went back to %q, want %q", got, want)
			}
		})
	}
}

// TestBackToWhatWasHot: who goes back from a second release runs the first one's programs again.
func TestBackToWhatWasHot(t *testing.T) {
	w := newWorld(t)
	first := w.order(t, "2.0.0")
	if err := w.Order(first); err != nil {
		t.Fatal(err)
	}
	w.until(t, boot.HotTrying)
	if err := w.Keep(first.Root); err != nil {
		t.Fatal(err)
	}
	w.until(t, boot.HotKept)
	w.services["netd"].bad = "3"
	if err := w.Order(w.order(t, "3.0.0")); err != nil {
		t.Fatal(err)
	}
	h := w.until(t, boot.HotBack)
	if got, want := w.swapped[len(w.swapped)-1], w.program(first, "netd"); got != want || h.Runs != "2.0.0" || h.Release != "3.0.0" {
		t.Errorf("went back to %s, %+v; want %s", got, h, want)
	}
}

func TestRefused(t *testing.T) {
	w := newWorld(t)
	good := w.order(t, "2.0.0")
	for i, c := range []struct {
		change func(*boot.HotOrder)
		want   string
	}{
		{func(o *boot.HotOrder) { o.Root = "/tmp/2.0.0" }, `root "/tmp/2.0.0": want a folder of /run/hardnode/roots`},
		{func(o *boot.HotOrder) { o.Root = boot.RootsDir + "/.." }, `root "/run/hardnode/roots/..": want a folder of`},
		{func(o *boot.HotOrder) { o.Root = boot.RootsDir + "/3.0.0" }, `programs: "netd" is no program of root`},
		{func(o *boot.HotOrder) { o.Programs = []string{"init"} }, `programs: "init" is no service that runs here`},
		{func(o *boot.HotOrder) { o.Programs = nil }, "programs: there are none"},
		{func(o *boot.HotOrder) { o.WithinSec = 5 }, "withinSec: 5, want 30 to 3600"},
		{func(o *boot.HotOrder) { o.Release = "" }, `release "": want`},
	} {
		o := good
		c.change(&o)
		if err := w.Order(o); err == nil || !strings.HasPrefix(fmt.Sprint(err), c.want) {
			t.Errorf("%d: got %v, want %s", i, err, c.want)
		}
	}
	if w.Status() != nil || len(w.swapped) > 0 {
		t.Errorf("something was begun: %+v %v", w.Status(), w.swapped)
	}
}
