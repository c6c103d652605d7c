// Package licensing keeps the installation's licence and its standing with the licence server (JLS).
//
// Owns: the licence, the lease and the standing in the store; the installation's key; the calls to the JLS.
// In: the licence's text; the JLS's answers; the hosts.
// Out: what the licence allows now (entitle.License), and how it stands, for people.
// Never: stops, blocks or slows anything that runs; needs the JLS to answer for anything but a new lease.
package licensing

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"hardnode.dev/internal/jerror"
	"hardnode.dev/internal/license"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/jls"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/entitle"
	"hardnode.dev/orchestrator/store"
)

// lookEvery is how often the standing is looked at.
const lookEvery = 30 * time.Second

// Keeper looks after the licence.
type Keeper struct {
	Store   *store.Store
	Root    ed25519.PublicKey  // of the licence root
	Key     ed25519.PrivateKey // the installation's
	Cluster wire.ClusterID
	Name    string
	JLS     *Client // nil: there is none
	Errors  *jerror.Spool
	Log     *slog.Logger
	Now     func() time.Time

	mu struct {
		sync.Mutex
		looked  time.Time // of the last look, with the monotonic clock
		refused string    // why the JLS refused; "" if it did not
		away    time.Time // since when the JLS does not answer; zero while it does
		why     string    // why it does not answer
		asked   bool      // the JLS has been asked at all
		seats   string    // what was reported last
		over    time.Time // when to report seats again at the latest
		errors  time.Time // when to tell of errors next
		checked checked
	}
}

// Installation is the installation's id: it follows from its key.
func (k *Keeper) Installation() jls.InstallationID {
	return jls.InstallationID("in-" + license.KeyID(k.Key.Public().(ed25519.PublicKey)))
}

// read is what is stored, verified. Signatures are checked once for each pair of licence and lease: this is asked with every report.
// What was found about the time then does not matter later, since the standing judges that anew at every look.
func (k *Keeper) read(v *store.View, now time.Time) (store.Lease, license.Input) {
	rec, _ := store.Leases.Get(v, store.Only)
	text, _ := store.Licenses.Get(v, store.Only)
	k.mu.Lock()
	defer k.mu.Unlock()
	if c := &k.mu.checked; c.license != text.Text || c.lease != rec.Token || c.license == "" {
		*c = checked{license: text.Text, lease: rec.Token}
		c.in.License, c.in.Err = license.Verify(text.Text, k.Root, now)
		if text.Text == "" {
			c.in.Err = errors.New("no licence is installed")
		}
		if rec.Token != "" {
			l, err := license.VerifyLease(rec.Token, k.Root, string(k.Installation()), k.Key.Public().(ed25519.PublicKey), now)
			if err == nil || errors.Is(err, license.ErrExpired) || errors.Is(err, license.ErrNotYet) {
				c.in.Lease = l
			}
		}
	}
	in := k.mu.checked.in
	in.Now = now
	return rec, in
}

// checked is what verifying a licence and a lease found.
type checked struct {
	license, lease string
	in             license.Input
}

// Look brings the stored standing up to now.
func (k *Keeper) Look(ctx context.Context) error {
	k.mu.Lock()
	now := k.Now()
	elapsed := time.Duration(0)
	if !k.mu.looked.IsZero() {
		elapsed = now.Sub(k.mu.looked)
	}
	k.mu.looked = now
	refused := k.mu.refused
	k.mu.Unlock()
	var before, after license.Standing
	_, err := k.Store.Update(ctx, func(tx *store.Tx) error {
		store.Leases.Read(tx, store.Only)
		store.Licenses.Read(tx, store.Only)
		rec, in := k.read(tx.View(), now.UTC().Truncate(time.Second))
		in.Elapsed, in.Refused = elapsed, refused
		before = rec.Standing
		after = before.Next(in)
		// Time alone is not worth a write each look.
		same := after
		same.Seen = before.Seen
		if same == before && after.Seen.Sub(before.Seen) < time.Hour {
			return nil
		}
		rec.Standing = after
		switch {
		case after.State.MayGrow() || after.State == license.StateNone:
			rec.Limited = time.Time{}
		case rec.Limited.IsZero():
			rec.Limited = after.Seen
		}
		store.Leases.Put(tx, store.Only, rec)
		return nil
	})
	if err == nil && before.State != after.State {
		logging.Or(k.Log).Info("licence is "+string(after.State), logging.Reason, after.Reason)
	}
	return err
}

// Entitled is what the licence allows now.
func (k *Keeper) Entitled() entitle.License {
	rec, in := k.read(k.Store.View(), k.Now())
	return entitle.License{Hosts: in.License.Hosts, State: orNone(rec.Standing.State), Reason: rec.Standing.Reason, Since: rec.Limited}
}

func orNone(s license.State) license.State {
	if s == "" {
		return license.StateNone
	}
	return s
}

// Show is the licence as people see it.
func (k *Keeper) Show() operator.License {
	v := k.Store.View()
	rec, in := k.read(v, k.Now())
	out := operator.License{
		ID:       in.License.ID,
		Customer: in.License.Customer,
		Hosts:    in.License.Hosts,
		Expires:  in.License.Expires,
		State:    string(orNone(rec.Standing.State)),
		Reason:   rec.Standing.Reason,
		Lease:    in.Lease.Expires,
	}
	for _, h := range store.Hosts.All(v) {
		if h.Role == host.RoleUser {
			out.HostsUsed++
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.JLS == nil:
		out.JLS = "none is set"
	case !k.mu.asked:
		out.JLS = "not asked yet"
	case !k.mu.away.IsZero():
		out.JLS = fmt.Sprintf("not reachable since %s: %s", k.mu.away.UTC().Format(time.RFC3339), k.mu.why)
	case k.mu.refused != "":
		out.JLS = "reachable; it refuses: " + k.mu.refused
	default:
		out.JLS = "reachable"
	}
	return out
}

// Install takes another licence in, if it verifies. What is wrong with it is a Problem, and the one before goes on to count.
func (k *Keeper) Install(ctx context.Context, text string) error {
	if _, err := license.Verify(text, k.Root, k.Now()); err != nil {
		next := "ask for a new licence; the one in force stays"
		if errors.Is(err, license.ErrSignature) || errors.Is(err, license.ErrMalformed) {
			next = "check that the text is complete and unchanged; the one in force stays"
		}
		return operator.NewProblem(operator.Invalid, "licence", strings.TrimPrefix(err.Error(), "licence: "), next)
	}
	if _, err := k.Store.Update(ctx, func(tx *store.Tx) error {
		store.Licenses.Put(tx, store.Only, store.License{Text: text})
		return nil
	}); err != nil {
		return err
	}
	return k.Look(ctx)
}

// Run looks at the licence and talks to the JLS until ctx ends.
func (k *Keeper) Run(ctx context.Context) error {
	failures := 0
	for {
		wait := lookEvery
		if err := k.Look(ctx); err != nil && ctx.Err() == nil {
			logging.Or(k.Log).Error("licence can't be looked at", logging.Err, err)
		}
		if k.JLS != nil {
			if err := k.tell(ctx); err != nil && ctx.Err() == nil {
				logging.Or(k.Log).Info("errors wait for the JLS", logging.Err, err)
			}
			if err := k.talk(ctx); err != nil {
				wait = run.Backoff(failures, 2*time.Second, 5*time.Minute, rand.Float64())
				failures++
			} else {
				failures = 0
			}
			if err := k.Look(ctx); err != nil && ctx.Err() == nil {
				logging.Or(k.Log).Error("licence can't be looked at", logging.Err, err)
			}
		}
		if !k.wait(ctx, min(wait, k.change())) {
			return nil
		}
	}
}

// change is when the standing changes by itself: its end is worth a look of its own.
func (k *Keeper) change() time.Duration {
	rec, _ := store.Leases.Get(k.Store.View(), store.Only)
	if in := rec.Standing.Until.Sub(k.Now()); !rec.Standing.Until.IsZero() && in > 0 {
		return in + time.Second // times are whole seconds
	}
	return lookEvery
}

// wait waits for d, or until a host joins or goes, or another licence is installed; false when ctx ended.
func (k *Keeper) wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	v := k.Store.View()
	for now := v; ; now = k.Store.View() {
		if store.Hosts.Len(now) != store.Hosts.Len(v) ||
			store.Licenses.Revision(now, store.Only) != store.Licenses.Revision(v, store.Only) {
			return run.Wait(ctx, time.Second) // hosts join in groups
		}
		select {
		case <-t.C:
			return true
		case <-ctx.Done():
			return false
		case <-now.Over():
		}
	}
}
