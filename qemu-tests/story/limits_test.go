//go:build qemu

package story

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"hardnode.dev/qemu-tests/harness"
)

// held is a row of the table in SECURITY.md, "What a slow or greedy caller can hold", as one client meets it.
type held struct {
	what   string
	port   int
	header time.Duration // until the request's header is there; the TLS handshake is within it
}

// slowCallers walks that table: on every port one client opens connections and says next to nothing on them. All are closed when their time
// is over, and others are served then. (How many one client may hold is tested in internal/run/listen: through a forwarded port
// connections come so slowly that the first end before the last one is there.)
func slowCallers(s story) {
	var all sync.WaitGroup
	for _, r := range []held{
		{"pages", s.Ports.Pages, 10 * time.Second},
		{"API", s.Ports.API, 10 * time.Second},
		{"hosts", s.Ports.Hosts, 10 * time.Second},
		{"registry", s.Ports.Registry, 10 * time.Second},
		{"licence server", s.Ports.JLS, 5 * time.Second},
	} {
		all.Go(func() {
			const n = 32
			last, err := r.idle(n, slack*r.header*harness.Scale())
			if err != nil {
				s.Errorf("%s: %v", r.what, err)
				return
			}
			s.figure("%s: of %d connections that say nothing the last is closed after %.1f s", r.what, n, last.Seconds())
		})
	}
	all.Wait()
	if out := s.hnctl("host", "list"); !strings.Contains(out, "host-1") {
		s.Errorf("after that: hnctl host list says %q", out)
	}
	if p, err := s.FetchPage(s.Context(), "hello", "/"); err != nil || p.Status != 200 {
		s.Errorf("after that the page is %d, %v", p.Status, err)
	}
}

// idle opens n connections, writes the first byte of a request or of a handshake on each, and tells how long the last was kept open.
func (r held) idle(n int, limit time.Duration) (last time.Duration, err error) {
	var all sync.WaitGroup
	ends, errs := make([]time.Duration, n), make([]error, n)
	for i := range n {
		c, err := net.DialTimeout("tcp", net.JoinHostPort("127.0.0.1", fmt.Sprint(r.port)), 30*time.Second)
		if err != nil {
			errs[i] = err
			break
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
	return slices.Max(ends), errors.Join(errs...)
}
