package proxy

import (
	"io"
	"net/http"
	"runtime"
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
