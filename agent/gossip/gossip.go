package gossip

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"

	"hardnode.dev/agent/facts"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// Port is the gossip port, TCP and UDP.
const Port = 7442

// Options are what gossip needs.
type Options struct {
	Self  func() wire.HostID // "" until the host has joined
	Key   ed25519.PrivateKey
	Peers func() *host.Peers // nil until the first came
	// Current tells whether Peers is the newest there is: a key of an older one may have been given up. Nil: it always is.
	Current func() bool
	Card    func() Card  // what this host says; Host, Seq are filled in
	Port    int          // 0 is Port
	Log     *slog.Logger // nil discards
}

// Gossip is this host's part in the rumour.
type Gossip struct {
	o   Options
	log *slog.Logger

	mu struct {
		sync.Mutex
		cards map[wire.HostID]Card
		alive map[wire.HostID]bool
		keys  host.GossipKeyIDs
		own   Card
		raw   []byte
	}
	changed chan struct{}
}

// New makes a Gossip that Run starts.
func New(o Options) *Gossip {
	if o.Port == 0 {
		o.Port = Port
	}
	g := &Gossip{o: o, log: logging.Or(o.Log), changed: make(chan struct{}, 1)}
	g.mu.cards, g.mu.alive = map[wire.HostID]Card{}, map[wire.HostID]bool{}
	return g
}

// Changed delivers a hint after Dead or the keys changed; one reader.
func (g *Gossip) Changed() <-chan struct{} { return g.changed }

// Keys name the keys in use; empty while this host takes no part.
func (g *Gossip) Keys() host.GossipKeyIDs {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.mu.keys
}

// Dead are the hosts that were heard of since this one last began to take part and are dead by gossip now, ordered by id. Of those that
// are alive nothing is said: that nobody calls a host dead is all that is read of them, and a report that named them would grow with the
// cluster.
func (g *Gossip) Dead() []host.GossipView {
	g.mu.Lock()
	defer g.mu.Unlock()
	var out []host.GossipView
	for id, alive := range g.mu.alive {
		if !alive {
			out = append(out, host.GossipView{Host: id})
		}
	}
	slices.SortFunc(out, func(a, b host.GossipView) int { return cmp.Compare(a.Host, b.Host) })
	return out
}

// Card is the last verified card of a host.
func (g *Gossip) Card(id wire.HostID) (Card, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	c, ok := g.mu.cards[id]
	return c, ok
}

// every is how often keys, peers and the own card are looked at; patience is how long the newest peers are waited for; missing peers are
// dialled again joinAgain after the last round, joinAtOnce of them at a time.
const (
	every      = time.Second
	patience   = 30 * time.Second
	joinAgain  = 5 * time.Second
	joinAtOnce = 8
)

// Run takes part until ctx ends. It starts when the host has joined and knows the gossip key, and starts anew when its address changes.
func (g *Gossip) Run(ctx context.Context) error {
	run.Keep(ctx, every, patience, func(ctx context.Context) {
		if err := g.session(ctx); err != nil && ctx.Err() == nil {
			g.log.Warn("gossip stopped", logging.Err, err)
		}
	})
	return nil
}

// session is one membership: from the first key to an address change or the end.
func (g *Gossip) session(ctx context.Context) error {
	for until := time.Now().Add(patience); !g.ready() || !g.current() && time.Now().Before(until); {
		if !run.Wait(ctx, every/4) {
			return nil
		}
	}
	peers, self := g.o.Peers(), g.o.Self()
	if err := g.renewCard(peers.Cluster); err != nil {
		return err
	}
	bind := g.own().Endpoint
	ml, ring, err := g.create(peers, self, bind)
	if err != nil {
		return err
	}
	defer g.end() // whoever takes no part says nothing of others
	done := make(chan struct{}, 1)
	var joins sync.WaitGroup
	defer joins.Wait()
	defer ml.Shutdown()
	g.log.Info("gossip started", logging.Addr, netip.AddrPortFrom(bind, uint16(g.o.Port)))
	var rev wire.Revision
	joining := false
	for next := time.Now(); ; {
		if p := g.o.Peers(); p != nil && p.Revision != rev {
			rev, peers = p.Revision, p
			if err := rekey(ring, p.Gossip); err != nil {
				g.log.Warn("gossip keys", logging.Err, err)
			}
			g.noteKeys(ring)
			g.forget(p)
			next = time.Now()
		}
		before := string(g.raw())
		if err := g.renewCard(peers.Cluster); err != nil {
			return err
		}
		if g.own().Endpoint != bind {
			return errors.New("the host's address changed")
		}
		if string(g.raw()) != before {
			if err := ml.UpdateNode(2 * time.Second); err != nil {
				g.log.Warn("spread gossip card", logging.Err, err)
			}
		}
		if missing := g.missing(ml, peers, self); len(missing) > 0 && !joining && !time.Now().Before(next) {
			joining = true
			joins.Go(func() {
				join(ctx, ml, missing) // those who do not answer are asked again
				done <- struct{}{}
			})
		}
		tick := time.NewTimer(every)
		select {
		case <-ctx.Done():
			tick.Stop()
			return nil
		case <-done:
			joining, next = false, time.Now().Add(joinAgain)
		case <-tick.C:
		}
		tick.Stop()
	}
}

// join dials peers, several at once and in no order: each one that is dead costs the whole time limit, and each that answers brings all the
// members it knows.
func join(ctx context.Context, ml *memberlist.Memberlist, missing []string) {
	rand.Shuffle(len(missing), func(i, j int) { missing[i], missing[j] = missing[j], missing[i] })
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, joinAtOnce)
	for _, m := range missing {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		id, _, _ := strings.Cut(m, "/")
		if slices.ContainsFunc(ml.Members(), func(n *memberlist.Node) bool { return n.Name == id }) {
			<-slots
			continue // a peer that answered brought it
		}
		wg.Go(func() {
			defer func() { <-slots }()
			ml.Join([]string{m})
		})
	}
}

// end forgets what the membership that is over knew of the others; their cards stay, since a card must never be older than the last.
func (g *Gossip) end() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mu.alive, g.mu.keys = map[wire.HostID]bool{}, host.GossipKeyIDs{}
}

func (g *Gossip) hint() {
	select {
	case g.changed <- struct{}{}:
	default:
	}
}

func (g *Gossip) current() bool { return g.o.Current == nil || g.o.Current() }

func (g *Gossip) ready() bool {
	p := g.o.Peers()
	return p != nil && len(p.Gossip.Use) == 32 && g.o.Self() != "" && g.o.Card().Endpoint.IsValid() &&
		slices.ContainsFunc(p.Hosts, func(h host.Peer) bool { return h.ID == g.o.Self() })
}

// create joins memberlist. The times are chosen so that three hosts notice a death within 4 s (probe, two confirmations of suspicion) and
// a busy host has time to refute it.
func (g *Gossip) create(p *host.Peers, self wire.HostID, bind netip.Addr) (*memberlist.Memberlist, *memberlist.Keyring, error) {
	ring, err := memberlist.NewKeyring(accepted(p.Gossip), p.Gossip.Use.Reveal())
	if err != nil {
		return nil, nil, fmt.Errorf("gossip keys: %v", err)
	}
	c := memberlist.DefaultLANConfig()
	c.Name, c.Label, c.Keyring = string(self), string(p.Cluster), ring
	c.BindAddr, c.BindPort, c.AdvertisePort = bind.String(), g.o.Port, g.o.Port
	c.ProbeInterval, c.ProbeTimeout = 500*time.Millisecond, 300*time.Millisecond
	c.SuspicionMult, c.SuspicionMaxTimeoutMult = 3, 2
	c.PushPullInterval, c.TCPTimeout = 10*time.Second, 2*time.Second
	c.DeadNodeReclaimTime = 10 * time.Second // a host that comes back under another address
	c.GossipVerifyIncoming, c.GossipVerifyOutgoing, c.RequireNodeNames = true, true, true
	c.EnableCompression = false
	c.Delegate, c.Alive, c.Events = (*delegate)(g), (*delegate)(g), (*delegate)(g)
	c.LogOutput = logWriter{g.log}
	ml, err := memberlist.Create(c)
	if err != nil {
		return nil, nil, fmt.Errorf("start gossip on %s: %v", bind, err)
	}
	return ml, ring, nil
}

// missing are the addresses of peers that are not members.
func (g *Gossip) missing(ml *memberlist.Memberlist, p *host.Peers, self wire.HostID) (out []string) {
	member := map[string]bool{}
	for _, m := range ml.Members() {
		member[m.Name] = true
	}
	for _, h := range p.Hosts {
		if h.ID != self && !member[string(h.ID)] && h.Underlay.IsValid() {
			out = append(out, string(h.ID)+"/"+net.JoinHostPort(h.Underlay.String(), strconv.Itoa(g.o.Port)))
		}
	}
	return out
}

// forget drops hosts that are no longer among the peers.
func (g *Gossip) forget(p *host.Peers) {
	there := make(map[wire.HostID]bool, len(p.Hosts))
	for _, h := range p.Hosts {
		there[h.ID] = true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for id := range g.mu.alive {
		if !there[id] {
			delete(g.mu.alive, id)
			delete(g.mu.cards, id)
		}
	}
}

// renewCard encodes the own card anew if what it says has changed.
func (g *Gossip) renewCard(cluster wire.ClusterID) error {
	c := g.o.Card()
	c.Host = g.o.Self()
	g.mu.Lock()
	defer g.mu.Unlock()
	c.Seq = g.mu.own.Seq
	if c == g.mu.own {
		return nil
	}
	c.Seq = max(c.Seq+1, facts.SinceBoot().Milliseconds())
	raw, err := c.Encode(cluster, g.o.Key)
	if err != nil {
		return err
	}
	g.mu.own, g.mu.raw = c, raw
	return nil
}

func (g *Gossip) own() Card   { g.mu.Lock(); defer g.mu.Unlock(); return g.mu.own }
func (g *Gossip) raw() []byte { g.mu.Lock(); defer g.mu.Unlock(); return g.mu.raw }
