package probe

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hardnode.dev/internal/run"
	"hardnode.dev/internal/testkit/ports"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/orchestrator/resolver/sites"
)

// start runs the checks over one site; the returned function ends them and gives their log.
func start(t *testing.T, check string, addrs ...string) (*sites.Book, *sites.Site, func() string) {
	t.Helper()
	book := &sites.Book{}
	s := host.Site{Env: "alpha", Domain: "a.test", Running: true, Check: check}
	for _, a := range addrs {
		s.Backends = append(s.Backends, host.Backend{CTID: 101, Addr: netip.MustParseAddrPort(a)})
	}
	table := book.Replace(host.Routes{Version: 1, Revision: 1, Sites: []host.Site{s}})
	ctx, cancel := context.WithCancel(context.Background())
	var log bytes.Buffer
	var wg sync.WaitGroup
	wg.Go(func() { (&Prober{Book: book, Log: slog.New(slog.NewTextHandler(&log, nil))}).Run(ctx) })
	stopped := false
	stop := func() string {
		if !stopped {
			stopped = true
			cancel()
			wg.Wait()
		}
		return log.String()
	}
	t.Cleanup(func() { stop() })
	return book, table.Lookup("a.test"), stop
}

// within waits until the backend is up or down as wanted, and fails after limit.
func within(t *testing.T, b *sites.Backend, up bool, limit time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	for b.Up() != up {
		if !run.Wait(ctx, 10*time.Millisecond) {
			t.Fatalf("%s: up is %v after %s, want %v", b.Addr, b.Up(), limit, up)
		}
	}
}

func TestDeadNodeLeavesAndReturns(t *testing.T) {
	l := ports.Listen(t)
	_, s, stop := start(t, "", l.Addr().String())
	run.Wait(context.Background(), 300*time.Millisecond)
	within(t, s.Backends[0], true, 0)
	l.Close()
	within(t, s.Backends[0], false, time.Minute)
	l, err := net.Listen("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	within(t, s.Backends[0], true, time.Minute)
	if log := stop(); !strings.Contains(log, "out of rotation") || !strings.Contains(log, "back in rotation") ||
		strings.Count(log, "\n") != 2 {
		t.Errorf("got log\n%s", log)
	}
}

// TestSilentNodeLeaves: one that takes connections and says nothing (a stopped process) is out in time, too.
func TestSilentNodeLeaves(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, s, _ := start(t, "/", l.Addr().String())
	within(t, s.Backends[0], false, time.Minute)
}

func TestHTTPCheck(t *testing.T) {
	var status atomic.Int64
	status.Store(404)
	var asked atomic.Pointer[http.Request]
	n := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Store(r)
		w.WriteHeader(int(status.Load()))
	}))
	defer n.Close()
	book, s, _ := start(t, "/up", n.Listener.Addr().String())
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for asked.Load() == nil && run.Wait(ctx, 10*time.Millisecond) {
	}
	within(t, s.Backends[0], true, 0)
	if r := asked.Load(); r == nil || r.URL.Path != "/up" || r.Host != "a.test" || r.UserAgent() != Agent {
		t.Errorf("got check %+v", r)
	}
	status.Store(503)
	within(t, s.Backends[0], false, time.Minute)
	book.Replace(host.Routes{Version: 1, Revision: 2})      // no sites: the check ends
	for again := true; again; again = asked.Load() != nil { // one may be on its way
		asked.Store(nil)
		if !run.Wait(ctx, 2*Interval) {
			t.Fatal("a node that left the table is still checked")
		}
	}
}
