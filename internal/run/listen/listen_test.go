package listen

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/limit"
)

// serve serves h within limits until the test ends, and returns the address.
func serve(t *testing.T, h http.HandlerFunc, limits Limits) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- HTTP(l, nil, h, limits, nil)(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// dial opens a connection on which nothing takes longer than a minute.
func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(time.Minute))
	t.Cleanup(func() { c.Close() })
	return c
}

func TestBodiesThatDoNotCome(t *testing.T) {
	got := make(chan error, 1)
	reads := func(w http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(io.Discard, r.Body)
		got <- err
		if err != nil {
			w.WriteHeader(http.StatusRequestTimeout)
		}
	}
	ignores := func(w http.ResponseWriter, r *http.Request) { http.Error(w, "who are you", http.StatusUnauthorized) }
	for _, c := range []struct {
		name   string
		h      http.HandlerFunc
		header string
		status int
	}{
		{"read by the handler", reads, "Content-Length: 1000\r\n", 408},
		{"not read by the handler", ignores, "Content-Length: 1000\r\n", 401},
		{"with Upgrade", ignores, "Content-Length: 1000\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n", 401},
		{"chunked", ignores, "Transfer-Encoding: chunked\r\n", 401},
		{"large", ignores, "Content-Length: 100000000\r\n", 401},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn := dial(t, serve(t, c.h, Limits{BodyWait: 50 * time.Millisecond}))
			fmt.Fprintf(conn, "POST /x HTTP/1.1\r\nHost: a\r\n%s\r\n", c.header)
			in := bufio.NewReader(conn)
			resp, err := http.ReadResponse(in, nil)
			if err != nil || resp.StatusCode != c.status {
				t.Fatalf("got %v, %v, want status %d", resp, err, c.status)
			}
			if _, err := io.Copy(io.Discard, in); err != nil && !errors.Is(err, net.ErrClosed) && !strings.Contains(err.Error(), "reset") {
				t.Fatalf("the connection is still open: %v", err)
			}
			if c.status == 408 {
				if err := <-got; !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("reading the body said %v, want a deadline", err)
				}
			}
		})
	}
}

// What comes late after an early answer is never taken for a request.
func TestNoSecondRequestInABody(t *testing.T) {
	asked := make(chan string, 2)
	conn := dial(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked <- r.URL.Path
		http.Error(w, "who are you", http.StatusUnauthorized)
	}, Limits{BodyWait: 50 * time.Millisecond}))
	fmt.Fprintf(conn, "POST /first HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n")
	in := bufio.NewReader(conn)
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, resp.Body) // its end comes when the server has given the body up
	fmt.Fprintf(conn, "GET /second HTTP/1.1\r\nHost: a\r\n\r\n")
	io.Copy(io.Discard, in)
	close(asked)
	if first, second := <-asked, <-asked; first != "/first" || second != "" {
		t.Errorf("requests for %q and %q were answered", first, second)
	}
}

// One byte before each deadline is no way to keep a place: a body has to come with the least rate.
func TestBodyThatDrips(t *testing.T) {
	got := make(chan error, 1)
	conn := dial(t, serve(t, func(_ http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(io.Discard, r.Body)
		got <- err
	}, Limits{BodyWait: 100 * time.Millisecond, BodyRate: 1 << 20}))
	fmt.Fprintf(conn, "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
	for {
		select {
		case err := <-got:
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("reading the body said %v, want a deadline", err)
			}
			return
		case <-time.After(10 * time.Millisecond):
			conn.Write([]byte("x")) // fails once the server has had enough
		}
	}
}

// A handler may be slow: only the client's time counts. And a body that came in time leaves no deadline behind.
func TestSlowHandler(t *testing.T) {
	release := make(chan struct{})
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		raw, err := io.ReadAll(r.Body)
		select {
		case <-release:
		case <-r.Context().Done():
			err = errors.Join(err, context.Cause(r.Context()))
		}
		fmt.Fprintf(w, "%d %v", len(raw), err)
	}, Limits{BodyWait: 20 * time.Millisecond})
	time.AfterFunc(200*time.Millisecond, func() { close(release) })
	resp, err := http.Post("http://"+addr, "text/plain", strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if raw, _ := io.ReadAll(resp.Body); string(raw) != "5 <nil>" {
		t.Errorf("got %q", raw)
	}
}

// A body that is refused unread does not cut the answer: the client that only reads when all is sent gets it too.
func TestAnswerArrives(t *testing.T) {
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, 1<<10)
		if _, err := io.ReadAll(r.Body); err != nil {
			http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
		}
	}, Limits{})
	const size = 20 << 20
	for _, sends := range []string{"in one piece", "in chunks"} {
		conn := dial(t, addr)
		if sends == "in chunks" {
			fmt.Fprintf(conn, "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n", size)
		} else {
			fmt.Fprintf(conn, "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", size)
		}
		if n, err := conn.Write(bytes.Repeat([]byte("x"), size)); err != nil {
			t.Fatalf("%s: sent %d bytes: %v", sends, n, err)
		}
		if sends == "in chunks" {
			fmt.Fprint(conn, "\r\n0\r\n\r\n")
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || resp.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("%s: got %v, %v, want 413", sends, resp, err)
		}
	}
}

func TestConnections(t *testing.T) {
	addr := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
		Limits{Connections: 4, PerClient: 2})
	ask := func(c net.Conn) error {
		fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		_, err := http.ReadResponse(bufio.NewReader(c), nil)
		return err
	}
	a, b := dial(t, addr), dial(t, addr)
	if err := errors.Join(ask(a), ask(b)); err != nil {
		t.Fatal(err)
	}
	again := func() error { // a connection that is closed at once may be so before it is open
		c, err := net.Dial("tcp", addr)
		if err != nil {
			return err
		}
		defer c.Close()
		return ask(c)
	}
	if err := again(); err == nil {
		t.Error("a third connection of one client was served")
	}
	// Another client has its own: 127.0.0.2 is another address of this machine.
	other := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	c, err := other.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := ask(c); err != nil {
		t.Errorf("another client: %v", err)
	}
	a.Close()
	// Its place is free once the server has seen that it is closed.
	for deadline := time.Now().Add(30 * time.Second); again() != nil; {
		if time.Now().After(deadline) {
			t.Fatal("waited 30 s for the place of a closed connection")
		}
	}
}

// What was closed at once is logged with its number, and once.
func TestTell(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, nil))
	gate := &limit.Gate{Each: 1}
	for range 4 {
		gate.Enter(netip.MustParseAddr("192.0.2.1"))
	}
	told := tell(log, gate, tell(log, gate, 1))
	if told != 3 || strings.Count(out.String(), "\n") != 1 || !strings.Contains(out.String(), "count=2") {
		t.Errorf("told of %d, logged %q; want 3, and one line with the 2 that were not told", told, out.String())
	}
}

// When the daemon ends, a request at work is finished, and one that waits for long is ended by its context.
func TestEnd(t *testing.T) {
	for _, polls := range []bool{false, true} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		entered := make(chan struct{})
		ended := make(chan error, 1)
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			close(entered)
			for ctx.Err() == nil { // the daemon is ending
				select {
				case <-ctx.Done():
				case <-time.After(time.Second):
				}
			}
			long := 100 * time.Millisecond
			if polls {
				long = time.Minute
			}
			select {
			case <-r.Context().Done():
				fmt.Fprint(w, "told to end")
			case <-time.After(long):
				fmt.Fprint(w, "finished")
			}
		})
		go func() { ended <- HTTP(l, nil, h, Limits{Polls: polls, End: time.Minute}, nil)(ctx) }()
		go func() { <-entered; cancel() }()
		resp, err := http.Get("http://" + l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		raw, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if want := map[bool]string{false: "finished", true: "told to end"}[polls]; string(raw) != want {
			t.Errorf("polls %v: %q, want %q", polls, raw, want)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// With no time left what is at work is broken off at once; a server that can't serve says why.
func TestUntil(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	entered := make(chan struct{})
	s := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done() // it never ends by itself
	})}
	ended := make(chan error, 1)
	go func() { ended <- Until(ctx, s, 0, func() error { return s.Serve(l) }) }()
	answered := make(chan error, 1)
	go func() {
		resp, err := http.Get("http://" + l.Addr().String())
		if err == nil {
			resp.Body.Close()
		}
		answered <- err
	}()
	<-entered
	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("a server that was ended in order said %v", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("waited a minute for the server to end")
	}
	if err := <-answered; err == nil {
		t.Error("the request that was at work got an answer")
	}
	if err := Until(t.Context(), &http.Server{}, 0, func() error { return os.ErrPermission }); !errors.Is(err, os.ErrPermission) {
		t.Errorf("a server that can't serve said %v", err)
	}
}
