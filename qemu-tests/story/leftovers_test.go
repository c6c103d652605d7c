//go:build qemu

package story

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"hardnode.dev/internal/run"
	"hardnode.dev/qemu-tests/harness/ask"
)

// file writes the document of an environment of nginx nodes; instead are pairs of what stands in it and what shall stand there.
func (s story) file(name string, nodes int, instead ...string) string {
	s.Helper()
	doc := fmt.Sprintf("version: 1\nname: %s\nlayers:\n  - name: cp\n    template: nginx\n    nodes: %d\n"+
		"    cloudlets: {reserved: 1, dynamic: 2}\n", name, nodes)
	doc = strings.NewReplacer(instead...).Replace(doc)
	path := filepath.Join(s.TempDir(), name+".yaml")
	if err := os.WriteFile(path, []byte(doc), 0o600); err != nil {
		s.Fatal(err)
	}
	return path
}

// create makes an environment of nginx nodes.
func (s story) create(name string, nodes int) {
	s.Helper()
	s.hnctl("env", "create", "-f", s.file(name, nodes))
}

// delete deletes an environment and waits until it is gone.
func (s story) delete(name string) {
	s.Helper()
	s.hnctl("env", "delete", name, "--now", "--yes")
	s.gone(name)
}

// gone waits until there is no such environment.
func (s story) gone(name string) {
	s.Helper()
	s.until("environment "+name+" is gone", func() bool {
		_, err := s.Env(s.Context(), name)
		return err != nil && strings.Contains(err.Error(), "there is no such environment")
	})
}

// until waits for something that takes half a minute at most.
func (s story) until(what string, f func() bool) {
	s.Helper()
	for limit := time.Now().Add(patience()); !f(); {
		if time.Now().After(limit) || !run.Wait(s.Context(), 300*time.Millisecond) {
			s.Fatalf("not within %v: %s", patience(), what)
		}
	}
}

// counts are what every user host has of the things a container may leave behind.
func (s story) counts() map[string]ask.Counts {
	s.Helper()
	out := map[string]ask.Counts{}
	for _, h := range s.Hosts {
		if h.VM() != nil && h.VM().Running() {
			out[h.Name] = *s.ask(h, ask.Request{What: "counts"}).Counts
		}
	}
	return out
}

// noMoreThan waits until no host has more than it had, and fails with the difference. It may have less: what a test before this one left
// to be cleared away was there when counting began.
func (s story) noMoreThan(want map[string]ask.Counts) {
	s.Helper()
	var got map[string]ask.Counts
	for limit := time.Now().Add(patience()); time.Now().Before(limit) &&
		run.Wait(s.Context(), 500*time.Millisecond); {
		got = s.counts()
		same := true
		for name := range want {
			same = same && got[name].Within(want[name])
		}
		if same {
			return
		}
	}
	for name := range want {
		if !got[name].Within(want[name]) {
			s.Errorf("%s has %+v, had %+v", name, got[name], want[name])
		}
	}
}

// leavesNothing: the second create and delete ends with the counts of the first.
func leavesNothing(s story) {
	s.settled("hello")
	before := s.counts()
	for range soak(2, 10) {
		s.create("brief", 4)
		s.settled("brief")
		during := s.counts()
		for name := range before {
			if during[name].Veths <= before[name].Veths || during[name].NetNS <= before[name].NetNS ||
				during[name].Cgroups <= before[name].Cgroups {
				s.Errorf("with 4 nodes more %s has %+v, had %+v: the counting is blind", name, during[name], before[name])
			}
		}
		s.delete("brief")
		s.noMoreThan(before)
	}
}
