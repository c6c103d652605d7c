package gossip

import (
	"bytes"
	"slices"

	"github.com/hashicorp/memberlist"

	"hardnode.dev/internal/wire/host"
)

// noteKeys keeps the names of the ring's keys for the report.
func (g *Gossip) noteKeys(ring *memberlist.Keyring) {
	var ids host.GossipKeyIDs
	for i, k := range ring.GetKeys() { // the first one is in use
		if id := host.GossipKeyID(k); i == 0 {
			ids.Use = id
		} else {
			ids.Accept = append(ids.Accept, id)
		}
	}
	g.mu.Lock()
	before := g.mu.keys
	g.mu.keys = ids
	g.mu.Unlock()
	if before.Use != ids.Use || !slices.Equal(before.Accept, ids.Accept) {
		g.hint()
	}
}

func accepted(k host.GossipKeys) (out [][]byte) {
	for _, a := range k.Accept {
		if len(a) == 32 {
			out = append(out, a.Reveal())
		}
	}
	return out
}

// rekey makes the ring's keys those of k: new ones are accepted before one is used, old ones go last.
func rekey(ring *memberlist.Keyring, k host.GossipKeys) error {
	want := append(accepted(k), k.Use.Reveal())
	for _, key := range want {
		if err := ring.AddKey(key); err != nil {
			return err
		}
	}
	if err := ring.UseKey(k.Use.Reveal()); err != nil {
		return err
	}
	for _, key := range ring.GetKeys() {
		if !slices.ContainsFunc(want, func(w []byte) bool { return bytes.Equal(w, key) }) {
			if err := ring.RemoveKey(key); err != nil {
				return err
			}
		}
	}
	return nil
}
