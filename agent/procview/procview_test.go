package procview

import (
	"context"
	"net"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"hardnode.dev/internal/wire/boot"
)

// TestBeat: init hears of a program that is asked for something, and only then; an older one, which does not say that this is enough, hears
// of it always. Neither hears of one whose answers take long.
func TestBeat(t *testing.T) {
	for _, older := range []bool{false, true} {
		at := filepath.Join(t.TempDir(), "notify")
		init, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: at, Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		defer init.Close()
		t.Setenv("NOTIFY_SOCKET", at)
		t.Setenv(boot.WatchdogAsked, map[bool]string{false: "1", true: ""}[older])
		hears := func() string {
			t.Helper()
			b := make([]byte, 100)
			init.SetReadDeadline(time.Now().Add(time.Minute))
			n, err := init.Read(b)
			if err != nil {
				t.Fatal(err)
			}
			return string(b[:n])
		}
		var taken, looked, turned atomic.Uint64
		asked := make(chan struct{}, 1)
		ask := func() {
			taken.Add(1)
			select {
			case asked <- struct{}{}:
			default:
			}
		}
		var hangs atomic.Bool
		well := func() bool { turned.Add(1); return !hangs.Load() }
		// turns waits until three turns that begin from now on are over: what the one under way and they say is there then
		turns := func() {
			t.Helper()
			for from, end := turned.Load(), time.Now().Add(time.Minute); turned.Load() < from+4; time.Sleep(time.Millisecond) {
				if time.Now().After(end) {
					t.Fatal("it has no turns any more")
				}
			}
		}
		// said is all that init was told and has not heard.
		said := func() (all []string) {
			t.Helper()
			mark := &net.UnixAddr{Name: at, Net: "unixgram"}
			c, err := net.DialUnix("unixgram", nil, mark)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := c.Write([]byte("the end")); err != nil {
				t.Fatal(err)
			}
			for {
				text := hears()
				if text == "the end" {
					return all
				}
				all = append(all, text)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- beat(ctx, func() uint64 { looked.Add(1); return taken.Load() }, asked, well) }()
		if got := hears(); got != daemon.SdNotifyReady {
			t.Errorf("older %t: first it hears %q", older, got)
		}
		if older {
			for range 3 {
				if got := hears(); got != daemon.SdNotifyWatchdog {
					t.Errorf("an older init hears %q", got)
				}
			}
		} else {
			// the second look is when it sleeps
			for end := time.Now().Add(time.Minute); looked.Load() < 2; time.Sleep(time.Millisecond) {
				if time.Now().After(end) {
					t.Fatal("it looks at nothing any more")
				}
			}
			if got := said(); len(got) > 0 {
				t.Errorf("nobody asks, and it hears %q", got)
			}
			ask()
			if got := hears(); got != daemon.SdNotifyWatchdog {
				t.Errorf("somebody asks, and it hears %q", got)
			}
		}
		hangs.Store(true)
		if older {
			turns()
			said() // what was on its way
		}
		ask()
		turns()
		if got := said(); len(got) > 0 {
			t.Errorf("older %t: an answer takes long, and it hears %q", older, got)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}
