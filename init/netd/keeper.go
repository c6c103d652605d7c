package main

import (
	"context"
	"log/slog"
	"sync"

	"golang.org/x/sys/unix"

	"hardnode.dev/init/netd/link"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire/boot"
)

// keeper keeps the links as the network in force wants them.
type keeper struct {
	log   *slog.Logger
	links *link.Set

	mu struct {
		sync.Mutex
		ctx     context.Context // of the leases
		network boot.Network
		leases  map[string]*leasing // by link name
	}
	work sync.WaitGroup
}

// leasing is DHCP on one link.
type leasing struct {
	plan link.Plan
	stop context.CancelFunc
	over chan struct{}
}

// begin sets the links up for the first time; leases last until ctx ends.
func (k *keeper) begin(ctx context.Context, n boot.Network) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.mu.ctx, k.mu.leases, k.mu.network = ctx, map[string]*leasing{}, n
	_, err := k.links.Apply(n)
	return err
}

// run runs DHCP where it is wanted, and sets up cards that appear later, until ctx ends.
func (k *keeper) run(ctx context.Context) error {
	defer k.work.Wait()
	k.apply()
	return link.Changes(ctx, k.apply)
}

func (k *keeper) apply() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.again(); err != nil {
		k.log.Error("set up links", logging.Err, err)
	}
}

// again sets up what is there, and begins DHCP where it is wanted and does not run; the lock is held.
func (k *keeper) again() error {
	plans, err := k.links.Apply(k.mu.network)
	if err != nil {
		return err
	}
	for _, p := range plans {
		if p.Link.DHCP && k.mu.leases[p.Link.Name] == nil && k.mu.ctx.Err() == nil {
			k.lease(p)
		}
	}
	return nil
}

func (k *keeper) lease(p link.Plan) {
	ctx, stop := context.WithCancel(k.mu.ctx)
	l := &leasing{p, stop, make(chan struct{})}
	k.mu.leases[p.Link.Name] = l
	k.work.Go(func() {
		defer close(l.over)
		if err := k.links.Lease(ctx, p); err != nil {
			k.log.Error("DHCP", "link", p.Link.Name, logging.Err, err)
		}
	})
}

// use puts another network in force: what only the one before had is taken away.
func (k *keeper) use(n boot.Network) error {
	cards, err := link.Cards("/sys/class/net")
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	next, _ := link.Match(n, cards)
	for name, l := range k.mu.leases {
		if stays(l.plan, next) {
			continue
		}
		l.stop()
		<-l.over
		if err := k.links.Release(l.plan); err != nil {
			k.log.Warn("take a lease's address away", logging.Err, err)
		}
		delete(k.mu.leases, name)
	}
	if err := k.links.Leave(next); err != nil {
		k.log.Warn("take the network before away", logging.Err, err)
	}
	k.mu.network = n
	return k.again()
}

// takeAway takes the network away whose leases have ended. Cards that had nothing but a lease stay up: the next network comes at once.
func (k *keeper) takeAway() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, l := range k.mu.leases {
		if err := k.links.Release(l.plan); err != nil {
			k.log.Error("take a lease's address away", logging.Err, err)
		}
	}
	if len(k.mu.network.Links) > 0 {
		if err := k.links.Leave(nil); err != nil {
			k.log.Error("take the network before away", logging.Err, err)
		}
	}
}

// stays tells whether a lease goes on as it is.
func stays(p link.Plan, next []link.Plan) bool {
	for _, q := range next {
		if p.Unchanged(q) {
			return true
		}
	}
	return false
}

// stateMounted tells whether STATE is there: it is a filesystem of its own.
func stateMounted() bool {
	var state, above unix.Stat_t
	return unix.Stat(boot.StateDir, &state) == nil && unix.Stat("/", &above) == nil && state.Dev != above.Dev
}
