package retune

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/jem"
)

// small and large are a container in two sizes.
func small(id wire.CTID) host.Container {
	return host.Container{CTID: id, Generation: 1, Limits: host.Limits{MemoryMax: 128 << 20, CPUMHz: 400}}
}

func large(id wire.CTID) host.Container {
	return host.Container{CTID: id, Generation: 1, Limits: host.Limits{MemoryMax: 512 << 20, CPUMHz: 1600}}
}

// fake is JEM in the containers.
type fake struct {
	sync.Mutex
	calls   []wire.CTID
	open    int
	most    int
	takes   time.Duration
	answers []answer // of the calls, in order; then all is well
}

type answer struct {
	answered bool
	err      error
}

func (f *fake) call(ctx context.Context, id wire.CTID) (jem.Reply, bool, error) {
	f.Lock()
	f.calls = append(f.calls, id)
	f.open++
	f.most = max(f.most, f.open)
	var a answer
	if len(f.answers) > 0 {
		a, f.answers = f.answers[0], f.answers[1:]
	}
	f.Unlock()
	defer func() {
		f.Lock()
		f.open--
		f.Unlock()
	}()
	select {
	case <-time.After(f.takes):
	case <-ctx.Done():
		return jem.Reply{}, false, ctx.Err()
	}
	return jem.Reply{Message: fmt.Sprintf("told\x1b[2J %d", id)}, a.answered, a.err
}

// seen are the calls so far, and how many were open at most.
func (f *fake) seen() (calls []wire.CTID, most int) {
	f.Lock()
	defer f.Unlock()
	return slices.Clone(f.calls), f.most
}

// next sets what the next calls are answered.
func (f *fake) next(list ...answer) {
	f.Lock()
	defer f.Unlock()
	f.answers = list
}

// begin runs a Retuner in a bubble; end ends it.
func begin(f *fake, dir string) (r *Retuner, end func()) {
	r = New(dir, f.call, nil)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	return r, func() { cancel(); <-done }
}

// left is how many containers are to be asked.
func left(dir string) (n int) {
	list, _ := os.ReadDir(dir)
	for _, e := range list {
		if !strings.HasSuffix(e.Name(), ".knows") {
			n++
		}
	}
	return n
}

func TestResized(t *testing.T) {
	dir := t.TempDir() + "/resized"
	synctest.Test(t, func(t *testing.T) {
		f := &fake{takes: time.Minute}
		r, end := begin(f, dir)
		defer end()
		for range 3 { // three in a row are one
			r.Resizing(small(101))
			r.Resized(small(101))
		}
		time.Sleep(30 * time.Second)
		if left(dir) != 1 {
			t.Error("nothing is kept while it is asked")
		}
		r.Resized(small(101)) // meanwhile: once more
		time.Sleep(3 * time.Minute)
		calls, _ := f.seen()
		if d := r.Of(101); !slices.Equal(calls, []wire.CTID{101, 101}) || d.Message != "told [2J 101" || d.Failed || d.At == 0 {
			t.Errorf("%v, %+v", calls, d)
		}
		if left(dir) != 0 {
			t.Error("something is kept after the answer")
		}
		for id := wire.CTID(1); id < 9; id++ {
			r.Resized(small(id))
		}
		time.Sleep(10 * time.Minute)
		if calls, most := f.seen(); most != atOnce || len(calls) != 10 {
			t.Errorf("%d at once, %d in all", most, len(calls))
		}
		r.Resizing(small(1))
		r.Resized(small(1))
		r.Forget(1)
		time.Sleep(10 * time.Minute)
		if calls, _ := f.seen(); len(calls) != 10 || r.Of(1).At != 0 || left(dir) != 0 {
			t.Errorf("one that is gone: %v, %+v, %d kept", calls, r.Of(1), left(dir))
		}
	})
}

// TestFails: what JEM refuses is said; what could not be asked is tried again, not for ever.
func TestFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		none := answer{false, errors.New("it does not run")}
		f := &fake{answers: []answer{{true, errors.New("no\n" + strings.Repeat("x", 600))}}}
		r, end := begin(f, t.TempDir())
		defer end()
		r.Resized(small(101))
		time.Sleep(time.Hour)
		calls, _ := f.seen()
		if d := r.Of(101); len(calls) != 1 || !d.Failed || len(d.Message) != most || !strings.HasPrefix(d.Message, "no x") {
			t.Errorf("refused: %v, %+v", calls, d)
		}
		f.next(none, none)
		r.Resized(small(101))
		time.Sleep(time.Hour)
		calls, _ = f.seen()
		if d := r.Of(101); len(calls) != 4 || d.Failed {
			t.Errorf("at the third time: %v, %+v", calls, d)
		}
		f.next(slices.Repeat([]answer{none}, tries)...)
		r.Resized(small(101))
		time.Sleep(time.Hour)
		calls, _ = f.seen()
		if d := r.Of(101); len(calls) != 4+tries || !d.Failed || d.Message != "it does not run" {
			t.Errorf("never: %v, %+v", calls, d)
		}
	})
}

// TestStarted: a container that was resized while it did not run is asked when it runs again, and no other one.
func TestStarted(t *testing.T) {
	dir := t.TempDir() + "/resized"
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		r, end := begin(f, dir)
		start := func(c host.Container) {
			r.Starting(c)
			r.Started(c)
			time.Sleep(time.Hour)
		}
		asked := func(what string, want int) {
			t.Helper()
			if calls, _ := f.seen(); len(calls) != want || left(dir) != 0 {
				t.Errorf("%s: asked %d times, want %d; %d are left", what, len(calls), want, left(dir))
			}
		}
		start(small(101))
		start(small(101))
		asked("of the same size", 0)
		next := small(101)
		next.Generation = 2
		start(next)
		r.Restored(101, false)
		start(small(101))
		asked("with a new layer, that of another time; nothing was ever told", 0)
		start(large(101))
		asked("resized while it did not run", 1)
		start(large(101))
		asked("of the new size", 1)
		f.next(slices.Repeat([]answer{{false, errors.New("it does not run")}}, tries)...)
		r.Resizing(small(101))
		r.Resized(small(101))
		time.Sleep(time.Hour)
		asked("resized and stopped at once", 1+tries)
		start(small(101))
		asked("and started again", 2+tries)
		r.Starting(large(101))
		end() // this agent ends while the container is being started
		r, end = begin(f, dir)
		time.Sleep(time.Hour)
		asked("by the next agent", 3+tries)
		start(large(101))
		asked("and not twice", 3+tries)
		next = large(101)
		next.Generation = 2
		start(next)
		asked("with a new layer, which does not know what was told", 4+tries)
		r.Restored(101, false)
		start(next)
		asked("with the files of another time", 5+tries)
		start(next)
		asked("and not twice", 5+tries)
		start(small(102))
		r.Restored(102, true)
		asked("not before it runs", 5+tries)
		start(small(102))
		asked("with another container's files, though it was never told", 6+tries)
		start(small(102))
		asked("and not twice", 6+tries)
		r.Forget(102)
		r.Forget(101)
		end()
		if list, _ := os.ReadDir(dir); len(list) != 0 {
			t.Errorf("of one that is gone there is %v", list)
		}
	})
}

// TestMoved: a container that was resized while it was stopped, and then moved, is asked where it starts; so is one whose call was not
// answered before; one that knows its size is not, nor one that was never told and keeps its size.
func TestMoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		old, endOld := begin(f, t.TempDir())
		defer endOld()
		next, endNext := begin(f, t.TempDir())
		defer endNext()
		start := func(r *Retuner, c host.Container) {
			r.Starting(c)
			r.Started(c)
			time.Sleep(time.Hour)
		}
		asked := func(what string, want int) {
			t.Helper()
			if calls, _ := f.seen(); len(calls) != want {
				t.Errorf("%s: asked %d times, want %d", what, len(calls), want)
			}
		}
		move := func(from, to *Retuner) {
			to.Came(101, from.Known(101))
			from.Forget(101)
		}
		start(old, small(101))
		move(old, next)
		start(next, small(101))
		asked("never resized", 0)
		move(next, old)
		start(old, large(101))
		asked("resized while stopped, then moved", 1)
		move(old, next)
		start(next, large(101))
		asked("moved with what it was told", 1)
		f.next(slices.Repeat([]answer{{false, errors.New("it does not run")}}, tries)...)
		next.Resizing(small(101))
		next.Resized(small(101))
		time.Sleep(time.Hour)
		asked("stopped before it answered", 1+tries)
		move(next, old)
		start(old, small(101))
		asked("and moved", 2+tries)
		old.Came(101, "")
		start(old, large(101))
		asked("come again from a host that knows nothing of it", 2+tries)
	})
}

// TestNext: what an agent that ended left undone is asked by the next one.
func TestNext(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		f := &fake{takes: time.Hour}
		r, end := begin(f, dir)
		r.Resizing(small(101))
		r.Resized(small(101))
		time.Sleep(time.Minute)
		end()
		r.Resizing(small(102))
		os.WriteFile(dir+"/no number", nil, 0o600)
		f.takes = 0 // no call is open
		r, end = begin(f, dir)
		defer end()
		time.Sleep(time.Minute)
		calls, _ := f.seen()
		slices.Sort(calls)
		if !slices.Equal(calls, []wire.CTID{101, 101, 102}) || r.Of(102).At == 0 {
			t.Errorf("%v, %+v", calls, r.Of(102))
		}
	})
	if err := os.WriteFile(dir+"/file", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	New(dir+"/file", nil, nil).Resizing(small(1)) // nothing can be kept there: it says so, and goes on
}
