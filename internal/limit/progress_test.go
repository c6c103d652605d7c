package limit

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strings"
	"testing"
	"time"
)

const hung = time.Minute // what takes this long in these tests has no end

// A write may wait longer than what is left of a body is read for: the answer comes after that.
var quick = Pace{Grace: 200 * time.Millisecond, PerSecond: 10_000, Write: 600 * time.Millisecond, Idle: 1500 * time.Millisecond}

// paced serves h at a pace, over HTTP/1.1 and HTTP/2.
func paced(t *testing.T, p Pace, h http.HandlerFunc) *httptest.Server {
	s := httptest.NewUnstartedServer(p.Handler(h))
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetHTTP1(true)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(s.Close)
	return s
}

func clients(t *testing.T) map[string]*http.Client {
	two := &http.Transport{Protocols: new(http.Protocols)}
	two.Protocols.SetUnencryptedHTTP2(true)
	one := &http.Transport{}
	t.Cleanup(func() { one.CloseIdleConnections(); two.CloseIdleConnections() })
	return map[string]*http.Client{"HTTP/1.1": {Transport: one, Timeout: hung}, "HTTP/2": {Transport: two, Timeout: hung}}
}

// drip sends a byte now and then for as long as somebody takes them.
func drip(every time.Duration) io.ReadCloser {
	r, w := io.Pipe()
	go func() {
		for {
			if _, err := w.Write([]byte("x")); err != nil {
				return
			}
			time.Sleep(every)
		}
	}()
	return r
}

// TestSlowBodies: a body that drips or stands still ends with ErrSlow; one that is read late does not.
func TestSlowBodies(t *testing.T) {
	for name, client := range clients(t) {
		result := make(chan error, 1)
		s := paced(t, quick, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/late" {
				time.Sleep(3 * quick.Grace) // the handler's own time
			}
			_, err := io.Copy(io.Discard, r.Body)
			result <- err
			if err == nil {
				fmt.Fprint(w, "all")
			}
		})
		for path, c := range map[string]struct {
			body io.ReadCloser
			slow bool
		}{"/drip": {drip(20 * time.Millisecond), true}, "/still": {drip(time.Hour), true},
			"/late": {io.NopCloser(strings.NewReader(strings.Repeat("x", 200_000))), false}} {
			req, _ := http.NewRequest(http.MethodPost, s.URL+path, c.body)
			began := time.Now()
			resp, err := client.Do(req)
			if err == nil {
				all, _ := io.ReadAll(resp.Body)
				resp.Body.Close()
				if !c.slow && string(all) != "all" {
					t.Errorf("%s %s: got %q", name, path, all)
				}
			}
			c.body.Close()
			select {
			case err := <-result:
				if errors.Is(err, ErrSlow) != c.slow {
					t.Errorf("%s %s: got %v, want slow=%v", name, path, err, c.slow)
				}
			case <-time.After(hung):
				t.Fatalf("%s %s: the body is still being read after %s", name, path, time.Since(began))
			}
		}
	}
}

// TestBodyNobodyReads: net/http wants to read what a handler left of a body; a client that never sends it does not hold the connection.
func TestBodyNobodyReads(t *testing.T) {
	s := paced(t, quick, func(w http.ResponseWriter, r *http.Request) { http.Error(w, "no such page", http.StatusNotFound) })
	for _, head := range []string{"Content-Length: 100", "Content-Length: 100\r\nExpect: 100-continue", "Transfer-Encoding: chunked",
		"Content-Length: 100\r\nConnection: Upgrade\r\nUpgrade: anything", "Content-Length: 1000000"} {
		c, err := net.Dial("tcp", s.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(hung))
		fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: a\r\n%s\r\n\r\n", head)
		if all, err := io.ReadAll(c); err != nil || !strings.HasPrefix(string(all), "HTTP/1.1 404") {
			t.Errorf("%q: got %.80q, %v; want 404 and the end", head, all, err)
		}
	}
}

// TestPatience: an answer that takes its time, and a connection used again much later, are not cut.
func TestPatience(t *testing.T) {
	for name, client := range clients(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := paced(t, quick, func(w http.ResponseWriter, r *http.Request) {
				io.Copy(io.Discard, r.Body)
				for range 2 {
					time.Sleep(2 * quick.Write)
					fmt.Fprint(w, "x")
					http.NewResponseController(w).Flush()
				}
			})
			for _, body := range []string{"body", ""} {
				resp, err := client.Post(s.URL, "text/plain", strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				if all, err := io.ReadAll(resp.Body); err != nil || string(all) != "xx" {
					t.Errorf("got %q, %v", all, err)
				}
				resp.Body.Close()
			}
		})
	}
}

// TestNobodyTakesTheAnswer: a client that reads nothing does not hold the handler.
func TestNobodyTakesTheAnswer(t *testing.T) {
	for name, client := range clients(t) {
		ended := make(chan error, 1)
		s := paced(t, quick, func(w http.ResponseWriter, r *http.Request) {
			big := make([]byte, 1<<20)
			for {
				if _, err := w.Write(big); err != nil {
					ended <- err
					return
				}
			}
		})
		resp, err := client.Get(s.URL)
		if err != nil {
			t.Fatal(err)
		}
		select {
		case <-ended:
		case <-time.After(hung):
			t.Errorf("%s: the handler is still writing", name)
		}
		resp.Body.Close()
	}
}

// TestStreams: once the answer has begun, or for requests that are streams, a body may be silent for longer, but not for ever.
func TestStreams(t *testing.T) {
	p := quick
	p.Idle = 2 * time.Second
	p.Stream = func(r *http.Request) bool { return r.URL.Path == "/stream" }
	client := clients(t)["HTTP/2"]
	result := make(chan error, 1)
	s := paced(t, p, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/begun" {
			http.NewResponseController(w).Flush()
		}
		_, err := r.Body.Read(make([]byte, 1))
		if err == nil {
			_, err = io.Copy(io.Discard, r.Body)
		}
		result <- err
	})
	for _, path := range []string{"/begun", "/stream"} {
		for _, silent := range []time.Duration{3 * quick.Grace, time.Hour} {
			r, w := io.Pipe()
			go func() {
				w.Write([]byte("x"))
				timer := time.NewTimer(silent)
				defer timer.Stop()
				select {
				case <-timer.C:
					w.Write([]byte("x"))
					w.Close()
				case <-t.Context().Done():
				}
			}()
			req, _ := http.NewRequest(http.MethodPost, s.URL+path, r)
			if resp, err := client.Do(req); err == nil {
				defer resp.Body.Close()
			}
			select {
			case err := <-result:
				if errors.Is(err, ErrSlow) != (silent == time.Hour) {
					t.Errorf("%s silent for %s: got %v", path, silent, err)
				}
			case <-time.After(hung):
				t.Fatalf("%s silent for %s: no end", path, silent)
			}
		}
	}
}

// TestTunnel: it lasts while something goes one way, and ends when nothing does.
func TestTunnel(t *testing.T) {
	t.Parallel()
	ended := make(chan error, 1)
	s := paced(t, quick, func(w http.ResponseWriter, r *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		fmt.Fprint(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
		go func() {
			for range 10 { // the other way than what is read below
				time.Sleep(quick.Idle / 6)
				fmt.Fprint(c, "x")
			}
		}()
		_, err = io.Copy(io.Discard, c)
		ended <- err
	})
	c, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(hung))
	fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
	r := bufio.NewReader(c)
	if _, err := http.ReadResponse(r, nil); err != nil {
		t.Fatal(err)
	}
	if all, err := io.ReadAll(r); err != nil || string(all) != "xxxxxxxxxx" {
		t.Errorf("got %q, %v; want all that was sent", all, err)
	}
	if err := <-ended; !errors.Is(err, ErrIdle) {
		t.Errorf("the tunnel ended with %v, want %v", err, ErrIdle)
	}
}

// Whoever a handler handed the body to may read on once the handler has returned, as a transport does that sends it to another server.
func TestBodyReadAfterTheHandler(t *testing.T) {
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(proto, func(t *testing.T) {
			returned, read := make(chan struct{}), make(chan error, 1)
			s := httptest.NewUnstartedServer(Usual.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Proto != proto {
					t.Errorf("the request came as %s", r.Proto)
				}
				go func() {
					<-returned
					_, err := r.Body.Read(make([]byte, 100))
					read <- err
				}()
				w.WriteHeader(http.StatusNoContent)
			})))
			s.EnableHTTP2 = proto == "HTTP/2.0"
			s.StartTLS()
			defer s.Close()
			body, more := io.Pipe()
			defer more.Close()
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL, body)
			if err != nil {
				t.Fatal(err)
			}
			go more.Write([]byte("a beginning"))
			res, err := s.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			close(returned)
			if err := <-read; err == nil {
				t.Log("it got what had come") // and no panic
			}
		})
	}
}

// TestContinueIsSaidOnce: a handler that passes its node's "100 Continue" on, before or after it has read of the body, adds none to the
// server's own.
func TestContinueIsSaidOnce(t *testing.T) {
	for name, client := range clients(t) {
		s := paced(t, Usual, func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusContinue)
			io.ReadFull(r.Body, make([]byte, 1))
			w.WriteHeader(http.StatusContinue)
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusNoContent)
		})
		var got []int
		req, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
			Got1xxResponse: func(code int, _ textproto.MIMEHeader) error { got = append(got, code); return nil },
		}), http.MethodPost, s.URL, strings.NewReader("hello"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Expect", "100-continue")
		client.Transport.(*http.Transport).ExpectContinueTimeout = hung
		resp, err := client.Do(req)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		resp.Body.Close()
		if want := []int{http.StatusContinue, http.StatusEarlyHints}; !slices.Equal(got, want) || resp.StatusCode != http.StatusNoContent {
			t.Errorf("%s: got %v, then %d; want %v, then %d", name, got, resp.StatusCode, want, http.StatusNoContent)
		}
	}
}
