// Package rotate decides how far the rotation of a gossip key is.
//
// Owns: the steps and when the next one comes.
// In: the key record, the hosts and what they report of their keys, the time.
// Out: the record that follows, whom the step waits for, both in words for people.
// Never: makes a key, or waits for a host that is away longer than Clocks.Rotate.
//
// A gossip key is replaced in three steps: all hosts accept the new one, then all use it, then the old one is dropped. The next step comes
// when every host that is linked has confirmed the last one, or after Clocks.Rotate: a host that is away gets the newest keys over its link
// before it takes part again.
//
//	rest ─ asked ─▶ accept (Next is set) ─ all accept it ─▶ use (Old is set) ─ all use it ─▶ rest
package rotate

import (
	"slices"
	"strings"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/live"
	"hardnode.dev/orchestrator/store"
)

// Next is the key record that follows, and the names of the hosts that the step under way waits for.
func Next(k store.GossipKey, hosts []store.Host, status func(wire.HostID) live.Status, now time.Time,
	clocks live.Clocks) (store.GossipKey, []string) {
	if !k.Rotating() {
		return k, nil
	}
	accepting := len(k.Next) > 0
	waits := []string{}
	for _, h := range hosts {
		s := status(h.ID)
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

// Words is where a rotation is, for people.
func Words(k store.GossipKey, waits []string) string {
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
