//go:build qemu

package story

import (
	"context"
	"fmt"
	"strings"
	"time"

	"hardnode.dev/qemu-tests/harness"
)

// firewalled: a rule that an administrator gives keeps another host's node out and lets it in again, while the resolver serves the page.
func firewalled(s story) {
	e := s.settled("hello")
	from, to := e.Nodes[0].CTID.String(), e.Nodes[1].CTID.String()
	reaches := func(want bool, when string) {
		s.Helper()
		for end := time.Now().Add(patience()); ; time.Sleep(200 * time.Millisecond) {
			ctx, cancel := context.WithTimeout(s.Context(), 5*time.Second*harness.Scale()) // what is dropped is waited for long
			out, err := s.HNCTL(ctx, "node", "exec", from, "--", "wget", "-q", "-O", "-",
				fmt.Sprintf("http://node%s.hello.internal/", to))
			cancel()
			if got := err == nil && strings.Contains(string(out), "<html"); got == want {
				return
			} else if time.Now().After(end) {
				s.Fatalf("%s node %s reaches node %s: %v, %v", when, from, to, got, err)
			}
		}
	}
	reaches(true, "without rules")
	fmt.Fprint(s.Output(), s.hnctl("node", "firewall", "add", to, "shut", "--action", "deny", "--protocol", "tcp", "--port", "80",
		"--peer", "hello.internal"))
	reaches(false, "once it is denied")
	if p, err := s.FetchPage(s.Context(), "hello", "/"); err != nil || p.Status != 200 {
		s.Errorf("the page is answered with %d, %v", p.Status, err)
	}
	s.hnctl("node", "firewall", "delete", to, "shut")
	reaches(true, "without rules again")
}
