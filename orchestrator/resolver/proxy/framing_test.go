package proxy

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

// TestAmbiguousFraming: what a proxy in front could read in another way never reaches a node, and the connection ends with a 400.
func TestAmbiguousFraming(t *testing.T) {
	var reached atomic.Int64
	s, _, _ := front(t, addr(node(t, "one", func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		reached.Add(1)
		fmt.Fprintf(w, "[%s %d]", r.URL.Path, n)
	})))
	const smuggled = "GET /smuggled HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n"
	for _, c := range []struct{ name, request string }{
		{"CL.TE", "POST /a HTTP/1.1\r\nHost: a.test\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled},
		{"TE.CL", "POST /a HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n" + smuggled},
		{"CL.0 on HTTP/1.0 with TE",
			"POST /a HTTP/1.0\r\nHost: a.test\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled},
		{"two equal lengths", "POST /a HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc" + smuggled},
		{"two lengths", "POST /a HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\nContent-Length: 0\r\n\r\nabc" + smuggled},
		{"a list of lengths", "POST /a HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3, 3\r\n\r\nabc" + smuggled},
		{"a signed length", "POST /a HTTP/1.1\r\nHost: a.test\r\nContent-Length: +3\r\n\r\nabc" + smuggled},
		{"folded coding", "POST /a HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" + smuggled},
		{"folded header", "GET /a HTTP/1.1\r\nHost: a.test\r\nX-A: b\r\n\tX-Forwarded-For: 6.6.6.6\r\n\r\n" + smuggled},
		{"a blank before the colon", "POST /a HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + smuggled},
		{"a vertical tab", "POST /a HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n" + smuggled},
		{"two codings",
			"POST /a HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + smuggled},
		{"a bare CR in a value", "GET /a HTTP/1.1\r\nHost: a.test\r\nX-A: b\rX-B: c\r\n\r\n" + smuggled},
		{"a NUL in a name", "GET /a HTTP/1.1\r\nHost: a.test\r\nX-\x00A: b\r\n\r\n" + smuggled},
		{"behind a good one",
			"POST /good HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nX-A: b\r\n\r\n" +
				"POST /a HTTP/1.1\r\nHost: a.test\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled},
	} {
		reached.Store(0)
		got := raw(t, s, c.request)
		if strings.Contains(got, "/smuggled") || strings.Contains(got, "[/a ") || !strings.Contains(got, "HTTP/1.1 400") &&
			!strings.Contains(got, "HTTP/1.0 400") && !strings.Contains(got, "501") {
			t.Errorf("%s: got %.300q, want 400 and the end", c.name, got)
		}
		if n := reached.Load(); n > 1 || n == 1 && !strings.HasPrefix(c.name, "behind") {
			t.Errorf("%s: %d requests reached the node", c.name, n)
		}
	}
}

// TestFramingFollows: what is right passes on one connection, whatever the bodies hold.
func TestFramingFollows(t *testing.T) {
	s, _, _ := front(t, addr(node(t, "one", func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprintf(w, "[%s %d]", r.URL.Path, n)
	})))
	evil := "POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
	got := raw(t, s, fmt.Sprintf("POST /1 HTTP/1.1\r\nHost: a.test\r\nContent-Length: %d\r\n\r\n%s", len(evil), evil)+
		fmt.Sprintf("POST /2 HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\n\r\n%x;a=b\r\n%s\r\n1\r\nX\r\n0\r\nX-A: b\r\n\r\n",
			len(evil), evil)+
		"GET /3 HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n"+
		"GET /4 HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")
	for _, want := range []string{fmt.Sprintf("[/1 %d]", len(evil)), fmt.Sprintf("[/2 %d]", len(evil)+1), "[/3 0]", "[/4 0]"} {
		if !strings.Contains(got, want) {
			t.Errorf("got %.900q, want %s in it", got, want)
		}
	}
}

// FuzzFraming: cut anywhere, the bytes mean the same, and nothing panics.
func FuzzFraming(f *testing.F) {
	f.Add([]byte("POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\n\r\n"), 7)
	f.Add([]byte("POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n"), 33)
	f.Fuzz(func(t *testing.T, raw []byte, cut int) {
		var whole, parts framing
		whole.feed(raw)
		for n := max(1, cut%97); len(raw) > 0; {
			n = min(n, len(raw))
			parts.feed(raw[:n])
			raw = raw[n:]
		}
		if (whole.wrong.Load() == nil) != (parts.wrong.Load() == nil) || whole.mode != parts.mode {
			t.Errorf("in one piece: %v %v, in parts: %v %v", whole.mode, whole.wrong.Load(), parts.mode, parts.wrong.Load())
		}
	})
}
