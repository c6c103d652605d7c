package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestSlowBodies: whoever asks and whatever for, a body that does not come frees its place.
func TestSlowBodies(t *testing.T) {
	one := addr(node(t, "one", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/eat" {
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				return
			}
		}
		io.WriteString(w, "one")
	}))
	_, _, book := front(t, one)
	p := New(book, nil, nil)
	p.pace.Grace, p.pace.Idle = 300*time.Millisecond, 300*time.Millisecond
	s := serveFront(t, p)
	for _, c := range []struct{ name, head, want string }{
		{"an unknown environment", "POST / HTTP/1.1\r\nHost: none.test\r\nContent-Length: 10", "404"},
		{"one that sleeps, chunked", "POST / HTTP/1.1\r\nHost: b.test\r\nTransfer-Encoding: chunked", "503"},
		{"one that reads", "POST /eat HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10", "408"},
		{"chunked", "POST /eat HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked", "408"},
		{"with an Upgrade", "POST /eat HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\nConnection: Upgrade\r\nUpgrade: websocket", "408"},
		{"with Expect", "POST /eat HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\nExpect: 100-continue", "408"},
		{"a GET", "GET /eat HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10", "408"},
		{"HTTP/1.0", "POST /eat HTTP/1.0\r\nHost: a.test\r\nContent-Length: 10", "408"},
	} {
		conn, err := net.Dial("tcp", addr(s))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(time.Minute))
		fmt.Fprintf(conn, "%s\r\n\r\n", c.head)
		all, err := io.ReadAll(conn)
		if err != nil || !strings.Contains(string(all), " "+c.want+" ") {
			t.Errorf("%s: got %.200q, %v; want %s and the end", c.name, all, err, c.want)
		}
	}
	for deadline := time.Now().Add(time.Minute); p.atOnce.Held() > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d requests are still held", p.atOnce.Held())
		}
	}
	r, w := io.Pipe()
	defer w.Close()
	req, _ := http.NewRequest(http.MethodPost, s.URL+"/eat", r)
	req.Host = "a.test"
	resp, err := h2(t).Do(req)
	if err != nil || resp.StatusCode != http.StatusRequestTimeout {
		t.Errorf("HTTP/2: got %v, %v; want 408", resp, err)
	}
}

// TestManyOfOneAddress: one address has its share of connections and of requests, and others theirs.
func TestManyOfOneAddress(t *testing.T) {
	hold := make(chan struct{})
	_, _, book := front(t, addr(node(t, "one", func(w http.ResponseWriter, r *http.Request) { <-hold })))
	defer close(hold)
	p := New(book, nil, nil)
	p.atOnce.Each = 3
	s := serveFront(t, p)
	client := h2(t) // one connection
	for range 3 {
		go func() {
			req, _ := http.NewRequest(http.MethodGet, s.URL, nil)
			req.Host = "a.test"
			if resp, err := client.Do(req); err == nil {
				resp.Body.Close()
			}
		}()
	}
	for deadline := time.Now().Add(time.Minute); p.atOnce.Held() < 3; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d requests are held, want 3", p.atOnce.Held())
		}
	}
	if code, _, _ := get(t, s, "a.test"); code != http.StatusServiceUnavailable {
		t.Errorf("the fourth: got %d, want 503", code)
	}
}

// TestHeadsThatDontCome: a connection that begins a request and goes on slowly is closed, in HTTP/1.1 and in HTTP/2.
func TestHeadsThatDontCome(t *testing.T) {
	_, p, _ := front(t)
	server := p.Server()
	server.ReadHeaderTimeout, server.HTTP2.SendPingTimeout, server.HTTP2.PingTimeout = 300*time.Millisecond, 300*time.Millisecond,
		300*time.Millisecond
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve(p.Listen(l))
	defer server.Close()
	for name, begin := range map[string]string{"nothing": "", "half a head": "GET / HTTP/1.1\r\nHost: a.te",
		"HTTP/2, no frame": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"HTTP/2, half a frame": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00" +
			"\x00\x10\x00\x01\x00\x00\x00\x00\x01abc"} {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(time.Minute))
		io.WriteString(c, begin)
		if _, err := io.Copy(io.Discard, bufio.NewReader(c)); err != nil && strings.Contains(err.Error(), "timeout") {
			t.Errorf("%s: the connection is still open", name)
		}
	}
}
