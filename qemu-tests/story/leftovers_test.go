//go:build qemu

package story

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"hardnode.dev/internal/run"
	"hardnode.dev/qemu-tests/harness"
	"hardnode.dev/qemu-tests/harness/ask"
)

// create makes an environment of nginx nodes.
func (s story) create(name string, nodes int) {
	s.Helper()
	file := filepath.Join(s.TempDir(), name+".yaml")
	doc := fmt.Sprintf("version: 1\nname: %s\nlayers:\n  - name: cp\n    template: nginx\n    nodes: %d\n    cloudlets: {reserved: 1, dynamic: 2}\n", name, nodes)
	if err := os.WriteFile(file, []byte(doc), 0o600); err != nil {
		s.Fatal(err)
	}
	s.hnctl("env", "create", "-f", file)
}

// delete deletes an environment and waits until it is gone.
func (s story) delete(name string) {
	s.Helper()
	s.hnctl("env", "delete", name, "--yes")
	limit := time.Now().Add(30 * time.Second * harness.Scale())
	for {
		if _, err := s.Env(s.Context(), name); err != nil {
			return
		}
		if time.Now().After(limit) || !run.Wait(s.Context(), 300*time.Millisecond) {
			s.Fatalf("environment %s is still there", name)
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

// sameCounts waits until every host has the counts it had, and fails with the difference.
func (s story) sameCounts(want map[string]ask.Counts) {
	s.Helper()
	var got map[string]ask.Counts
	for limit := time.Now().Add(10 * time.Second * harness.Scale()); time.Now().Before(limit) && run.Wait(s.Context(), 500*time.Millisecond); {
		got = s.counts()
		same := true
		for name := range want {
			same = same && got[name] == want[name]
		}
		if same {
			return
		}
	}
	for name := range want {
		if got[name] != want[name] {
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
			if during[name].Veths <= before[name].Veths || during[name].NetNS <= before[name].NetNS || during[name].Cgroups <= before[name].Cgroups {
				s.Errorf("with 4 nodes more %s has %+v, had %+v: the counting is blind", name, during[name], before[name])
			}
		}
		s.delete("brief")
		s.sameCounts(before)
	}
}
