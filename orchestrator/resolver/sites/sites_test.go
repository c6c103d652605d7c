package sites

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

func TestNormalize(t *testing.T) {
	for in, want := range map[string]string{
		"hello.demo.test": "hello.demo.test", "HELLO.Demo.Test": "hello.demo.test", "hello.demo.test:80": "hello.demo.test",
		"hello.demo.test.":      "hello.demo.test",
		"hello.demo.test.:8080": "hello.demo.test", "hello.demo.test:": "hello.demo.test",
		"": "", ":80": "", ".": "", "hello:80:90": "", "hello:http": "", "[::1]:80": "", "[::1]": "",
		"hello.demo.test..":      "hello.demo.test.",
		strings.Repeat("a", 254): "",
	} {
		got, ok := Normalize(in)
		if got != want || ok != (want != "") {
			t.Errorf("%q: got %q, %v; want %q", in, got, ok, want)
		}
	}
}

func routes(rev wire.Revision, domain string, addrs ...string) host.Routes {
	s := host.Site{Env: "hello", Domain: domain, Running: true}
	for i, a := range addrs {
		s.Backends = append(s.Backends, host.Backend{CTID: wire.CTID(101 + i), Addr: netip.MustParseAddrPort(a)})
	}
	return host.Routes{Version: 1, Revision: rev, Sites: []host.Site{s}}
}

func TestNextGoesRound(t *testing.T) {
	var b Book
	s := b.Replace(routes(1, "a.test", "10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80")).Lookup("a.test")
	count := map[string]int{}
	for range 300 {
		count[s.Next(nil).Addr]++
	}
	for a, n := range count {
		if n != 100 {
			t.Errorf("%s had %d turns of 300, want 100", a, n)
		}
	}
	s.Backends[0].SetUp(false)
	for range 100 {
		if n := s.Next(nil); n == s.Backends[0] {
			t.Fatal("a backend that is down had a turn")
		}
	}
	var tried []*Backend
	for len(tried) < 3 {
		tried = append(tried, s.Next(tried))
	}
	if tried[2] != s.Backends[0] {
		t.Error("the backend that is down was not the last to be tried")
	}
	if n := s.Next(tried); n != nil {
		t.Errorf("got %v after all were tried", n)
	}
}

func TestReplaceKeepsHealth(t *testing.T) {
	var b Book
	if b.Table() != nil {
		t.Error("an empty book has a table")
	}
	first := b.Replace(routes(1, "a.test", "10.0.0.1:80", "10.0.0.2:80")).Lookup("a.test")
	life := first.Backends[0].Life()
	first.Backends[0].SetUp(false)
	if life.Err() == nil {
		t.Error("the life of a backend that went down goes on")
	}
	second := b.Replace(routes(2, "a.test", "10.0.0.1:80", "10.0.0.3:80")).Lookup("a.test")
	if second.Backends[0] != first.Backends[0] || second.Backends[0].Up() {
		t.Error("a backend that stayed lost its health")
	}
	if !second.Backends[1].Up() {
		t.Error("a new backend is not up")
	}
	if second.Backends[0].SetUp(true); second.Backends[0].Life().Err() != nil {
		t.Error("a backend that came back has no life")
	}
	if b.Table().Lookup("b.test") != nil || b.Table().Lookup("") != nil {
		t.Error("a site for an unknown name")
	}
}

func BenchmarkLookupAndNext(b *testing.B) {
	var book Book
	var all host.Routes
	for i := range 1000 {
		r := routes(1, fmt.Sprintf("env%d.demo.test", i), "10.0.0.1:80", "10.0.0.2:80")
		all.Sites = append(all.Sites, r.Sites...)
	}
	book.Replace(all)
	b.ReportAllocs()
	for b.Loop() {
		book.Table().Lookup("env77.demo.test:80").Next(nil)
	}
}
