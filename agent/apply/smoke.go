package apply

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"hardnode.dev/agent/container"
	"hardnode.dev/agent/container/spec"
	"hardnode.dev/agent/network"
	"hardnode.dev/agent/plan"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/jem"
)

// The container by which a host shows that containers run on it. It is nobody's node: its number is never given out, no report names it,
// and its address means something on its own host alone.
const smokeCTID wire.CTID = 999_999_999

var smokeAddr = netip.MustParseAddr("169.254.1.2")

// smokeImage is the name under which the host's own root is mounted as an image; its content is of no matter here.
var smokeImage = wire.DigestOf(sha256.Sum256([]byte("the root of the host itself")))

// Times of a Smoke: until the network knows of it, until it has ended, and what is left of it is removed.
const (
	smokeNet    = 20 * time.Second
	smokeEnds   = 20 * time.Second
	smokeRemove = 30 * time.Second
)

// smoking is a Smoke under way.
type smoking struct {
	admit func()        // closes in: the network lets it talk
	in    chan struct{} //
	seen  chan container.Observed
}

// Smoke runs a container as those of environments are run, which asks its host something over its network, and removes it. The error says
// what of that did not go well. One Smoke at a time; it needs Run to be under way.
func (a *Applier) Smoke(ctx context.Context) (err error) {
	if a.leaving.Load() != nil {
		return errors.New("the machine is being left")
	}
	root, err := a.o.Root()
	if err != nil {
		return fmt.Errorf("its root: %v", err)
	}
	step := plan.Step{Kind: plan.Start, CTID: smokeCTID}
	if !a.claim(step) {
		return errors.New("what is left of an earlier one is being removed")
	}
	defer a.release(step)
	now := &smoking{in: make(chan struct{}), seen: make(chan container.Observed, 1)}
	now.admit = sync.OnceFunc(func() { close(now.in) })
	a.smoke.Store(now)
	defer a.smoke.Store(nil)
	a.hint()
	if !waits(ctx, now.in, smokeNet) {
		return fmt.Errorf("the host's network did not take it in within %s; see the host's problems", smokeNet)
	}
	defer func() { err = errors.Join(err, a.unsmoke(ctx)) }()
	if err := a.unsmoke(ctx); err != nil {
		return err
	}
	s, err := a.smokeSpec(root)
	if err != nil {
		return err
	}
	began, err := a.o.Runtime.Start(ctx, s)
	if err != nil {
		return err
	}
	return a.smoked(ctx, now, began.Started)
}

// waits tells whether c is closed within d.
func waits(ctx context.Context, c <-chan struct{}, d time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	select {
	case <-c:
		return true
	case <-ctx.Done():
		return false
	}
}

// unsmoke leaves nothing of it.
func (a *Applier) unsmoke(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), smokeRemove)
	defer cancel()
	return errors.Join(a.o.Runtime.Remove(ctx, smokeCTID, false), a.o.Store.FreeUIDBase(smokeCTID))
}

func (a *Applier) smokeSpec(root string) (s container.StartSpec, err error) {
	c := host.Container{CTID: smokeCTID, Env: "smoke", Hostname: "smoke", Generation: 1, Run: true, Profile: host.ProfileApp,
		Image: host.Image{Digest: smokeImage}, IPv4: smokeAddr,
		Process: host.Process{Argv: []string{spec.PrivateDir + "/" + spec.JEM, "host", "reach"}},
		Limits:  host.Limits{MemoryMax: 64 << 20, PIDs: 64, DiskBytes: 16 << 20}}
	s = container.StartSpec{Container: c, ImagePath: root, Resolv: network.ResolvConf(string(c.Env)), Hosts: hostsFile(c),
		Network: func(ctx context.Context, ns *os.File) (func(), error) {
			return a.o.Network.Attach(ctx, endpoint(c), ns)
		}}
	s.UIDBase, err = a.o.Store.UIDBase(smokeCTID, false)
	return s, err
}

// smoked waits for the end of the one that began then, and says what was wrong with it.
func (a *Applier) smoked(ctx context.Context, now *smoking, began time.Time) error {
	within, cancel := context.WithTimeout(ctx, smokeEnds)
	defer cancel()
	last := container.StateRunning
	for {
		select {
		case o := <-now.seen:
			if last = o.State; o.State != container.StateExited || !o.Started.Equal(began) { // as it was a moment before
				continue
			}
			switch {
			case !o.ExitKnown:
				return errors.New("how it ended is not known: the spawner was replaced meanwhile")
			case o.ExitCode != 0:
				return fmt.Errorf("it ended with code %d: %s", o.ExitCode, a.smokeSaid(ctx))
			}
			return nil
		case <-within.Done():
			return fmt.Errorf("it has not ended after %s (%s)", smokeEnds, last)
		}
	}
}

// smokeSaid is why its program failed, in its words.
func (a *Applier) smokeSaid(ctx context.Context) string {
	var out []byte
	err := a.o.Runtime.Logs(ctx, smokeCTID, host.LogsSpec{Tail: 20}, func(_ bool, text []byte) error {
		out = append(append(out, text...), '\n')
		return nil
	})
	if err != nil {
		return err.Error()
	}
	if r, err := jem.Decode(out); err == nil && r.Error != nil {
		return r.Error.Reason
	}
	return fmt.Sprintf("%.300q", out)
}

// sift takes the container of a Smoke out of what was seen: it is no matter of the plan. One that nobody waits for, such as an agent leaves
// that was killed, is to be removed.
func (a *Applier) sift(list []container.Observed) (rest []container.Observed, left []plan.Step) {
	i := slices.IndexFunc(list, func(o container.Observed) bool { return o.CTID == smokeCTID })
	if i < 0 {
		return list, nil
	}
	if a.trying == nil {
		left = []plan.Step{{Kind: plan.Remove, CTID: smokeCTID, Reason: "left of a look at whether containers run here"}}
	} else {
		select {
		case <-a.trying.seen: // nobody has read the last one
		default:
		}
		a.trying.seen <- list[i]
	}
	return slices.Delete(slices.Clone(list), i, i+1), left
}
