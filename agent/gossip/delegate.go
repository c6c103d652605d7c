package gossip

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"

	"github.com/hashicorp/memberlist"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire"
)

// verify checks a member's card: signed by the host it names, for the address and name it goes under, and no older than the last one.
func (g *Gossip) verify(n *memberlist.Node) (Card, error) {
	p := g.o.Peers()
	if p == nil {
		return Card{}, errors.New("no peers are known")
	}
	boot := ""
	c, err := Decode(n.Meta, p.Cluster, func(id wire.HostID) ed25519.PublicKey {
		for _, h := range p.Hosts {
			if h.ID == id {
				boot = h.Boot
				return h.Identity
			}
		}
		return nil
	})
	if err != nil {
		return Card{}, err
	}
	if addr, ok := netip.AddrFromSlice(n.Addr); string(c.Host) != n.Name || !ok || addr.Unmap() != c.Endpoint {
		return Card{}, fmt.Errorf("gossip card of %s at %s is used by %s at %s", c.Host, c.Endpoint, n.Name, n.Addr)
	}
	if old, ok := g.Card(c.Host); ok && !c.newer(old, boot) {
		return Card{}, fmt.Errorf("gossip card of %s is older than the last one", c.Host)
	}
	return c, nil
}

func (g *Gossip) note(id wire.HostID, c *Card, alive bool) {
	if id == g.o.Self() {
		return
	}
	g.mu.Lock()
	was, known := g.mu.alive[id]
	if c != nil {
		g.mu.cards[id] = *c
	}
	g.mu.alive[id] = alive
	g.mu.Unlock()
	if known && was == alive {
		return
	}
	g.log.Info("gossip says", logging.Host, id, "alive", alive)
	if known || !alive { // a host that is heard of for the first time is no news
		g.hint()
	}
}

// delegate is Gossip as memberlist calls it.
type delegate Gossip

func (d *delegate) NodeMeta(int) []byte             { return (*Gossip)(d).raw() }
func (d *delegate) NotifyMsg([]byte)                {}
func (d *delegate) GetBroadcasts(int, int) [][]byte { return nil }
func (d *delegate) LocalState(bool) []byte          { return nil }
func (d *delegate) MergeRemoteState([]byte, bool)   {}

// NotifyAlive lets a member in only with a card that verifies.
func (d *delegate) NotifyAlive(n *memberlist.Node) error {
	g := (*Gossip)(d)
	if n.Name == string(g.o.Self()) {
		return nil
	}
	_, err := g.verify(n)
	return err
}

func (d *delegate) NotifyJoin(n *memberlist.Node)   { d.take(n) }
func (d *delegate) NotifyUpdate(n *memberlist.Node) { d.take(n) }
func (d *delegate) NotifyLeave(n *memberlist.Node) {
	(*Gossip)(d).note(wire.HostID(n.Name), nil, false)
}

func (d *delegate) take(n *memberlist.Node) {
	g := (*Gossip)(d)
	if c, err := g.verify(n); err == nil {
		g.note(c.Host, &c, true)
	}
}

// logWriter brings memberlist's lines into our log; its debug lines are dropped.
type logWriter struct{ log *slog.Logger }

func (w logWriter) Write(p []byte) (int, error) {
	line := bytes.TrimSpace(p)
	if _, rest, ok := bytes.Cut(line, []byte("[ERR] memberlist: ")); ok {
		w.log.Debug("memberlist", logging.Err, string(rest))
	} else if _, rest, ok := bytes.Cut(line, []byte("[WARN] memberlist: ")); ok {
		w.log.Debug("memberlist", logging.Reason, string(rest))
	}
	return len(p), nil
}
