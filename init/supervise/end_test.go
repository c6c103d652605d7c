package supervise

import (
	"fmt"
	"os"
	"os/signal"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// lives is a service whose lives differ: TEST_LIVES says how each of them goes, TEST_DIR counts them.
func lives() {
	dir := os.Getenv("TEST_DIR")
	before, err := os.ReadDir(dir)
	if err != nil || os.WriteFile(fmt.Sprintf("%s/%d", dir, len(before)), nil, 0o600) != nil {
		os.Exit(3)
	}
	kind := "too many"
	if all := strings.Fields(os.Getenv("TEST_LIVES")); len(before) < len(all) {
		kind = all[len(before)]
	}
	fmt.Println("life", len(before)+1, kind)
	stop := make(chan os.Signal, 1)
	if kind != "deaf" {
		signal.Notify(stop, unix.SIGTERM)
	}
	switch kind {
	case "crash":
		os.Exit(7)
	case "unready":
	default:
		notify("READY=1")
	}
	select {
	case <-stop:
	case <-time.After(time.Hour): // a timer: the runtime would call a deaf one's wait a deadlock, which may come before the signal
	}
	switch kind {
	case "dies":
		notify("EXTEND_TIMEOUT_USEC=20000000", "STATUS=at work")
		unix.Kill(os.Getpid(), unix.SIGKILL)
	case "fails":
		os.Exit(1)
	case "ends":
		notify("STATUS=all is done")
		os.Exit(0)
	}
	<-time.After(time.Hour) // "hangs", "unready"
}

// A service that has work to do at its end and dies over it is started once more, told to stop when it can hear it, and given the rest of
// its time; one that dies again, or has no such work, is not.
func TestEndIsTakenUpAgain(t *testing.T) {
	for _, c := range []struct {
		name, lives string
		stop, most  time.Duration
		want        []string // in this order
		count       int      // of lives
	}{
		{"ends at once", "ends", time.Minute, time.Minute, []string{"all is done"}, 1},
		{"killed once", "dies ends", time.Minute, time.Minute,
			[]string{"at work", "killed by SIGKILL; started again to end in order", "all is done"}, 2},
		{"killed twice", "dies dies ends", time.Minute, time.Minute, []string{"started again", "service lives: killed by SIGKILL"}, 2},
		{"killed before it could hear", "deaf ends", time.Minute, time.Minute,
			[]string{"killed by SIGTERM; started again", "all is done"}, 2},
		{"a part of it fails", "fails ends", time.Minute, time.Minute, []string{"exit status 1; started again", "all is done"}, 2},
		{"hangs", "hangs ends", time.Second, time.Minute, []string{"did not stop within 1s; killed; started again", "all is done"}, 2},
		{"away when the end comes", "crash crash crash ends", time.Minute, time.Minute,
			[]string{"not running; started again", "all is done"}, 4},
		{"never ready again", "dies unready ends", time.Minute, 4 * time.Second, []string{"started again", "did not stop within"}, 2},
		{"no time for another life", "hangs ends", time.Second, time.Second, []string{"did not stop within"}, 1},
		{"nothing to do at its end", "dies ends", time.Minute, 0, []string{"service lives: killed by SIGKILL"}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, dir := newWorld(t), t.TempDir()
			s := w.service("lives")
			s.Env = append(s.Env, "TEST_LIVES="+c.lives, "TEST_DIR="+dir)
			s.Stop, s.StopMost = c.stop, c.most
			h := w.Keep(w.ctx, s)
			if crashes := strings.Count(c.lives, "crash"); crashes > 0 {
				w.until(t, "exit status 7; started again in", crashes)
			} else {
				select {
				case <-h.Ready():
				case <-time.After(time.Minute):
					t.Fatal("never ready")
				}
			}
			began := time.Now()
			h.Stop()
			if took := time.Since(began); c.most > 0 && took > c.most+30*time.Second {
				t.Errorf("took %s of %s", took, c.most)
			}
			at := 0
			for _, line := range w.all() {
				if at < len(c.want) && strings.Contains(line, c.want[at]) {
					at++
				}
			}
			if at < len(c.want) {
				t.Errorf("never said %q after %q", c.want[at], c.want[:at])
			}
			if all, _ := os.ReadDir(dir); len(all) != c.count {
				t.Errorf("%d lives, want %d", len(all), c.count)
			}
			if st := w.Status()[0]; st.State != Stopped || st.PID != 0 {
				t.Errorf("in the end it is %+v", st)
			}
		})
	}
}
