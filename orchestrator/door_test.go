package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/wire/operator"
)

// do sends one request and returns the answer with its body read.
func (c *cluster) do(client *http.Client, method, path string, body io.Reader, header ...string) (*http.Response, string) {
	c.t.Helper()
	req, err := http.NewRequest(method, "https://"+c.api+path, body)
	must(c.t, err)
	if c.bearer != "" {
		req.Header.Set("Authorization", "Bearer "+c.bearer)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := client.Do(req)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	must(c.t, err)
	return resp, string(raw)
}

// Methods, entity tags and sizes are answered as HTTP says (RFC 9110, sections 9.3.7, 13.1.2, 15.5.6 and 15.5.14).
func TestManners(t *testing.T) {
	t.Parallel()
	c := found(t, 2, "infra1", "host1")
	c.start()
	c.join("host1", 0)
	for _, b := range []struct {
		method, path string
		status       int
		allow        string
	}{
		{"PATCH", "/api/v1/hosts", 405, "GET, HEAD, OPTIONS"},
		{"GET", "/api/v1/join-tokens", 405, "POST, OPTIONS"},
		{"DELETE", "/api/v1/tokens", 405, "GET, HEAD, POST, OPTIONS"},
		{"BREW", "/api/v1/hosts", 405, "GET, HEAD, OPTIONS"},
		{"POST", "/metrics", 405, "GET, HEAD, OPTIONS"},
		{"OPTIONS", "/api/v1/hosts", 204, "GET, HEAD, OPTIONS"},
		{"OPTIONS", "/api/v1/environments/hello", 204, "GET, HEAD, PUT, DELETE, OPTIONS"},
		{"OPTIONS", "/api/v1/nothing", 404, ""},
		{"PATCH", "/api/v1/nothing", 404, ""},
		{"HEAD", "/api/v1/hosts", 200, ""},
	} {
		resp, body := c.do(c.client, b.method, b.path, nil)
		if allow := resp.Header.Get("Allow"); resp.StatusCode != b.status || !strings.HasPrefix(allow, b.allow) || b.allow == "" &&
			allow != "" {
			t.Errorf("%s %s: %d, Allow %q, want %d and %q: %s", b.method, b.path, resp.StatusCode, allow, b.status, b.allow, body)
		}
	}
	// What has not changed is not sent again; a node that changes is.
	for _, path := range []string{"/api/v1/environments", "/api/v1/nodes", "/api/v1/tokens", "/api/v1/operations", "/api/v1/version"} {
		first, body := c.do(c.client, "GET", path, nil)
		tag := first.Header.Get("ETag")
		again, empty := c.do(c.client, "GET", path, nil, "If-None-Match", `"other", W/`+tag)
		if tag == "" || first.StatusCode != 200 || body == "" || again.StatusCode != 304 || empty != "" || again.Header.Get("ETag") != tag {
			t.Errorf("%s: %d %q with tag %s, then %d %q", path, first.StatusCode, body, tag, again.StatusCode, empty)
		}
	}
	was, _ := c.do(c.client, "GET", "/api/v1/environments", nil)
	c.create(hello("hello", 1))
	if now, body := c.do(c.client, "GET", "/api/v1/environments", nil, "If-None-Match", was.Header.Get("ETag")); now.StatusCode != 200 ||
		!strings.Contains(body, "hello") {
		t.Errorf("after a change: %d %s", now.StatusCode, body)
	}
	// A body of 20 MB is refused with an answer that arrives, whoever sends it and however.
	large := bytes.Repeat([]byte("x"), 20<<20)
	for _, v := range []struct {
		name   string
		client *http.Client
		body   func() io.Reader
	}{
		{"HTTP/1.1", c.plain, func() io.Reader { return bytes.NewReader(large) }},
		{"HTTP/1.1 in chunks", c.plain, func() io.Reader { return io.MultiReader(bytes.NewReader(large)) }},
		{"HTTP/2", c.client, func() io.Reader { return bytes.NewReader(large) }},
	} {
		for token, want := range map[string]int{adminToken: 413, "": 401} {
			c.bearer = token
			if resp, body := c.do(v.client, "POST", "/api/v1/environments", v.body(), "Content-Type",
				"application/json"); resp.StatusCode != want || want == 413 && !strings.Contains(body, "more than 1048576 bytes") {
				t.Errorf("20 MB by %s: %d %s, want %d", v.name, resp.StatusCode, body, want)
			}
		}
	}
}

// Who is not known, or sends no body, holds nothing that others need: on both ports, with any path and header.
func TestSlowBodies(t *testing.T) {
	t.Parallel()
	c := found(t, 2, "infra1", "host1")
	c.start()
	c.join("host1", 0)
	for _, b := range []struct {
		name, addr, path, header string
		status                   int
	}{
		{"without a token", c.api, "/api/v1/environments", "", 401},
		{"with Upgrade", c.api, "/api/v1/environments", "Upgrade: websocket\r\nConnection: Upgrade\r\n", 401},
		{"a path that ends in /events", c.api, "/api/v1/nothing/events", "", 401},
		{"a watch", c.api, "/api/v1/operations/op-0/events", "", 401},
		{"the panel", c.api, "/panel/nothing", "", 303},
		{"the description", c.api, "/openapi.json", "", 401},
		{"a host's path", c.hostAddr, "/host/v1/report", "", 403},
		{"no path of hosts", c.hostAddr, "/nothing", "", 404},
	} {
		var held []net.Conn
		for range 100 {
			conn, err := tls.Dial("tcp", b.addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
			if err != nil {
				t.Fatalf("%s: connection %d: %v", b.name, len(held), err)
			}
			conn.SetDeadline(time.Now().Add(time.Minute))
			fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n%s\r\nx", b.path, b.header)
			held = append(held, conn)
		}
		for i, conn := range held {
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil || resp.StatusCode != b.status {
				t.Fatalf("%s: connection %d was answered %v, %v, want %d", b.name, i, resp, err, b.status)
			}
		}
		c.ok("GET", "/api/v1/hosts", nil, nil) // while all of them are open
		for _, conn := range held {
			conn.Close()
		}
	}
	// Who has a token and sends no body holds no place either.
	for range maxAtOnceInTest {
		conn, err := tls.Dial("tcp", c.api, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
		must(t, err)
		defer conn.Close()
		fmt.Fprintf(conn, "POST /api/v1/environments HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %s\r\nContent-Length: 500000\r\n\r\nx",
			adminToken)
	}
	c.ok("GET", "/api/v1/hosts", nil, nil)
}

const maxAtOnceInTest = 100 // more than the places for requests at work

// What a token has open ends with it; wrong tokens are on record. The rest of tokens is testdata/stories/token.txtar.
func TestTokensEnd(t *testing.T) {
	t.Parallel()
	c := found(t, 2, "infra1", "host1")
	c.start()
	h1, _ := c.join("host1", 0)
	c.create(hello("hello", 1))
	var next, metrics operator.MadeToken
	c.ok("POST", "/api/v1/tokens", operator.NewToken{Name: "next", Scopes: []string{"admin"}}, &next)
	c.ok("POST", "/api/v1/tokens", operator.NewToken{Name: "prometheus", Scopes: []string{"metrics"}}, &metrics)
	// A session and a watch of the first token are open when it goes.
	h1.Force(0, "starting", "not yet")
	var a operator.Accepted
	c.ok("POST", "/api/v1/environments", hello("other", 1), &a)
	session := c.dial("100/exec?argv=cat")
	req, err := http.NewRequestWithContext(t.Context(), "GET", "https://"+c.api+"/api/v1/operations/"+string(a.Operation.ID)+"/events", nil)
	must(t, err)
	req.Header.Set("Authorization", "Bearer "+c.bearer)
	watch, err := c.client.Do(req)
	must(t, err)
	defer watch.Body.Close()
	c.bearer = next.Text
	c.ok("DELETE", "/api/v1/tokens/admin", nil, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for err = nil; err == nil; {
		_, _, err = session.Read(ctx)
	}
	if ctx.Err() != nil {
		t.Error("the session of a revoked token is still open after 30 s")
	}
	if _, err := io.Copy(io.Discard, watch.Body); err != nil {
		t.Errorf("the watch of a revoked token: %v", err)
	}
	c.bearer = adminToken
	if p := c.call("GET", "/api/v1/hosts", nil, nil); p == nil || p.Status != 401 {
		t.Errorf("the revoked admin token: %+v", p)
	}
	c.bearer = metrics.Text
	if resp, _ := c.do(c.client, "GET", "/metrics", nil); resp.StatusCode != 200 {
		t.Errorf("/metrics with scope metrics: %d", resp.StatusCode)
	}
	c.bearer = next.Text
	var audits operator.List[operator.Audit]
	c.ok("GET", "/api/v1/audit", nil, &audits)
	refused := 0
	for _, a := range audits.Items {
		if a.What == "token.refused" {
			refused++
		}
	}
	if refused != 1 {
		t.Errorf("%d records of refused tokens, want one", refused)
	}
}
