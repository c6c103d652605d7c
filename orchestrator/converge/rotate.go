package converge

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"time"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/live"
	"hardnode.dev/orchestrator/store"
)

// A gossip key is replaced in three steps: all hosts accept the new one, then all use it, then the old one is dropped. The next step comes
// when every host that is linked has confirmed the last one, or after Clocks.Rotate: a host that is away gets the newest keys over its link
// before it takes part again.
//
//	rest ─ asked ─▶ accept (Next is set) ─ all accept it ─▶ use (Old is set) ─ all use it ─▶ rest

// Rotate is the key record that follows, and the names of the hosts that the step under way waits for. It is pure.
func Rotate(k store.GossipKey, hosts []store.Host, snapshot live.Snapshot, now time.Time, clocks live.Clocks) (store.GossipKey, []string) {
	if !k.Rotating() {
		return k, nil
	}
	accepting := len(k.Next) > 0
	waits := []string{}
	for _, h := range hosts {
		s := snapshot[h.ID]
		if s.State.State == operator.HostUnreachable {
			continue
		}
		done := false
		switch r := s.Report; {
		case r == nil:
		case accepting:
			id := host.GossipKeyID(k.Next)
			done = r.Keys.Use == id || slices.Contains(r.Keys.Accept, id)
		default:
			done = r.Keys.Use == host.GossipKeyID(k.Use)
		}
		if !done {
			waits = append(waits, h.Name)
		}
	}
	if len(waits) > 0 && now.Before(k.Since.Add(clocks.Rotate)) {
		return k, waits
	}
	if accepting {
		return store.GossipKey{Use: k.Next, Old: k.Use, Since: now, By: k.By}, nil
	}
	return store.GossipKey{Use: k.Use, Since: now, By: k.By}, nil
}

// gossip moves a rotation on, and is the keys that hosts are told.
func (p *planner) gossip() host.GossipKeys {
	k := p.Gossip
	if len(k.Use) == 0 {
		return host.GossipKeys{Use: p.Cluster.Gossip}
	}
	next, waits := Rotate(k, p.Hosts, p.Live, p.Now, p.Clocks)
	if next.Since != k.Since {
		p.plan.Gossip = &next
		what := "the gossip key is rotated: the old one is dropped"
		if next.Rotating() {
			what = "rotate the gossip key: all use the new one"
		}
		p.step(what, "", "", "asked by "+k.By)
	}
	p.plan.Rotation = rotation(next, waits)
	keys := host.GossipKeys{Use: next.Use}
	for _, other := range []secret.Bytes{next.Next, next.Old} {
		if len(other) > 0 {
			keys.Accept = append(keys.Accept, other)
		}
	}
	return keys
}

// rotation is where a rotation is, for people.
func rotation(k store.GossipKey, waits []string) string {
	step := ""
	switch {
	case len(k.Next) > 0:
		step = "1 of 2: every host learns the new key"
	case len(k.Old) > 0:
		step = "2 of 2: every host uses it"
	default:
		return "rotated by " + k.By + " at " + k.Since.UTC().Format(time.RFC3339)
	}
	if len(waits) > 0 {
		step += "; not yet " + strings.Join(waits, ", ")
	}
	return "being rotated, step " + step
}

// RotateGossip begins to replace the gossip key. Errors are Problems.
func (l *Loop) RotateGossip(ctx context.Context, by string) error {
	next := make(secret.Bytes, 32)
	if _, err := rand.Read(next); err != nil {
		return fmt.Errorf("make gossip key: %v", err)
	}
	_, err := l.Store.Update(ctx, func(tx *store.Tx) error {
		k, _ := store.GossipKeys.Read(tx, store.Only)
		if k.Rotating() {
			return operator.NewProblem(operator.Conflict, "cluster/gossip-key", "it is being rotated since "+k.Since.UTC().Format(time.RFC3339), "wait until that is done: hnctl cluster status")
		}
		if len(k.Use) == 0 {
			c, _ := store.Clusters.Read(tx, store.Only)
			k.Use = c.Gossip
		}
		store.GossipKeys.Put(tx, store.Only, store.GossipKey{Use: k.Use, Next: next, Since: time.Now().UTC().Truncate(time.Millisecond), By: by})
		return nil
	})
	if err == nil {
		logging.Or(l.Log).Info("rotate the gossip key: all accept the new one", logging.Reason, "asked by "+by)
	}
	return err
}
