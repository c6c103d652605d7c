package proxy

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestTargetIsPassedOn: the node sees the request target byte for byte, or the client gets 400 and the node nothing (RFC 9110, section
// 7.7).
func TestTargetIsPassedOn(t *testing.T) {
	s, _, _ := front(t, addr(node(t, "one", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "["+r.RequestURI+"]") })))
	many := "/?" + strings.Repeat("a=1&", 12_000)
	for _, c := range []struct{ target, want string }{ // want "": as the target; otherwise what the node sees, or "400"
		{"/a?foo=bar;moo", ""}, {"/?q=100%", ""}, {"/?b=2&a=1", ""}, {"/?", ""}, {"/a?", ""}, {"/??x", ""}, {"/?a=%zz&b", ""},
		{"/?a=%", ""}, {"/?=;&&=", ""}, {"/?a=b#c", "400"}, {"//a/../b", ""}, {"//", ""}, {"///x", ""}, {"/a//b", ""}, {"/./a/../b/.", ""},
		{"/..", ""}, {"/%2e%2e/", ""}, {"/a%2Fb", ""}, {"/a%2fb%2F", ""}, {"/a%5cb\\c", ""}, {"/%7Euser/~user", ""}, {"/%41%61", ""},
		{"/{id}/|x|^y`z\"<>", ""}, {"/[a]/(b)'*!$&+,;=:@", ""}, {"/\xc3\xa9?\xff=\xc3", ""}, {"/%C3%A9", ""}, {"/%c3%a9", ""},
		{"//{x}", "400"}, {"/a;b=c/d;e", ""}, {"/a:b", ""}, {"/:80", ""}, {"/%", "400"}, {"/%4", "400"}, {"/%zz", "400"}, {"/a#b", "400"},
		{"/a b", "400"}, {"/a\x01b", "400"}, {"/a\x7f", "400"}, {"/a\tb", "400"}, {"a", "400"}, {"", "400"}, {"*", "400"}, {"/%00", ""},
		{"/%0d%0aX:%20y", ""}, {many, ""}, {"http://a.test/y?b=2&a=1;", "/y?b=2&a=1;"}, {"http://a.test", "/"},
		{"http://a.test?x=1", "/?x=1"}, {"http://a.test?", "/?"}, {"HTTP://A.Test:80//a/../b", "//a/../b"}, {"http://u:p@a.test/", "400"},
		{"http:/x", "400"}, {"http:x", "400"}, {"http:///x", "400"}, {"ftp://a.test/", "400"},
	} {
		want := c.want
		if want == "" {
			want = c.target
		}
		code, body := answered(t, raw(t, s, "GET "+c.target+" HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n"))
		if want == "400" {
			if code != 400 {
				t.Errorf("%q: got %d %.120q, want 400", c.target, code, body)
			}
		} else if body != "["+want+"]" {
			t.Errorf("%.120q: got %d %.120q, want the node to see it", c.target, code, body)
		}
	}
	if got := raw(t, s, "OPTIONS * HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n"); !strings.Contains(got, "HTTP/1.1 200") {
		t.Errorf("OPTIONS *: got %q", got) // a node on net/http answers it itself
	}
}

// answered reads one answer.
func answered(t *testing.T, text string) (code int, body string) {
	t.Helper()
	resp, err := http.ReadResponse(newReader(text), nil)
	if err != nil {
		t.Fatalf("no answer: %v: %.200q", err, text)
	}
	defer resp.Body.Close()
	all, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Errorf("answer breaks off: %v", err)
	}
	return resp.StatusCode, string(all)
}

func FuzzTarget(f *testing.F) {
	for _, s := range []string{"/a?foo=bar;moo", "//a/../b", "/%2F?", "http://a.test?x", "*", "/{x}|", "http://u@a//b"} {
		f.Add("GET", s)
	}
	f.Fuzz(func(t *testing.T, method, s string) {
		if strings.ContainsAny(s, " \r\n") || !strings.Contains("GET POST OPTIONS HEAD", method) || method == "" {
			return // no case of this test
		}
		r, err := http.ReadRequest(newReader(method + " " + s + " HTTP/1.1\r\nHost: a.test\r\n\r\n"))
		if err != nil {
			return // no case of this test
		}
		u, err := target(r)
		if err != nil {
			return
		}
		out := httptest.NewRequest(http.MethodGet, "/", nil)
		out.URL = u
		if got := out.URL.RequestURI(); got != s && !strings.HasSuffix(s, got) && got != "/" && !strings.HasSuffix(s, got[1:]) ||
			got == "" || got[0] != '/' && got != "*" {
			t.Errorf("%q goes on as %q", s, got)
		}
	})
}
