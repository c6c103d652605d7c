//go:build qemu

package story

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"hardnode.dev/internal/wire/operator"
)

// edited: an environment under requests through the resolver is scaled, resized live, given another variable and a layer more by one file;
// no request fails, and what was carried out leaves nothing to plan. What it is now is written as a file that plans nothing either.
func edited(s story) {
	before, back := s.settled("hello"), s.export("hello")
	v, begin := s.visitor(50*time.Millisecond), time.Now()
	layer := "cloudlets: {reserved: 1, dynamic: 3}\n    env: {GREETING: \"0022\"}\n  - name: cache\n    template: nginx\n    nodes: 1\n" +
		"    cloudlets: {reserved: 1, dynamic: 2}"
	file := s.file("hello", len(before.Nodes)+1, "cloudlets: {reserved: 1, dynamic: 2}", layer)
	plan := s.plan(file)
	if len(plan.Steps) != len(before.Nodes)+2 || plan.Nodes != 2 {
		s.Fatalf("the plan is %+v, want a restart of %d nodes and two nodes more", plan, len(before.Nodes))
	}
	s.hnctl("env", "apply", "-f", file)
	s.figure("an edit of %d nodes with 2 more took %.1f s", len(before.Nodes), time.Since(begin).Seconds())
	after := s.settled("hello")
	for _, n := range after.Nodes {
		if n.Layer != "cp" {
			continue
		}
		if got := strings.TrimSpace(s.hnctl("node", "exec", n.CTID.String(), "--", "sh", "-c", "echo $GREETING")); got != "0022" {
			s.Errorf("node %s has GREETING=%q, want 0022", n.CTID, got)
		}
		limit := strings.TrimSpace(s.hnctl("node", "exec", n.CTID.String(), "--", "grep", "MemTotal", "/proc/meminfo"))
		if want := fmt.Sprint(3 * 128 << 10); !strings.Contains(limit, want) {
			s.Errorf("node %s says %q, want %s kB", n.CTID, limit, want)
		}
	}
	for _, was := range before.Nodes { // the same nodes, at the same addresses
		kept := false
		for _, n := range after.Nodes {
			kept = kept || n.CTID == was.CTID && n.InternalIP == was.InternalIP
		}
		if !kept {
			s.Errorf("node %s at %s is another one now: %+v", was.CTID, was.InternalIP, after.Nodes)
		}
	}
	if again := s.plan(file); len(again.Steps) != 0 {
		s.Errorf("the plan of what was carried out: %+v", again.Steps)
	}
	if again := s.plan(s.export("hello")); len(again.Steps) != 0 {
		s.Errorf("the plan of what was exported: %+v", again.Steps)
	}
	s.hnctl("env", "apply", "-f", back)
	list := v.stop()
	s.figure("%d requests meanwhile, %d failed", len(list), len(failed(list, begin)))
	if bad := failed(list, begin); len(bad) > 0 || len(list) == 0 {
		s.Errorf("%d of %d requests failed while the environment was edited: %q", len(bad), len(list), bad)
	}
	for i, n := range s.settled("hello").Nodes {
		if i >= len(before.Nodes) || n.CTID != before.Nodes[i].CTID {
			s.Errorf("after the way back node %s is there, before there were %+v", n.CTID, before.Nodes)
		}
	}
}

// export is the file that an environment is made of.
func (s story) export(name string) string {
	s.Helper()
	path := filepath.Join(s.TempDir(), name+".exported.yaml")
	if err := os.WriteFile(path, []byte(s.hnctl("env", "export", name)), 0o600); err != nil {
		s.Fatal(err)
	}
	return path
}

// plan is what an edit would do.
func (s story) plan(file string) (p operator.EditPlan) {
	s.Helper()
	if err := s.Get(s.Context(), &p, "env", "apply", "-f", file, "--dry-run"); err != nil {
		s.Fatal(err)
	}
	return p
}
