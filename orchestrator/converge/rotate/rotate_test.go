package rotate

import (
	"slices"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/live"
	"hardnode.dev/orchestrator/store"
)

var t0 = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func TestNext(t *testing.T) {
	a, b := secret.Bytes(strings.Repeat("a", 32)), secret.Bytes(strings.Repeat("b", 32))
	id := host.GossipKeyID
	hosts := []store.Host{{ID: "h-1", Name: "one"}, {ID: "h-2", Name: "two"}}
	accepting := store.GossipKey{Use: a, Next: b, Since: t0, By: "ann"}
	using := store.GossipKey{Use: b, Old: a, Since: t0, By: "ann"}
	keys := func(use string, accept ...string) live.Status {
		return live.Status{State: live.State{State: operator.HostActive},
			Report: &host.Report{Keys: host.GossipKeyIDs{Use: use, Accept: accept}}}
	}
	away := live.Status{State: live.State{State: operator.HostUnreachable}}
	joining := live.Status{State: live.State{State: operator.HostJoining}}
	for _, c := range []struct {
		name     string
		k        store.GossipKey
		one, two live.Status
		after    time.Duration
		want     string // the keys in the order use, next, old
		waits    string
	}{
		{"at rest", store.GossipKey{Use: a, Since: t0}, keys(id(a)), keys(id(a)), time.Hour, "a", ""},
		{"nobody has heard of it", accepting, keys(id(a)), keys(id(a)), 0, "ab", "one two"},
		{"one accepts it", accepting, keys(id(a), id(b)), keys(id(a)), time.Second, "ab", "two"},
		{"all accept it", accepting, keys(id(a), id(b)), keys(id(a), id(b)), time.Second, "b-a", ""},
		{"one accepts it, the other is away", accepting, keys(id(a), id(b)), away, time.Second, "b-a", ""},
		{"one accepts it, the other has not reported since our start", accepting, keys(id(a), id(b)), joining, time.Second, "ab", "two"},
		{"one does not gossip", accepting, keys(id(a), id(b)), keys(""), 59 * time.Second, "ab", "two"},
		{"and not for a minute", accepting, keys(id(a), id(b)), keys(""), time.Minute, "b-a", ""},
		{"one uses it", using, keys(id(b), id(a)), keys(id(a), id(b)), time.Second, "b-a", "two"},
		{"all use it", using, keys(id(b), id(a)), keys(id(b), id(a)), time.Second, "b", ""},
	} {
		next, waits := Next(c.k, hosts, func(id wire.HostID) live.Status { return live.Snapshot{"h-1": c.one, "h-2": c.two}[id] },
			t0.Add(c.after), live.ClocksFor(1))
		got := next.Use.Reveal()[:1]
		if len(next.Next) > 0 {
			got = append(slices.Clone(got), next.Next.Reveal()[0])
		}
		if len(next.Old) > 0 {
			got = append(append(slices.Clone(got), '-'), next.Old.Reveal()[0])
		}
		if string(got) != c.want || strings.Join(waits, " ") != c.waits {
			t.Errorf("%s: got %s, waits for %s; want %s, %q", c.name, got, waits, c.want, c.waits)
		}
		if moved := len(next.Next) != len(c.k.Next) || len(next.Old) != len(c.k.Old); moved != !next.Since.Equal(c.k.Since) {
			t.Errorf("%s: the step began at %s", c.name, next.Since)
		}
	}
}
