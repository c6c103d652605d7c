package proxy

import (
	"context"
	"errors"
	"io"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hardnode.dev/orchestrator/resolver/sites"
)

// TestHeld: while a node moves to another host a request for it waits, a bounded number of them, and is answered as soon as it runs there.
func TestHeld(t *testing.T) {
	var seen atomic.Int32
	one := addr(node(t, "one", func(w http.ResponseWriter, r *http.Request) {
		seen.Add(1)
		io.WriteString(w, "one")
	}))
	s, _, book := front(t, one)
	r := document(1, one)
	r.Sites[0].Backends[0].Held = true
	site := book.Replace(r).Lookup("a.test")
	ask := func() (*http.Response, error) {
		req, err := http.NewRequest(http.MethodPost, s.URL, http.NoBody)
		if err != nil {
			return nil, err
		}
		req.Host = "a.test"
		return s.Client().Do(req)
	}
	answer := make(chan int, 1)
	go func() {
		resp, err := ask()
		if err != nil {
			answer <- 0
			return
		}
		resp.Body.Close()
		answer <- resp.StatusCode
	}()
	waits(t, site)
	for range maxHeld - 1 {
		if !site.Wait(maxHeld) {
			t.Fatal("there is no room to wait")
		}
	}
	resp, err := ask()
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
		t.Errorf("one too many: %s, %v", resp.Status, resp.Header)
	}
	if n := seen.Load(); n != 0 {
		t.Errorf("the node saw %d requests while it was held", n)
	}
	r.Sites[0].Backends[0].Held = false
	book.Replace(r)
	if code := <-answer; code != http.StatusOK {
		t.Errorf("it was answered with %d", code)
	}
}

// TestHeldBesideDown: a request that waits for a node that is held goes to another one as soon as that is up, and when the hold has ended
// with none up, to one that is said to be down.
func TestHeldBesideDown(t *testing.T) {
	for name, comes := range map[string]bool{"the other comes up": true, "the hold ends": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			held := node(t, "held", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "held") })
			other := node(t, "other", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "other") })
			s, _, book := front(t, addr(held), addr(other))
			r := document(1, addr(held), addr(other))
			r.Sites[0].Backends[0].Held = true
			site := book.Replace(r).Lookup("a.test")
			site.Backends[1].SetUp(false)
			answer := make(chan string, 1)
			go func() {
				req, _ := http.NewRequest(http.MethodPost, s.URL, http.NoBody)
				req.Host = "a.test"
				resp, err := s.Client().Do(req)
				if err != nil {
					answer <- err.Error()
					return
				}
				defer resp.Body.Close()
				body, _ := io.ReadAll(resp.Body)
				answer <- string(body)
			}()
			waits(t, site)
			if comes {
				site.Backends[1].SetUp(true)
			}
			if got := <-answer; got != "other" {
				t.Errorf("it was answered %q, want it from the other node", got)
			}
		})
	}
}

// TestHeldOnce: a request that has waited for one hold's end waits for no other node that is held.
func TestHeldOnce(t *testing.T) {
	r := document(1, "10.96.1.1:80", "10.96.1.2:80")
	for i := range r.Sites[0].Backends {
		r.Sites[0].Backends[i].Held = true
	}
	book := &sites.Book{}
	site := book.Replace(r).Lookup("a.test")
	b, x, ctx := &balancer{book: book}, &exchange{site: site}, t.Context()
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if err := b.enter(gone, site, site.Backends[0], x); !errors.Is(err, context.Canceled) {
		t.Fatalf("who waits has gone: %v", err)
	}
	if left := time.Until(x.waits); left <= 0 || left > sites.HoldFor {
		t.Errorf("it waits for %s more, want the first hold's end", left)
	}
	x.waits = time.Now() // that has come
	began := time.Now()
	if err := b.enter(ctx, site, site.Backends[1], x); !errors.Is(err, errHeld) {
		t.Errorf("the other one is held: %v", err)
	}
	if took := time.Since(began); took > sites.HoldFor/3 {
		t.Errorf("it waited for the other one, too, %s", took)
	}
}

// TestDownBesideHeld: a node that goes down while it has a request is waited for where the only other one is held: that does not answer
// now either.
func TestDownBesideHeld(t *testing.T) {
	t.Parallel()
	begun, end := make(chan struct{}), make(chan struct{})
	one := node(t, "one", func(w http.ResponseWriter, r *http.Request) {
		close(begun)
		select {
		case <-end:
			io.WriteString(w, "one")
		case <-r.Context().Done():
		}
	})
	other := node(t, "other", nil)
	s, _, book := front(t, addr(one), addr(other))
	site := book.Table().Lookup("a.test")
	site.Backends[1].SetUp(false)
	answer := make(chan string, 1)
	go func() {
		req, _ := http.NewRequest(http.MethodGet, s.URL, nil)
		req.Host = "a.test"
		resp, err := s.Client().Do(req)
		if err != nil {
			answer <- err.Error()
			return
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		answer <- string(body)
	}()
	<-begun
	site.Backends[1].SetUp(true)
	r := document(1, addr(one), addr(other))
	r.Sites[0].Backends[1].Held = true
	book.Replace(r)
	site.Backends[0].SetUp(false)
	time.AfterFunc(patience/10, func() { close(end) })
	if got := <-answer; got != "one" {
		t.Errorf("it was answered %q, want it from the node that had it", got)
	}
}

// TestMoved: what was sent to the host that a node has left is sent again where it is now if that can be done, and is at its end if not;
// meanwhile it is said how many requests are under way.
func TestMoved(t *testing.T) {
	for method, want := range map[string]int{http.MethodGet: http.StatusOK, http.MethodPost: http.StatusBadGateway} {
		var seen atomic.Int32
		over := make(chan struct{})
		one := addr(node(t, "one", func(w http.ResponseWriter, r *http.Request) {
			if seen.Add(1) == 1 {
				<-over // as if it were swallowed
			}
			io.WriteString(w, "one")
		}))
		s, _, book := front(t, one)
		t.Cleanup(func() { close(over) })
		r := document(1, one)
		b := &r.Sites[0].Backends[0]
		b.Host = "h-000000000001"
		book.Replace(r)
		code := make(chan int, 1)
		go func() {
			req, _ := http.NewRequest(method, s.URL, http.NoBody)
			req.Host = "a.test"
			resp, err := s.Client().Do(req)
			if err != nil {
				code <- 0
				return
			}
			resp.Body.Close()
			code <- resp.StatusCode
		}()
		until(t, "the node has the request", func() bool { return seen.Load() == 1 })
		b.Held = true
		table := book.Replace(r)
		if held := table.Held(time.Now()); len(held) != 1 || held[0].CTID != 101 || held[0].Busy != 1 || table.Moved {
			t.Errorf("%s: held are %v, want one with a request; moved %t", method, held, table.Moved)
		}
		b.Host = "h-000000000002"
		if table = book.Replace(r); !table.Moved {
			t.Errorf("%s: it has moved, and nobody says so", method)
		}
		until(t, "nothing is under way", func() bool { return table.Held(time.Now())[0].Busy == 0 })
		if method == http.MethodGet {
			waits(t, table.Lookup("a.test"))
		}
		b.Held = false
		book.Replace(r)
		if got := <-code; got != want {
			t.Errorf("%s: answered with %d, want %d", method, got, want)
		}
		if n := seen.Load(); (n == 2) != (method == http.MethodGet) {
			t.Errorf("%s: the node saw %d requests", method, n)
		}
	}
}

// TestUnderWay: a request is under way until the last byte of its answer, but one that became another protocol's connection is not.
func TestUnderWay(t *testing.T) {
	more := make(chan struct{})
	one := addr(node(t, "one", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			w.Header().Set("Connection", "Upgrade")
			w.Header().Set("Upgrade", "echo")
			w.WriteHeader(http.StatusSwitchingProtocols)
		}
		w.(http.Flusher).Flush()
		<-more
		io.WriteString(w, "end")
	}))
	s, _, book := front(t, one)
	end := sync.OnceFunc(func() { close(more) })
	t.Cleanup(end)
	r := document(1, one)
	r.Sites[0].Backends[0].Held = true
	busy := func() int { return book.Table().Held(time.Now())[0].Busy }
	ask := func(upgrade string) *http.Response {
		req, _ := http.NewRequest(http.MethodGet, s.URL, nil)
		req.Host = "a.test"
		if upgrade != "" {
			req.Header.Set("Connection", "Upgrade")
			req.Header.Set("Upgrade", upgrade)
		}
		resp, err := s.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { resp.Body.Close() })
		return resp
	}
	resp := ask("")
	other := ask("echo")
	if other.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("upgraded: %s", other.Status)
	}
	book.Replace(r)
	if n := busy(); n != 1 {
		t.Errorf("%d requests are under way, want the one whose answer goes on", n)
	}
	end()
	if text, err := io.ReadAll(resp.Body); err != nil || string(text) != "end" {
		t.Errorf("its answer ends with %q, %v", text, err)
	}
	until(t, "none is under way", func() bool { return busy() == 0 })
}

func until(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !f(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

// waits waits until a request waits for the site. To ask for the one place of a bound of one takes no place from who has a larger bound.
func waits(t *testing.T, site *sites.Site) {
	t.Helper()
	for end := time.Now().Add(time.Minute); site.Wait(1); {
		site.Done()
		if time.Now().After(end) {
			t.Fatal("the request does not wait")
		}
		runtime.Gosched()
	}
}
