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
		hears := func(within time.Duration) string {
			t.Helper()
			b := make([]byte, 100)
			init.SetReadDeadline(time.Now().Add(within))
			n, err := init.Read(b)
			if err != nil {
				return ""
			}
			return string(b[:n])
		}
		const long, short = 20 * time.Second, 4 * beatEvery
		var taken atomic.Uint64
		var hangs atomic.Bool
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- beat(ctx, taken.Load, func() bool { return !hangs.Load() }) }()
		if got := hears(long); got != daemon.SdNotifyReady {
			t.Errorf("older %t: first it hears %q", older, got)
		}
		if older {
			for range 3 {
				if got := hears(long); got != daemon.SdNotifyWatchdog {
					t.Errorf("an older init hears %q", got)
				}
			}
		} else {
			if got := hears(short); got != "" {
				t.Errorf("nobody asks, and it hears %q", got)
			}
			taken.Add(1)
			if got := hears(long); got != daemon.SdNotifyWatchdog {
				t.Errorf("somebody asks, and it hears %q", got)
			}
		}
		hangs.Store(true)
		for hears(2*beatEvery) != "" { // what was on its way
		}
		taken.Add(1)
		if got := hears(short); got != "" {
			t.Errorf("older %t: an answer takes long, and it hears %q", older, got)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}
