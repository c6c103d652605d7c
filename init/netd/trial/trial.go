// Package trial tries a network before it is kept: whoever cuts the line that he works on gets it back after a while.
//
// Owns: which network is in force: the configuration's, the one that was confirmed in its place, or one on trial; the file in STATE.
// In: a network to try, for how long; a yes or a no; the clock.
// Out: the network in force, by a function; what is tried, for people.
// Never: sets up a link itself (package link does), or keeps what was not confirmed: a trial lives in memory, so that a power cut ends it.
package trial

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"hardnode.dev/internal/keep"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire/boot"
)

// Kept is the document in STATE: a network that was confirmed.
type Kept struct {
	Network boot.Network `json:"network"`
	// Replaces is the configuration's own network at that time, as its SHA-256: when the configuration says another one, that is newer.
	Replaces string `json:"replaces"`
}

// Document is the document at path.
func Document(path string) keep.Doc[Kept] { return keep.Doc[Kept]{Path: path, Version: 1} }

// The bounds of a trial, in seconds.
const (
	Default  = 60
	shortest = 10
	longest  = 600
)

// lookAgain is how often it is looked whether STATE is there: it comes after the configuration.
const lookAgain = 500 * time.Millisecond

// Keeper knows the network in force. Fill the fields, then Start, then Run.
type Keeper struct {
	Config boot.Network             // of the configuration
	Doc    keep.Doc[Kept]           // in STATE
	State  func() bool              // whether STATE is there
	Use    func(boot.Network) error // puts a network in force
	Log    *slog.Logger             // nil discards

	wake chan struct{}
	mu   struct {
		sync.Mutex
		confirmed boot.Network
		kept      bool          // confirmed is STATE's, not the configuration's
		looked    bool          // STATE was there
		changed   chan struct{} // closed when confirmed is another one
		trial     *boot.Network
		until     time.Time
	}
}

var (
	// ErrNone: there is nothing to confirm or to revert.
	ErrNone = errors.New("no network is tried now; it was confirmed, or reverted at the end of its time")
	// ErrState: what is confirmed could not be kept.
	ErrState = errors.New("STATE is not there yet, so it could not be kept; wait until the host's disk is found")
)

// Start is the network to begin with.
func (k *Keeper) Start() boot.Network {
	k.wake = make(chan struct{}, 1)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.mu.changed = make(chan struct{})
	k.mu.confirmed = k.Config
	k.look()
	return k.mu.confirmed
}

// look reads STATE's network, once, when it is there; the lock is held. It tells whether that is another one than before.
func (k *Keeper) look() bool {
	if k.mu.looked || !k.State() {
		return false
	}
	k.mu.looked = true
	log := logging.Or(k.Log)
	d, found, err := k.Doc.Renew()
	switch {
	case err != nil:
		log.Error("the network that was confirmed can't be read; the configuration's is used", logging.Err, err)
	case found && d.Replaces != sum(k.Config):
		log.Info("the configuration has a newer network than the one that was confirmed here; it is used")
	case found && d.Network.Validate() != nil:
		log.Error("the network that was confirmed is not valid; the configuration's is used", logging.Err, d.Network.Validate())
	case found:
		log.Info("the network that was confirmed here is used, not the configuration's")
		k.keeps(d.Network)
		return true
	}
	return false
}

// keeps makes a network the confirmed one; the lock is held.
func (k *Keeper) keeps(n boot.Network) {
	k.mu.confirmed, k.mu.kept = n, true
	close(k.mu.changed)
	k.mu.changed = make(chan struct{})
}

// Confirmed is the network that is confirmed, and a channel that is closed when it is another one.
func (k *Keeper) Confirmed() (boot.Network, <-chan struct{}) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.mu.confirmed, k.mu.changed
}

func sum(n boot.Network) string {
	raw, err := json.Marshal(n)
	if err != nil {
		panic("BUG: a network does not encode: " + err.Error())
	}
	s := sha256.Sum256(raw)
	return hex.EncodeToString(s[:])
}

// Run ends trials in time, and takes STATE's network when STATE comes, until ctx ends.
func (k *Keeper) Run(ctx context.Context) error {
	for {
		k.mu.Lock()
		wait := time.Duration(-1)
		switch {
		case k.mu.trial != nil:
			wait = time.Until(k.mu.until)
		case !k.mu.looked:
			wait = lookAgain
		}
		k.mu.Unlock()
		timer := time.NewTimer(max(0, wait))
		due := timer.C
		if wait < 0 {
			due = nil
		}
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-k.wake:
		case <-due:
			k.due(time.Now())
		}
		timer.Stop()
	}
}

// due does what is due.
func (k *Keeper) due(now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.mu.trial != nil {
		if now.Before(k.mu.until) {
			return
		}
		logging.Or(k.Log).Warn("the network on trial was not confirmed in time; the one before is back")
		k.end()
		return
	}
	if k.look() {
		k.use(k.mu.confirmed)
	}
}

// end puts the confirmed network back; the lock is held.
func (k *Keeper) end() error {
	k.mu.trial = nil
	k.look() // STATE may have come meanwhile
	return k.use(k.mu.confirmed)
}

func (k *Keeper) use(n boot.Network) error {
	err := k.Use(n)
	if err != nil {
		logging.Or(k.Log).Error("put a network in force", logging.Err, err)
	}
	return err
}

// Try puts a network in force for some seconds; 0 is Default. Another trial takes the place of one that is under way.
func (k *Keeper) Try(n boot.Network, seconds int) error {
	if err := n.Validate(); err != nil {
		return fmt.Errorf("network.%w", err)
	}
	if seconds == 0 {
		seconds = Default
	}
	if seconds < shortest || seconds > longest {
		return fmt.Errorf("seconds: %d: want %d to %d", seconds, shortest, longest)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	logging.Or(k.Log).Info("a network is tried", "seconds", seconds)
	k.mu.trial, k.mu.until = &n, time.Now().Add(time.Duration(seconds)*time.Second)
	k.nudge()
	if err := k.use(n); err != nil {
		return errors.Join(err, k.end())
	}
	return nil
}

// Confirm keeps the network on trial, durably before it says so.
func (k *Keeper) Confirm() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.mu.trial == nil {
		return ErrNone
	}
	if !k.State() {
		return ErrState
	}
	k.look() // so that a later look does not take an older one
	if err := k.Doc.Save(Kept{Network: *k.mu.trial, Replaces: sum(k.Config)}); err != nil {
		return err
	}
	k.keeps(*k.mu.trial)
	k.mu.trial = nil
	logging.Or(k.Log).Info("the network on trial was confirmed")
	k.nudge()
	return nil
}

// Revert ends the trial.
func (k *Keeper) Revert() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.mu.trial == nil {
		return ErrNone
	}
	logging.Or(k.Log).Info("the network on trial was taken back")
	k.nudge()
	return k.end()
}

// nudge has Run look at what is due.
func (k *Keeper) nudge() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// Status is which network is in force.
func (k *Keeper) Status() boot.NetworkStatus {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := boot.NetworkStatus{Confirmed: k.mu.confirmed, Kept: k.mu.kept}
	if k.mu.trial != nil {
		s.Trial = &boot.NetworkTrial{Network: *k.mu.trial, Seconds: int(max(0, time.Until(k.mu.until)).Seconds())}
	}
	return s
}
