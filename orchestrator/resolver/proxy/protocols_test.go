package proxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// h2 is a client that begins with HTTP/2.
func h2(t *testing.T) *http.Client {
	tr := &http.Transport{Protocols: new(http.Protocols)}
	tr.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 20 * time.Second}
}

// TestHTTP2: a client that begins with HTTP/2 is served, by nodes that speak HTTP/1.1.
func TestHTTP2(t *testing.T) {
	s, _, _ := front(t, addr(node(t, "one", func(w http.ResponseWriter, r *http.Request) {
		all, _ := io.ReadAll(r.Body)
		w.Header().Set("Trailer", "X-Sum")
		fmt.Fprintf(w, "[%s %s %s %s %s %s]", r.Proto, r.Host, r.RequestURI, all, r.Header.Get("X-Forwarded-Proto"), r.Trailer.Get("X-End"))
		w.Header().Set("X-Sum", "7")
	})))
	req, _ := http.NewRequest(http.MethodPost, s.URL+"/a?x;y=100%", io.MultiReader(strings.NewReader("body")))
	req.Host, req.Trailer = "A.Test:8080", http.Header{"X-End": {"good"}}
	resp, err := h2(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	all, _ := io.ReadAll(resp.Body)
	if want := "[HTTP/1.1 A.Test:8080 /a?x;y=100% body http good]"; resp.ProtoMajor != 2 || string(all) != want ||
		resp.Trailer.Get("X-Sum") != "7" {
		t.Errorf("got %s %q, trailer %v; want HTTP/2 and %q", resp.Proto, all, resp.Trailer, want)
	}
	for hostName, code := range map[string]int{"none.test": 404, "b.test": 503} {
		req, _ := http.NewRequest(http.MethodGet, s.URL, nil)
		req.Host = hostName
		resp, err := h2(t).Do(req)
		if err != nil || resp.StatusCode != code {
			t.Fatalf("%s: got %v, %v; want %d", hostName, resp, err, code)
		}
		resp.Body.Close()
	}
}

// TestGRPC: a gRPC client and a gRPC server with the resolver between: calls, errors in trailers, streams.
func TestGRPC(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server, service := grpc.NewServer(), health.NewServer()
	grpc_health_v1.RegisterHealthServer(server, service)
	go server.Serve(l)
	defer server.Stop()
	s, _, _ := front(t, l.Addr().String())
	c, err := grpc.NewClient("passthrough:///"+addr(s), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithAuthority("a.test"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	client := grpc_health_v1.NewHealthClient(c)
	if r, err := client.Check(ctx, &grpc_health_v1.HealthCheckRequest{}); err != nil ||
		r.Status != grpc_health_v1.HealthCheckResponse_SERVING {
		t.Errorf("call: got %v, %v", r, err)
	}
	if _, err := client.Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: "none"}); status.Code(err) != codes.NotFound {
		t.Errorf("an error in trailers: got %v, want NotFound", err)
	}
	watch, err := client.Watch(ctx, &grpc_health_v1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []grpc_health_v1.HealthCheckResponse_ServingStatus{grpc_health_v1.HealthCheckResponse_SERVING,
		grpc_health_v1.HealthCheckResponse_NOT_SERVING} {
		if r, err := watch.Recv(); err != nil || r.Status != want {
			t.Fatalf("stream: got %v, %v; want %v", r, err, want)
		}
		service.Shutdown() // the next message: all services are NOT_SERVING
	}
	if _, err := client.Check(ctx, &grpc_health_v1.HealthCheckRequest{}); err != nil {
		t.Errorf("after the stream: %v", err)
	}
	other, err := grpc.NewClient("passthrough:///"+addr(s), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithAuthority("none.test"))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	// HTTP 404
	if _, err := grpc_health_v1.NewHealthClient(other).Check(ctx,
		&grpc_health_v1.HealthCheckRequest{}); status.Code(err) != codes.Unimplemented {
		t.Errorf("an environment that is not there: got %v, want Unimplemented", err)
	}
}

// TestInterimAnswers: a client of HTTP/1.0 gets none (RFC 9110, section 15.2), one of HTTP/1.1 does.
func TestInterimAnswers(t *testing.T) {
	s, _, _ := front(t, addr(node(t, "one", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusProcessing)
		io.WriteString(w, "one")
	})))
	if got := raw(t, s, "GET / HTTP/1.0\r\nHost: a.test\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.0 200") ||
		strings.Contains(got, " 103 ") || strings.Contains(got, " 102 ") {
		t.Errorf("HTTP/1.0: got %q", got)
	}
	if got := raw(t, s, "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 103") ||
		!strings.Contains(got, "HTTP/1.1 102") {
		t.Errorf("HTTP/1.1: got %q", got)
	}
}

// TestExpectContinue: "100" comes when the node wants the body, and a node that refuses does so before it (RFC 9110, section 10.1.1).
func TestExpectContinue(t *testing.T) {
	s, _, _ := front(t, addr(node(t, "one", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/no" {
			http.Error(w, "too large", http.StatusRequestEntityTooLarge)
			return
		}
		io.Copy(w, r.Body)
	})))
	for path, want := range map[string][2]string{"/yes": {"HTTP/1.1 100", "HTTP/1.1 200"}, "/no": {"HTTP/1.1 413", "HTTP/1.1 413"}} {
		c, err := net.Dial("tcp", addr(s))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(time.Minute))
		io.WriteString(c, "POST "+path+" HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
		r := bufio.NewReader(c)
		line, err := r.ReadString('\n')
		if err != nil || !strings.HasPrefix(line, want[0]) {
			t.Fatalf("%s: got %q, %v before the body; want %s", path, line, err, want[0])
		}
		if path == "/no" {
			continue
		}
		r.ReadString('\n')
		io.WriteString(c, "hello")
		resp, err := http.ReadResponse(r, nil)
		if err != nil || resp.StatusCode != 200 {
			t.Fatalf("%s: got %v, %v", path, resp, err)
		}
		if all := make([]byte, 5); true {
			if _, err := io.ReadFull(resp.Body, all); err != nil || string(all) != "hello" {
				t.Errorf("%s: got %q, %v", path, all, err)
			}
		}
	}
	if got := raw(t, s, "POST /yes HTTP/1.0\r\nHost: a.test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello"); !strings.HasPrefix(
		got, "HTTP/1.0 200") || !strings.HasSuffix(got, "hello") {
		t.Errorf("HTTP/1.0: got %q", got)
	}
}

// TestTrailers: chunked trailers reach the node, announced or not, but for those that mean something before the body.
func TestTrailers(t *testing.T) {
	s, _, _ := front(t, addr(node(t, "one", func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		fmt.Fprintf(w, "[%v te=%q]", r.Trailer, r.Header["Te"])
	})))
	for _, c := range []struct{ name, head, trailer, want string }{
		{"announced", "Trailer: X-End\r\nTE: trailers, deflate\r\n", "X-End: 1\r\n", `[map[X-End:[1]] te=["trailers"]]`},
		{"not announced", "", "X-End: 1\r\n", `[map[X-End:[1]] te=[]]`},
		{"a lie behind the body", "Trailer: X-Forwarded-For, X-End\r\n",
			"X-Forwarded-For: 6.6.6.6\r\nX_Real_Ip: 6.6.6.6\r\nAuthorization: x\r\nX-End: 1\r\n", `[map[X-End:[1]] te=[]]`},
	} {
		got := raw(t, s, "POST / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n"+c.head+
			"\r\n3\r\nabc\r\n0\r\n"+c.trailer+"\r\n")
		if _, body := answered(t, got); body != c.want {
			t.Errorf("%s: got %q, want %s", c.name, got, c.want)
		}
	}
}

// TestUpgradeOnlyWhereItIsSeen: a client can't change to HTTP/2 behind the resolver's back, and hop-by-hop headers stay here.
func TestUpgradeOnlyWhereItIsSeen(t *testing.T) {
	s, _, _ := front(t, addr(node(t, "one", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "[%q %q %q %q]", r.Header["Upgrade"], r.Header["Connection"], r.Header["Http2-Settings"], r.Header["X-Hardnode-Env"])
	})))
	for sent, want := range map[string]string{
		"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA": "[[] [] [] []]",
		"Connection: Upgrade\r\nUpgrade: websocket, h2c":                                                  "[[] [] [] []]",
		"Connection: Upgrade\r\nUpgrade: TLS/1.0":                                                         "[[] [] [] []]",
		"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\nX-Hardnode-Env: other":                               "[[] [] [] []]",
		"Connection: Upgrade\r\nUpgrade: websocket":                                                       `[["websocket"] ["Upgrade"] [] []]`,
		"Upgrade: websocket": "[[] [] [] []]",
	} {
		c, err := net.Dial("tcp", addr(s))
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(time.Minute))
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: a.test\r\n"+sent+"\r\n\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		body := make([]byte, resp.ContentLength)
		if _, err := io.ReadFull(resp.Body, body); err != nil || string(body) != want {
			t.Errorf("%q: got %q, %v; want %s", sent, body, err, want)
		}
		c.Close()
	}
}

// TestHugeHeaders: 431 arrives (RFC 6585, section 5), for many headers and for one.
func TestHugeHeaders(t *testing.T) {
	s, _, _ := front(t, addr(node(t, "one", nil)))
	for name, head := range map[string]string{"one": "X-A: " + strings.Repeat("a", 100<<10),
		"many": strings.Repeat("X-A: b\r\n", 20_000) + "X-B: c"} {
		c, err := net.Dial("tcp", addr(s))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(time.Minute))
		go io.WriteString(c, "GET / HTTP/1.1\r\nHost: a.test\r\n"+head+"\r\n\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("%s: got %v, %v; want 431", name, resp, err)
		}
	}
}
