//go:build qemu

package story

import (
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
)

// redeployed: nodes get another image under wrk, one after the other, and no request fails; the files that are listed stay. A release that
// does not run stops at the first node, which gets its image and all of its files back. Undoing brings back what was before the redeploy.
func redeployed(s story) {
	const name = "anew"
	nodes := soak(2, 3)
	s.hnctl("template", "push", s.small("unfit", func(c *v1.ConfigFile) {
		c.Config.Entrypoint = []string{"/no/such/program"}
		c.Config.Labels = map[string]string{host.LabelHTTPPort: "80"}
	}))
	s.listed("unfit")
	first := s.settled("hello").Nodes[0].Template
	s.hnctl("template", "tag", string(first), "next")
	s.hnctl("env", "create", "-f", s.file(name, nodes, "template: nginx", "template: "+string(first)))
	defer s.delete(name)
	before := s.settled(name)
	if err := s.WaitPage(s.Context(), name, patience()); err != nil {
		s.Fatal(err)
	}
	exec := func(n operator.Node, script string) string {
		s.Helper()
		return strings.TrimSpace(s.hnctl("node", "exec", n.CTID.String(), "--", "sh", "-c", script))
	}
	for _, n := range before.Nodes {
		exec(n, "mkdir -p /srv/app /etc/jem && echo kept > /srv/app/file && chown 33:33 /srv/app/file && chmod 640 /srv/app/file && "+
			"echo /srv/app > /etc/jem/redeploy.conf && echo own > /etc/mine")
	}
	are := func(when, image, want string) {
		s.Helper()
		e := s.settled(name)
		for i, n := range e.Nodes {
			if n.CTID != before.Nodes[i].CTID || n.InternalIP != before.Nodes[i].InternalIP || string(n.Template) != image {
				s.Errorf("%s: node %+v, was %+v", when, n, before.Nodes[i])
			}
			const look = "cat /srv/app/file; stat -c '%u:%g %a' /srv/app/file; cat /etc/mine 2>/dev/null || echo none"
			if got := exec(n, look); got != "kept\n33:33 640\n"+want {
				s.Errorf("%s: node %s has %q, want %q", when, n.CTID, got, want)
			}
		}
	}
	stop, begin := s.wrk(name), time.Now()
	step := func(what string) {
		s.figure("%s of %d nodes took %.1f s", what, nodes, time.Since(begin).Seconds())
		begin = time.Now()
	}
	s.hnctl("env", "redeploy", name, "cp=nginx:next")
	step("a redeploy")
	are("redeployed", "nginx:next", "none")
	for _, n := range before.Nodes {
		exec(n, "echo since > /etc/mine")
	}
	begin = time.Now()
	if out, err := s.HNCTL(s.Context(), "env", "redeploy", name, "cp=unfit"); err == nil ||
		!strings.Contains(err.Error()+string(out), "is broken") {
		s.Errorf("a release that does not run: %s, %v", out, err)
	}
	step("a release that does not run")
	are("a release that does not run", "nginx:next", "since")
	begin = time.Now()
	s.hnctl("env", "undo", name)
	step("undoing")
	are("undone", string(first), "own")
	l := stop()
	s.figure("%d requests meanwhile, %d failed, the longest took %.2f s", l.requests, l.failed, l.longest.Seconds())
	// On a machine with other work a node's checks can come too late just while the other one is held: those requests end after HoldFor.
	if l.failed > soak(l.requests/100, 0) || l.requests == 0 {
		s.Errorf("requests failed while nodes were made anew:\n%s", l.text)
	}
}
