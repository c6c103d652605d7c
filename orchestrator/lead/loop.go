// Package lead is what only the leading orchestrator does.
//
// Owns: the loop that has plans made of what changed and carries them out; the index they are made from.
// In: the store's changes, the hosts' moves, the licence; the leader's other tasks.
// Out: the plans' records, in bounded transactions that each leave a valid state; what the last plan says of environments and hosts.
// Never: decides (orchestrator/converge does); goes on when it no longer leads.
//
// A state is valid if whoever reads it may act on it, and the next plan leads on from it, whatever came before. So a plan's transactions
// come in this order: first the nodes, each with the one it replaces, its operation, its number and its address, so that no number is given
// twice and no Work carries a container without a node; then the Works; then Peers and names; what is deleted comes last. What a crash
// leaves undone the next plan finds, and decides again as before.
package lead

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/converge"
	"hardnode.dev/orchestrator/entitle"
	"hardnode.dev/orchestrator/holds"
	"hardnode.dev/orchestrator/live"
	"hardnode.dev/orchestrator/store"
)

// Records is the store, as the loop needs it.
type Records interface {
	View() *store.View
	Update(context.Context, func(*store.Tx) error) (wire.Revision, error)
}

// Loop carries out plans: at every change of the store or the hosts, and every few seconds for what changes with time (the licence, a step
// of a rotation that ends). A round costs what changed since the last one.
type Loop struct {
	Store   Records
	Fleet   *live.Fleet
	License func() entitle.License
	Log     *slog.Logger
	Holds   *holds.Book      // nil: no resolver is heard of
	Now     func() time.Time // nil: time.Now

	mu struct {
		sync.Mutex
		index *converge.Index // nil: to be made of everything
		at    wire.Revision   // of the store, up to which index knows
		heard live.Version    // likewise of the hosts
	}
	limit     limits // of a transaction; zero: usual
	last      atomic.Pointer[converge.Plan]
	uncovered atomic.Pointer[map[wire.HostID]string]
}

// Last is the last plan made, without its records: its Stuck and Alarms hold until the next one. Nil before the first.
func (l *Loop) Last() *converge.Plan { return l.last.Load() }

// Unlicensed is why the licence does not cover a host, as the last round found; "" if it does.
func (l *Loop) Unlicensed(id wire.HostID) string {
	if all := l.uncovered.Load(); all != nil {
		return (*all)[id]
	}
	return ""
}

// Run converges until ctx ends.
func (l *Loop) Run(ctx context.Context) error {
	for {
		_, _, moved := l.Fleet.Since(math.MaxInt64)
		stored, said := l.Store.View().Over(), l.Holds.Over()
		if err := l.Once(ctx); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			logging.Or(l.Log).Error("plan can't be carried out", logging.Err, err)
		}
		t := time.NewTimer(l.pause())
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-moved:
		case <-stored:
		case <-said:
		case <-t.C:
		}
		t.Stop()
		if !run.Wait(ctx, 10*time.Millisecond) {
			return nil
		}
	}
}

// pause is how long nothing has to happen for a plan to be made all the same.
func (l *Loop) pause() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.index != nil {
		for range l.mu.index.Held() {
			return 100 * time.Millisecond // how long a node waits is bounded
		}
	}
	return 2 * time.Second
}

// errStale: a record that a plan acts on has changed since the plan was made.
var errStale = errors.New("the plan is out of date")

// Once makes one plan of what changed, and carries it out; another one if somebody changed the same records meanwhile.
func (l *Loop) Once(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for range 20 {
		l.catchUp()
		plan := l.mu.index.Plan(l.now())
		switch err := l.carryOut(ctx, plan, l.mu.at); {
		case errors.Is(err, errStale):
			continue
		case err != nil:
			return err
		}
		l.mu.index.Looked()
		l.last.Store(&converge.Plan{Stuck: plan.Stuck, Uneven: plan.Uneven, Alarms: plan.Alarms, Rotation: plan.Rotation})
		uncovered := l.mu.index.Uncovered()
		l.uncovered.Store(&uncovered)
		log := logging.Or(l.Log)
		for _, s := range plan.Steps {
			log.Info(s.What, logging.Env, string(s.Env), logging.Host, string(s.Host), logging.Reason, s.Reason)
		}
		return nil
	}
	return fmt.Errorf("carry out a plan: %w", store.ErrBusy)
}

func (l *Loop) now() time.Time {
	now := l.Now
	if now == nil {
		now = time.Now
	}
	return now().UTC().Truncate(time.Millisecond)
}

// catchUp tells the index what changed. When the store no longer knows that, it is made anew.
func (l *Loop) catchUp() {
	v := l.Store.View()
	if l.mu.index != nil {
		if changes, ok := v.Since(l.mu.at); ok {
			l.mu.index.Follow(v, changes)
		} else {
			l.mu.index = nil
		}
	}
	if l.mu.index == nil {
		l.mu.index, l.mu.heard = converge.NewIndex(l.Fleet.Clocks()), 0
		l.mu.index.Load(v)
	}
	l.mu.at = v.Revision()
	moves, heard, _ := l.Fleet.Since(l.mu.heard)
	l.mu.index.Heard(moves)
	l.mu.heard = heard
	l.mu.index.License(l.License())
	for id := range l.mu.index.Held() {
		s := l.Holds.Of(id, l.now())
		l.mu.index.Said(id, s.There, s.Held, s.Busy)
	}
}

// Leaving is how each node of a user would leave a host that were drained now, as a plan made now would have it.
func (l *Loop) Leaving(id wire.HostID, stop, noMove bool) []operator.DrainNode {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.catchUp()
	return l.mu.index.Leaving(id, stop, noMove)
}

// Target is the host that a node would move to, as a plan made now would have it.
func (l *Loop) Target(id wire.CTID, asked wire.HostID) (to wire.HostID, why string, refused *operator.Problem) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.catchUp()
	return l.mu.index.Target(id, asked)
}

// DryRun places a new environment of an account as a plan made now would: where its nodes would go, or why it can't be made.
func (l *Loop) DryRun(account wire.Account, spec operator.EnvironmentSpec) ([]operator.Node, *operator.Problem) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.catchUp()
	return l.mu.index.DryRun(account, spec)
}

// DryRunEdit places what an edit of an environment adds, as a plan made now would.
func (l *Loop) DryRunEdit(account wire.Account, spec operator.EnvironmentSpec) ([]operator.Node, *operator.Problem) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.catchUp()
	return l.mu.index.DryRunEdit(account, spec)
}
