package converge

import (
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/orchestrator/store"
)

// Each step of a rotation is in the document that hosts get, and ends with the new key alone.
func TestRotationIsPublished(t *testing.T) {
	w := newWorld(2)
	w.in.Cluster.Gossip = secret.Bytes(strings.Repeat("a", 32))
	w.turn("start")
	w.in.Gossip = store.GossipKey{Use: w.in.Cluster.Gossip, Next: secret.Bytes(strings.Repeat("b", 32)), Since: t0, By: "ann"}
	var said []string
	for n := range 3 {
		w.in.Now = w.in.Now.Add(time.Second)
		p := Make(w.in)
		if p.Gossip != nil {
			w.in.Gossip = *p.Gossip
		}
		if p.Peers == nil {
			t.Fatalf("step %d publishes nothing: %+v", n, p.Steps)
		}
		w.in.Peers = *p.Peers
		said = append(said, p.Rotation)
		for _, h := range w.in.Hosts {
			confirm(w, h.ID, p.Peers.Gossip)
		}
	}
	if k := w.in.Peers.Gossip; string(k.Use.Reveal()) != strings.Repeat("b", 32) || len(k.Accept) != 0 {
		t.Errorf("at the end hosts have %v", k)
	}
	if got, want := strings.Join(said, "|"), "being rotated, step 1 of 2: every host learns the new key; not yet infra, host1|being "+
		"rotated, step 2 of 2: every host uses it|rotated by ann at 2026-11-22T12:00:03Z"; got != want {
		t.Errorf("people read %s", got)
	}
	w.settled(t)
}

func confirm(w *world, id wire.HostID, k host.GossipKeys) {
	s := w.in.Live[id]
	r := *s.Report
	r.Keys = host.GossipKeyIDs{Use: host.GossipKeyID(k.Use)}
	for _, a := range k.Accept {
		r.Keys.Accept = append(r.Keys.Accept, host.GossipKeyID(a))
	}
	s.Report = &r
	w.in.Live[id] = s
}
