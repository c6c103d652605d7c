package trial

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"hardnode.dev/internal/wire/boot"
)

// network is one that is told from others by its link's name.
func network(name string) boot.Network {
	return boot.Network{Links: []boot.Link{{Name: name, MAC: "52:54:00:aa:00:01", DHCP: true}}}
}

// host is a Keeper at work, and what it put in force last.
type host struct {
	*Keeper
	state atomic.Bool
	last  atomic.Value // string
	stop  func()
}

func start(t *testing.T, dir string, config string, state bool) *host {
	t.Helper()
	h := &host{}
	h.state.Store(state)
	h.Keeper = &Keeper{Config: network(config), Doc: Document(filepath.Join(dir, "network.json")),
		State: h.state.Load,
		Use: func(n boot.Network) error {
			h.last.Store(n.Links[0].Name)
			if n.Links[0].Name == "bad" {
				return errors.New("the card is gone")
			}
			return nil
		}}
	h.last.Store(h.Start().Links[0].Name)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	h.stop = func() { cancel(); <-done }
	return h
}

func (h *host) want(t *testing.T, name string, trial bool) {
	t.Helper()
	synctest.Wait()
	if s := h.Status(); h.last.Load() != name || (s.Trial != nil) != trial {
		t.Errorf("in force: %s, on trial: %v; want %s, %v", h.last.Load(), s.Trial != nil, name, trial)
	}
}

// TestTrial: what is not confirmed is over in time; what is confirmed outlives a power cut; a trial does not.
func TestTrial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		h := start(t, dir, "old0", true)
		h.want(t, "old0", false)
		if err := h.Try(network("new0"), 60); err != nil {
			t.Fatal(err)
		}
		h.want(t, "new0", true)
		time.Sleep(59 * time.Second)
		h.want(t, "new0", true)
		time.Sleep(2 * time.Second)
		h.want(t, "old0", false)
		for _, f := range []func() error{h.Confirm, h.Revert} {
			if err := f(); !errors.Is(err, ErrNone) {
				t.Errorf("after its time: %v", err)
			}
		}

		h.Try(network("new1"), 0)
		if err := h.Revert(); err != nil {
			t.Error(err)
		}
		h.want(t, "old0", false)

		h.Try(network("new2"), 600)
		h.stop() // the power goes
		h = start(t, dir, "old0", true)
		h.want(t, "old0", false)

		h.Try(network("new3"), 600)
		h.Try(network("new4"), 10) // another one in its place, with its own time
		if err := h.Confirm(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		h.want(t, "new4", false)
		h.stop()
		h = start(t, dir, "old0", true)
		h.want(t, "new4", false)
		if !h.Status().Kept {
			t.Error("it is not said that this is not the configuration's")
		}
		h.stop()
		h = start(t, dir, "newer0", true) // the configuration was edited since
		h.want(t, "newer0", false)
		h.stop()
	})
}

// TestStateComesLater: netd is there before the disk.
func TestStateComesLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		h := start(t, dir, "old0", true)
		h.Try(network("new0"), 60)
		if err := h.Confirm(); err != nil {
			t.Fatal(err)
		}
		h.stop()

		h = start(t, dir, "old0", false)
		h.want(t, "old0", false)
		h.Try(network("new1"), 10)
		if err := h.Confirm(); !errors.Is(err, ErrState) {
			t.Errorf("without STATE: %v", err)
		}
		h.state.Store(true)
		h.want(t, "new1", true) // a trial is not cut short
		time.Sleep(11 * time.Second)
		h.want(t, "new0", false)
		h.stop()

		h = start(t, dir, "old0", false)
		time.Sleep(time.Minute)
		h.state.Store(true)
		time.Sleep(time.Second)
		h.want(t, "new0", false)
		h.stop()
	})
}

func TestRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		h := start(t, dir, "old0", true)
		if err := h.Try(network("bad"), 60); err == nil {
			t.Error("a network that can't be put in force: no error")
		}
		h.want(t, "old0", false)
		if err := h.Try(network("0-no-name"), 60); err == nil {
			t.Error("an invalid network: no error")
		}
		for _, seconds := range []int{-1, 9, 601} {
			if err := h.Try(network("new0"), seconds); err == nil {
				t.Errorf("%d seconds: no error", seconds)
			}
		}
		h.want(t, "old0", false)
		h.stop()
		at := filepath.Join(dir, "network.json")
		for _, damaged := range []string{"{", `{"version":1,"sha256":"00","body":{}}`} {
			if err := os.WriteFile(at, []byte(damaged), 0o600); err != nil {
				t.Fatal(err)
			}
			h = start(t, dir, "old0", true)
			h.want(t, "old0", false)
			h.stop()
		}
	})
}

// TestConfirmed: whoever waits for another confirmed network hears of it, of a trial not.
func TestConfirmed(t *testing.T) {
	k := &Keeper{Config: network("old0"), Doc: Document(filepath.Join(t.TempDir(), "network.json")), State: func() bool { return true },
		Use: func(boot.Network) error { return nil }}
	k.Start()
	n, changed := k.Confirmed()
	if n.Links[0].Name != "old0" {
		t.Errorf("at the start: %+v", n)
	}
	tried := network("new0")
	tried.NTP = []string{"10.0.0.1"}
	if err := k.Try(tried, 60); err != nil {
		t.Fatal(err)
	}
	select {
	case <-changed:
		t.Error("a trial is taken for confirmed")
	default:
	}
	if err := k.Confirm(); err != nil {
		t.Fatal(err)
	}
	<-changed
	if n, _ := k.Confirmed(); len(n.NTP) != 1 {
		t.Errorf("confirmed: %+v", n)
	}
}
