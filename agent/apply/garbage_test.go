package apply

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/wire"
)

// TestGarbage: when the disk runs full, images go that nothing needs; those stay that run, also what no work names any more, and those that
// work names, also what doesn't run.
func TestGarbage(t *testing.T) {
	in(t, func(t *testing.T, w *world, dir string) {
		imgC := wire.Digest("sha256:" + strings.Repeat("c", 64))
		have := func(what string, want ...wire.Digest) {
			t.Helper()
			w.mu.Lock()
			defer w.mu.Unlock()
			if got := slices.Sorted(maps.Keys(w.images)); !slices.Equal(got, want) {
				t.Errorf("%s: images %.70q, want %.70q", what, got, want)
			}
		}
		w.images = map[wire.Digest]bool{imgA: true, imgB: true, imgC: true}
		w.stopTakes = map[wire.CTID]time.Duration{101: 80 * time.Second}
		a := w.agent(t, dir)
		stopped := ct(102, 1)
		stopped.Image.Digest, stopped.Run = imgB, false
		a.want(t, ct(101, 1), stopped)
		time.Sleep(5 * time.Minute)
		have("there is room", imgA, imgB, imgC)
		a.want(t, stopped)
		w.mu.Lock()
		w.low = true
		w.mu.Unlock()
		time.Sleep(70 * time.Second)
		expect(t, "that is being removed", states(a.Report()), "101 stopping, 102 stopped")
		have("while one runs that is not wanted", imgA, imgB)
		time.Sleep(3 * time.Minute)
		have("when it is gone", imgB)
	})
}
