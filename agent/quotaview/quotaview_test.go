package quotaview

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"hardnode.dev/agent/sys"
)

func TestAnswer(t *testing.T) {
	const mib = 1 << 20
	for name, c := range map[string]struct {
		block, limit, used int64
		want               string // blocks, free
	}{
		"nothing used":            {4096, 64 * mib, 0, "16384 16384"},
		"some":                    {4096, 64 * mib, 16 * mib, "16384 12288"},
		"part of a block":         {4096, 64 * mib, 1, "16384 16383"},
		"full":                    {4096, 64 * mib, 64 * mib, "16384 0"},
		"full but for a part":     {4096, 64 * mib, 64*mib - 4095, "16384 0"},
		"full but for a block":    {4096, 64 * mib, 64*mib - 4096, "16384 1"},
		"above the quota":         {4096, 64 * mib, 65 * mib, "16384 0"},
		"far above it":            {4096, 1, math.MaxInt64, "1 0"},
		"counted below nothing":   {4096, 64 * mib, -4096, "16384 16384"},
		"no quota":                {4096, 0, mib, "none"},
		"no quota, said so":       {4096, -1, mib, "none"},
		"a byte":                  {4096, 1, 0, "1 0"},
		"a block":                 {4096, 4096, 0, "1 1"},
		"a block and a byte":      {4096, 4097, 0, "2 1"},
		"the largest":             {4096, math.MaxInt64, 0, "2251799813685248 2251799813685247"},
		"blocks of 64 KiB":        {65536, 64 * mib, mib, "1024 1008"},
		"blocks of a byte":        {1, 10, 3, "10 7"},
		"blocks of unknown sizes": {0, 64 * mib, 0, "none"},
	} {
		a, ok := Space{Block: c.block, Limit: c.limit, Used: c.used}.answer()
		got := fmt.Sprint(a.Blocks, a.Free)
		if !ok {
			got = "none"
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
		if a.Free > a.Blocks {
			t.Errorf("%s: more free than there is", name)
		}
	}
}

// fake is the kernel's table.
type fake struct {
	mu     sync.Mutex
	table  map[sys.StatfsKey]sys.StatfsAnswer
	calls  int
	full   bool
	closed bool
}

func (f *fake) Set(k sys.StatfsKey, a sys.StatfsAnswer) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	if _, ok := f.table[k]; f.full && !ok {
		return errors.New("table is full")
	}
	f.table[k] = a
	return nil
}

func (f *fake) Drop(k sys.StatfsKey) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	delete(f.table, k)
	return nil
}

func (f *fake) Close() { f.closed = true }

func (f *fake) String() string {
	var list []string
	for k, a := range f.table {
		list = append(list, fmt.Sprintf("%d/%d: %d-%d", k.Cgroup, k.FSID, a.Blocks, a.Free))
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

// space is one of 64 blocks of 4 KiB.
func space(cgroup, fsid uint64, used int64) Space {
	return Space{Cgroup: cgroup, FSID: fsid, Block: 4096, Limit: 64 * 4096, Used: used * 4096}
}

// running gives a View that runs, within synctest, on a fake.
func running(t *testing.T, attach func() (program, error)) (v *View, log *bytes.Buffer, end func()) {
	log = &bytes.Buffer{}
	v = New(2, slog.New(slog.NewTextHandler(log, nil)))
	v.attach = attach
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- v.Run(ctx) }()
	return v, log, func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("ended with %v", err)
		}
	}
}

func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{table: map[sys.StatfsKey]sys.StatfsAnswer{}}
		attached := 0
		v, log, end := running(t, func() (program, error) { attached++; return f, nil })
		for i, step := range []struct {
			all   []Space
			full  bool
			want  string // cgroup/fsid: blocks-free
			calls int
		}{
			{nil, false, "", 0},
			{[]Space{{Cgroup: 1, FSID: 1, Block: 4096}}, false, "", 0}, // no quota: nothing is loaded
			{[]Space{space(1, 1, 4), space(1, 2, 0), space(2, 1, 64)}, false, "1/1: 64-60 1/2: 64-64 2/1: 64-0", 3},
			{[]Space{space(1, 1, 4), space(1, 2, 0), space(2, 1, 64)}, false, "1/1: 64-60 1/2: 64-64 2/1: 64-0", 0},
			{[]Space{space(1, 1, 5), space(2, 1, 64)}, false, "1/1: 64-59 2/1: 64-0", 2},
			{[]Space{space(1, 1, 5), space(3, 1, 1)}, true, "1/1: 64-59", 2},
			{[]Space{space(1, 1, 5), space(3, 1, 1)}, true, "1/1: 64-59", 1},
			{[]Space{space(1, 1, 5), space(3, 1, 1)}, false, "1/1: 64-59 3/1: 64-63", 1},
			{nil, false, "", 2},
		} {
			f.full, f.calls = step.full, 0
			v.Show(step.all)
			synctest.Wait()
			if f.String() != step.want || f.calls != step.calls {
				t.Errorf("step %d: %q in %d calls, want %q in %d", i, f, f.calls, step.want, step.calls)
			}
			if want := min(i/2, 1); attached != want {
				t.Errorf("step %d: loaded %d times, want %d", i, attached, want)
			}
		}
		end()
		if !f.closed {
			t.Error("the program is not closed at the end")
		}
		if n := strings.Count(log.String(), "\n"); n != 1 || !strings.Contains(log.String(), "table is full") {
			t.Errorf("a full table was said in %d lines, want one: %s", n, log)
		}
	})
}

// A kernel that can't is said once, and keeps nobody waiting.
func TestRunWithoutProgram(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		attached := 0
		v, log, end := running(t, func() (program, error) { attached++; return nil, errors.New("operation not permitted") })
		for range 5 {
			v.Show([]Space{space(1, 1, 0)})
			synctest.Wait()
		}
		end()
		if attached != 1 || strings.Count(log.String(), "\n") != 1 || !strings.Contains(log.String(), "not permitted") {
			t.Errorf("tried %d times, said: %s", attached, log)
		}
	})
}
