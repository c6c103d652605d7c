package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"hardnode.dev/internal/run"
	"hardnode.dev/internal/testkit/founded"
	"hardnode.dev/internal/wire/operator"
)

// fleet is all the hosts.
type fleet struct {
	cluster  *founded.Cluster
	endpoint string // of the host API
	dir      string // for the hosts' identities
	delay    time.Duration
	memory   int64 // bytes of each host
	hosts    []*virtual
	measure  measure

	mu struct {
		sync.Mutex
		err error
	}
}

func newFleet(c *founded.Cluster, endpoint, dir string, delay time.Duration) *fleet {
	f := &fleet{cluster: c, endpoint: endpoint, dir: dir, delay: delay, memory: 64 << 30}
	for i, tok := range c.Hosts {
		f.hosts = append(f.hosts, &virtual{fleet: f, index: i, token: tok, hints: make(chan struct{}, 1)})
	}
	return f
}

// atOnce is how many hosts join at the same time: the orchestrator lets in as many strangers.
const atOnce = 8

// start switches all hosts on and waits until all are ACTIVE.
func (f *fleet) start(ctx context.Context) error {
	for i, v := range f.hosts {
		if err := v.on(ctx); err != nil {
			return err
		}
		if i >= atOnce {
			if err := f.joined(ctx, f.hosts[i-atOnce]); err != nil {
				return err
			}
		}
	}
	for _, v := range f.hosts {
		if err := f.joined(ctx, v); err != nil {
			return err
		}
	}
	return nil
}

func (f *fleet) joined(ctx context.Context, v *virtual) error {
	return f.until(ctx, fmt.Sprintf("host%d is ACTIVE", v.index+1), 5*time.Minute, func() (bool, string) {
		s := v.status()
		return s.State == string(operator.HostActive) && s.Linked, fmt.Sprintf("it is %s, %s %v", s.State, s.Link, s.Problems)
	})
}

// until waits for something, and says what it waited for when it does not come.
func (f *fleet) until(ctx context.Context, what string, most time.Duration, is func() (bool, string)) error {
	for end := time.Now().Add(most); ; {
		ok, how := is()
		if ok {
			return nil
		}
		if err := f.failure(); err != nil {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("wait until %s: not within %s: %s", what, most, how)
		}
		if !run.Wait(ctx, 20*time.Millisecond) {
			return ctx.Err()
		}
	}
}

// stop switches all hosts off.
func (f *fleet) stop() {
	for _, v := range f.hosts {
		if v.cancel != nil {
			v.cancel()
		}
	}
	for _, v := range f.hosts {
		v.off()
	}
}

func (f *fleet) failed(err error) {
	f.mu.Lock()
	f.mu.err = errors.Join(f.mu.err, err)
	f.mu.Unlock()
}

func (f *fleet) failure() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.err
}

// running waits until so many containers run.
func (f *fleet) running(ctx context.Context, want int, most time.Duration) error {
	return f.until(ctx, fmt.Sprintf("%d containers run", want), most, func() (bool, string) {
		all, running := 0, 0
		for _, v := range f.hosts {
			a, r := v.containers()
			all, running = all+a, running+r
		}
		return all == want && running == want, fmt.Sprintf("hosts have %d, and %d of them run", all, running)
	})
}
