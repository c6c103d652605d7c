//go:build qemu

package story

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"hardnode.dev/qemu-tests/harness"
)

// held is a row of the table in SECURITY.md, "What a slow or greedy caller can hold", as one client meets it.
type held struct {
	what   string
	port   int
	most   int           // connections of one client; 0: more than this test opens
	header time.Duration // until the request's header is there; the TLS handshake is within it
}

// slowCallers walks that table: on every port one client opens more connections than it may, and says next to nothing on them. All are
// closed when their time is over, and others are served then. How many are closed at once is told only: they come one after the other
// through a forwarded port, and may end sooner than the last has come (internal/run/listen tests that bound).
func slowCallers(s story) {
	rows := []held{
		{"pages", s.Ports.Pages, 0, 10 * time.Second},
		{"API", s.Ports.API, 128, 10 * time.Second},
		{"hosts", s.Ports.Hosts, 128, 10 * time.Second},
		{"registry", s.Ports.Registry, 256, 10 * time.Second},
		{"licence server", s.Ports.JLS, 128, 5 * time.Second},
	}
	for _, r := range rows {
		const over = 24
		n := r.most + over
		if r.most == 0 {
			n = 200
		}
		ends, err := r.idle(n, slack*r.header*harness.Scale())
		if err != nil {
			s.Errorf("%s: %v", r.what, err)
			continue
		}
		at := 0
		var last time.Duration
		for _, e := range ends {
			if e < r.header/2 {
				at++
			}
			last = max(last, e)
		}
		s.figure("%s: of %d connections that say nothing %d are closed at once, the last after %.1f s", r.what, n, at, last.Seconds())
		if at > 0 && r.most == 0 {
			s.Errorf("%s: %d of %d connections were closed at once, want none", r.what, at, n)
		}
	}
	if out := s.hnctl("host", "list"); !strings.Contains(out, "host-1") {
		s.Errorf("after that: hnctl host list says %q", out)
	}
	if p, err := s.FetchPage(s.Context(), "hello", "/"); err != nil || p.Status != 200 {
		s.Errorf("after that the page is %d, %v", p.Status, err)
	}
}

// idle opens n connections, writes the first byte of a request or of a handshake on each, and tells how long each was kept open.
func (r held) idle(n int, limit time.Duration) ([]time.Duration, error) {
	var all sync.WaitGroup
	ends, errs := make([]time.Duration, n), make([]error, n)
	for i := range n {
		c, err := net.DialTimeout("tcp", net.JoinHostPort("127.0.0.1", fmt.Sprint(r.port)), 10*time.Second)
		if err != nil {
			return nil, err
		}
		first := "\x16" // a TLS record of a handshake (RFC 8446, 5.1)
		if r.what == "pages" {
			first = "G"
		}
		began := time.Now()
		c.SetDeadline(began.Add(limit))
		io.WriteString(c, first) // one that is closed already is seen below
		all.Go(func() {
			defer c.Close()
			if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
				errs[i] = fmt.Errorf("a connection on which one byte came is still open after %s, want %s", limit, r.header)
			}
			ends[i] = time.Since(began)
		})
	}
	all.Wait()
	return ends, errors.Join(errs...)
}
