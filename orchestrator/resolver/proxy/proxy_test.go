package proxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hardnode.dev/internal/run"
	"hardnode.dev/orchestrator/resolver/probe"
	"hardnode.dev/orchestrator/resolver/sites"
)

func TestRoundRobin(t *testing.T) {
	s, _, _ := front(t, addr(node(t, "one", nil)), addr(node(t, "two", nil)))
	count := map[string]int{}
	for range 20 {
		_, body, _ := get(t, s, "a.test")
		count[body]++
	}
	if count["one"] != 10 || count["two"] != 10 {
		t.Errorf("got %v, want ten each", count)
	}
}

func TestPages(t *testing.T) {
	s, _, _ := front(t, closed(t), closed(t))
	for _, c := range []struct {
		host  string
		code  int
		text  string
		retry bool
	}{
		{"nothing.test", 404, "No such environment", false},
		{"b.test", 503, "sleeping", true},
		{"c.test", 503, "No node is ready", true},
		{"a.test", 502, "alpha", true},
		{"<script>.test", 404, "No such environment", false},
	} {
		code, body, head := get(t, s, c.host)
		if code != c.code || !strings.Contains(body, c.text) || (head.Get("Retry-After") != "") != c.retry {
			t.Errorf("%s: got %d %q, Retry-After %q; want %d with %q", c.host, code, body, head.Get("Retry-After"), c.code, c.text)
		}
	}
	req, _ := http.NewRequest(http.MethodGet, s.URL, nil)
	req.Host = "b.test"
	req.Header.Set("Accept", "text/html")
	resp, err := s.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, _ := io.ReadAll(resp.Body)
	if !strings.Contains(string(raw), "<b>beta</b>") || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") {
		t.Errorf("got %s %s", resp.Header.Get("Content-Type"), raw)
	}
	empty := serveFront(t, New(&sites.Book{}, nil, nil))
	if code, body, _ := get(t, empty, "a.test"); code != 503 || !strings.Contains(body, "no routes yet") {
		t.Errorf("without routes: got %d %q", code, body)
	}
}

func TestHostHeaderTricks(t *testing.T) {
	s, _, _ := front(t, addr(node(t, "one", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "[%s %s]", r.Host, r.RequestURI)
	})))
	for _, c := range []struct{ name, request, want string }{
		{"plain", "GET /x HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n", "[a.test /x]"},
		{"port", "GET / HTTP/1.1\r\nHost: a.test:8080\r\nConnection: close\r\n\r\n", "[a.test:8080 /]"},
		{"case", "GET / HTTP/1.1\r\nHost: A.Test\r\nConnection: close\r\n\r\n", "[A.Test /]"},
		{"trailing dot", "GET / HTTP/1.1\r\nHost: a.test.\r\nConnection: close\r\n\r\n", "[a.test. /]"},
		{"absolute URI wins over Host", "GET http://a.test/y HTTP/1.1\r\nHost: b.test\r\nConnection: close\r\n\r\n", "[a.test /y]"},
		{"absolute URI of another name", "GET http://none.test/ HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n", "404"},
		{"https URI", "GET https://a.test/ HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n", "400"},
		{"CONNECT", "CONNECT a.test:80 HTTP/1.1\r\nHost: a.test:80\r\nConnection: close\r\n\r\n", "400"},
		{"empty", "GET / HTTP/1.1\r\nHost: \r\nConnection: close\r\n\r\n", "404"},
		{"missing", "GET / HTTP/1.1\r\nConnection: close\r\n\r\n", "400"},
		{"HTTP/1.0 without", "GET / HTTP/1.0\r\n\r\n", "404"},
		{"two", "GET / HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\nConnection: close\r\n\r\n", "400"},
		{"address", "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n", "404"},
		{"a path in it", "GET / HTTP/1.1\r\nHost: a.test/evil\r\nConnection: close\r\n\r\n", "400"},
		{"X-Forwarded-Host does not route", "GET / HTTP/1.1\r\nHost: none.test\r\nX-Forwarded-Host: a.test\r\nConnection: close\r\n\r\n",
			"404"},
		{"two lengths", "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\nContent-Length: 5\r\nConnection: close\r\n\r\nabc", "400"},
		{"length and chunked", "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n" +
			"Connection: close\r\n\r\n0\r\n\r\n", "400"},
		{"strange coding", "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: gzip, chunked\r\nConnection: close\r\n\r\n0\r\n\r\n",
			"501"},
	} {
		if got := raw(t, s, c.request); !strings.Contains(got, c.want) {
			t.Errorf("%s: got %q, want %q in it", c.name, got, c.want)
		}
	}
}

func TestHeaders(t *testing.T) {
	var got http.Header
	s, _, _ := front(t, addr(node(t, "one", func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Clone() })))
	req, _ := http.NewRequest(http.MethodGet, s.URL, nil)
	req.Host = "a.test:81"
	for k, v := range map[string]string{"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "https", "X-Real-Ip": "6.6.6.6",
		"Forwarded": "for=6.6.6.6", "Connection": "X-Secret", "X-Secret": "1", "Te": "gzip",
		"Keep-Alive": "9", "Proxy-Authorization": "x", "Cookie": "a=b"} {
		req.Header.Set(k, v)
	}
	resp, err := s.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	for k, want := range map[string]string{"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "http", "X-Forwarded-Host": "a.test:81",
		"X-Real-Ip": "127.0.0.1", "Forwarded": "", "X-Secret": "", "Connection": "", "Te": "",
		"Keep-Alive": "", "Proxy-Authorization": "", "Cookie": "a=b"} {
		if got.Get(k) != want || len(got[k]) > 1 {
			t.Errorf("%s: got %q, want %q", k, got[k], want)
		}
	}
}

// TestNodeDiesUnderLoad ends one of two nodes in the middle of many clients' requests: no request fails.
func TestNodeDiesUnderLoad(t *testing.T) {
	one, two := node(t, "one", nil), node(t, "two", nil)
	s, p, book := front(t, addr(one), addr(two))
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { (&probe.Prober{Book: book}).Run(ctx) })
	var bad, good atomic.Int64
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			c := &http.Client{Transport: &http.Transport{}}
			defer c.CloseIdleConnections()
			for {
				select {
				case <-stop:
					return
				default:
				}
				req, _ := http.NewRequest(http.MethodGet, s.URL, nil)
				req.Host = "a.test"
				resp, err := c.Do(req)
				if err != nil {
					bad.Add(1)
					continue
				}
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if resp.StatusCode == 200 {
					good.Add(1)
				} else {
					bad.Add(1)
				}
			}
		})
	}
	until := func(is func() bool) {
		for end := time.Now().Add(time.Minute); !is() && time.Now().Before(end); run.Wait(ctx, 10*time.Millisecond) {
		}
	}
	until(func() bool { return good.Load() >= 50 })
	one.CloseClientConnections() // established connections break, as when a machine loses power and comes back
	one.Listener.Close()         // and nobody answers any more
	dead := book.Table().Lookup("a.test").Backends[0]
	until(func() bool { return !dead.Up() })
	until(func() bool { return good.Load() >= 100 })
	close(stop)
	clients.Wait()
	if bad.Load() > 0 || good.Load() < 100 {
		t.Errorf("%d requests failed, %d went well, want none and many; counters %+v", bad.Load(), good.Load(), p.Counters.Read())
	}
	if dead.Up() {
		t.Error("the dead node is still in rotation")
	}
}

// TestSilentNode: a node that accepts, then never answers, is given up as soon as the checks say it is down; a GET goes to the other.
func TestSilentNode(t *testing.T) {
	hang, came := make(chan struct{}), make(chan struct{}, 9)
	silent := node(t, "silent", func(_ http.ResponseWriter, r *http.Request) {
		came <- struct{}{}
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	})
	defer close(hang)
	s, _, book := front(t, addr(silent), addr(node(t, "two", nil)))
	backends := book.Table().Lookup("a.test").Backends
	for _, c := range []struct {
		method string
		code   int
	}{{http.MethodGet, 200}, {http.MethodPost, 502}} {
		backends[0].SetUp(true)
		backends[1].SetUp(false) // so that the silent one has the first turn
		go func() { <-came; backends[1].SetUp(true); backends[0].SetUp(false) }()
		req, _ := http.NewRequest(c.method, s.URL, strings.NewReader("body")) // a GET with a body is not repeated either
		if c.method == http.MethodGet {
			req, _ = http.NewRequest(c.method, s.URL, nil)
		}
		req.Host = "a.test"
		resp, err := s.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if resp.StatusCode != c.code {
			t.Errorf("%s: got %d, want %d", c.method, resp.StatusCode, c.code)
		}
	}
}

// TestLastNodeMayBeSlow: the only node's answer is taken although the checks found it too slow meanwhile.
func TestLastNodeMayBeSlow(t *testing.T) {
	came, goOn := make(chan struct{}), make(chan struct{})
	slow := node(t, "slow", func(w http.ResponseWriter, r *http.Request) {
		close(came)
		<-goOn
		io.Copy(w, r.Body)
	})
	s, _, book := front(t, addr(slow))
	go func() {
		defer close(goOn)
		<-came
		life := book.Table().Lookup("a.test").Backends[0]
		ended := life.Life()
		life.SetUp(false)
		<-ended.Done()
	}()
	resp, err := post(s, "precious")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != 200 || string(body) != "precious" {
		t.Errorf("got %d %q", resp.StatusCode, body)
	}
}

// TestWaitsForANode: when no node can be reached, the request waits until one is back, or until the routes name another.
func TestWaitsForANode(t *testing.T) {
	for _, c := range []struct {
		name   string
		arrive func(book *sites.Book, late string)
	}{
		{"a node is back", func(_ *sites.Book, late string) {
			l, err := net.Listen("tcp", late)
			if err != nil {
				t.Error(err)
				return
			}
			back := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })}
			t.Cleanup(func() { back.Close() })
			go back.Serve(l)
		}},
		{"the routes name another node", func(book *sites.Book, _ string) {
			book.Replace(document(2, addr(node(t, "new", func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) }))))
		}},
	} {
		late := closed(t)
		s, p, book := front(t, closed(t), late)
		waits := make(chan struct{})
		go func() {
			defer close(waits)
			for p.Counters.Read().Retries < 3 && run.Wait(t.Context(), time.Millisecond) { // both, and a round more
			}
			c.arrive(book, late)
		}()
		resp, err := post(s, "precious")
		if err != nil {
			t.Fatal(err)
		}
		<-waits
		if body, _ := io.ReadAll(resp.Body); resp.StatusCode != 200 || string(body) != "precious" {
			t.Errorf("%s: got %d %q", c.name, resp.StatusCode, body)
		}
		resp.Body.Close()
	}
}

// TestFewWait: a dead environment holds only so many requests; the others get their page at once.
func TestFewWait(t *testing.T) {
	s, p, book := front(t, closed(t))
	site := book.Table().Lookup("a.test")
	for site.Wait(maxWaiting) {
	}
	resp, err := post(s, "precious")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if n := p.Counters.Read().Retries; resp.StatusCode != http.StatusBadGateway || n != 0 {
		t.Errorf("got %d after %d retries, want 502 after none", resp.StatusCode, n)
	}
}

// TestPostIsSentOnce: a body reaches the second node when the first could not be reached, and never two nodes.
func TestPostIsSentOnce(t *testing.T) {
	var took atomic.Int64
	eats := node(t, "eats", func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		took.Add(1)
		w.Write(raw)
	})
	breaks := node(t, "breaks", func(_ http.ResponseWriter, r *http.Request) {
		io.ReadAll(r.Body)
		took.Add(1)
		panic(http.ErrAbortHandler)
	})
	for _, c := range []struct {
		name string
		with []string
		code int
		took int64
	}{{"first can't be reached", []string{closed(t), closed(t), addr(eats)}, 200, 6},
		{"first breaks off", []string{addr(breaks)}, 502, 6}} {
		took.Store(0)
		s, _, _ := front(t, c.with...)
		for range 6 {
			req, _ := http.NewRequest(http.MethodPost, s.URL, io.MultiReader(strings.NewReader("precious"))) // chunked
			req.Host = "a.test"
			resp, err := s.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode != c.code || c.code == 200 && string(body) != "precious" {
				t.Errorf("%s: got %d %q", c.name, resp.StatusCode, body)
			}
		}
		if took.Load() != c.took {
			t.Errorf("%s: nodes took %d requests, want %d", c.name, took.Load(), c.took)
		}
	}
}

func TestWebSocket(t *testing.T) {
	s, _, _ := front(t, addr(node(t, "ws", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "websocket" || r.Header.Get("Connection") != "Upgrade" {
			http.Error(w, "no upgrade asked for", 400)
			return
		}
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		line, _ := rw.ReadString('\n')
		io.WriteString(c, "echo "+line)
	})))
	c, err := net.Dial("tcp", addr(s))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute))
	io.WriteString(c, "GET /chat HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	r := bufio.NewReader(c)
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("got %v, %v", resp, err)
	}
	io.WriteString(c, "hello\n")
	if line, err := r.ReadString('\n'); err != nil || line != "echo hello\n" {
		t.Errorf("got %q, %v", line, err)
	}
}

func BenchmarkProxy(b *testing.B) {
	s, _, _ := front(b, addr(node(b, "one", nil)))
	req, _ := http.NewRequest(http.MethodGet, s.URL, nil)
	req.Host = "a.test"
	b.ReportAllocs()
	for b.Loop() {
		resp, err := s.Client().Do(req)
		if err != nil {
			b.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
}
