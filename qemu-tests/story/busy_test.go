//go:build qemu

package story

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
)

// The load of busyHosts on each host: containers that compute without end, each with a ceiling of 400 MHz a cloudlet. Together they may use
// about three times the one CPU that an emulated host has.
var (
	busyNodes     = soak(4, 20)
	busyCloudlets = soak(5, 1)
	busyAfter     = soak(10, 30) // seconds of sleep before: the first ones are busy while the last ones start
	busyFor       = soak(30*time.Second, 10*time.Minute)
)

// busyHosts: hosts that have about three times more to do than they can are slow and not dead: nothing is made anew elsewhere, and whenever one was
// called unreachable it says why.
func busyHosts(s story) {
	dir := s.variant("busy", func(c *v1.ConfigFile) {
		c.Config.Entrypoint, c.Config.Cmd = []string{"sh", "-c", fmt.Sprintf("sleep %d; while :; do :; done", busyAfter)}, nil
		c.Config.ExposedPorts, c.Config.Labels = nil, nil
	})
	var t host.Template
	if err := json.Unmarshal([]byte(s.hnctl("template", "push", dir, "-o", "json")), &t); err != nil {
		s.Fatal(err)
	}
	s.listed("busy")
	hello := s.settled("hello")
	ops := s.replacements()
	v, begin := s.visitor(time.Second), time.Now()
	if _, err := s.HNCTL(s.Context(), "env", "create", "-f", s.file("busy", len(s.Hosts)*busyNodes, "template: nginx", "template: busy", "reserved: 1", "reserved: 0",
		"dynamic: 2}", fmt.Sprintf("dynamic: %d}\n    diskMiB: 64", busyCloudlets))); err != nil {
		s.Fatal(err)
	}
	s.figure("%d containers that compute without end run after %.0f s", len(s.Hosts)*busyNodes, time.Since(begin).Seconds())
	busy := s.settled("busy")
	s.watch(busyFor)
	s.sameNodes(hello, s.settled("hello"))
	s.sameNodes(busy, s.settled("busy"))
	if after := s.replacements(); len(after) != len(ops) {
		s.Errorf("nodes were replaced: %q, before %q", after, ops)
	}
	list := v.stop()
	s.figure("meanwhile %d of %d pages failed: %q", len(failed(list, begin)), len(list), failed(list, begin))
	s.delete("busy")
}

// replacements are the replacements there ever were, as ids and reasons.
func (s story) replacements() (out []string) {
	s.Helper()
	var ops []operator.Operation
	s.until("the operations are listed", func() bool { return s.Get(s.Context(), &ops, "op", "list") == nil })
	for _, op := range ops {
		if op.Kind == "node.replace" {
			out = append(out, fmt.Sprintf("%s: %s", op.ID, op.Steps[0].Detail))
		}
	}
	return out
}

// away begins what a host that was UNREACHABLE says of that time (show.Host).
const away = "link: nothing was heard of it for "

// watch looks at the hosts for so long. Each time that one is not ACTIVE must be explained by that host once it is back.
func (s story) watch(d time.Duration) {
	s.Helper()
	said, silent, missed, looks := map[string]bool{}, map[string]time.Time{}, 0, 0
	look := func() {
		looks++
		hosts, err := s.HostList(s.Context())
		if err != nil { // a busy machine's API may be slow too
			missed++
			s.Logf("look at the hosts: %v", err)
			return
		}
		for _, h := range hosts {
			if !isActive(h) {
				if silent[h.Name].IsZero() {
					silent[h.Name] = time.Now()
					s.figure("%s is %s: %s", h.Name, h.State, h.Reason)
				}
				continue
			}
			fresh := false
			for _, p := range h.Problems {
				if strings.HasPrefix(p, away) && !said[h.Name+": "+p] {
					said[h.Name+": "+p], fresh = true, true
				}
			}
			if began := silent[h.Name]; !began.IsZero() && !fresh {
				s.Errorf("%s was not ACTIVE from %s on, and is back without a word: %q", h.Name, began.UTC().Format(time.TimeOnly), h.Problems)
			}
			delete(silent, h.Name)
		}
	}
	// What was said before is no news.
	if hosts, err := s.HostList(s.Context()); err == nil {
		for _, h := range hosts {
			for _, p := range h.Problems {
				said[h.Name+": "+p] = true
			}
		}
	}
	before := len(said)
	for begin := time.Now(); time.Since(begin) < d && run.Wait(s.Context(), time.Second); {
		look()
	}
	s.until("every host is back and said why it was away", func() bool { look(); return len(silent) == 0 })
	for _, p := range slices.Sorted(maps.Keys(said)) {
		if strings.Contains(p, away) {
			s.figure("explained: %s", p)
		}
	}
	s.figure("watched for %v: %d looks (%d not answered), %d times a host was silent, all explained", d, looks, missed, len(said)-before)
	if 2*missed > looks {
		s.Errorf("%d of %d looks at the hosts were not answered", missed, looks)
	}
}
