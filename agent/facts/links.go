package facts

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"hardnode.dev/internal/run"
	"hardnode.dev/internal/run/ask"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/host"
)

// Links is what netd last said of the host's links. Its zero value asks boot.NetdSocket.
type Links struct {
	Socket string // "" is boot.NetdSocket

	mu struct {
		sync.Mutex
		list []boot.LinkStatus
	}
}

// Keep asks netd again and again until ctx ends: a task. Until the host has an address it asks often.
func (l *Links) Keep(ctx context.Context) error {
	for {
		wait := 5 * time.Second
		if list, err := l.ask(ctx); err == nil {
			l.mu.Lock()
			l.mu.list = list
			l.mu.Unlock()
		}
		if !l.Underlay().IsValid() {
			wait = 200 * time.Millisecond
		}
		if !run.Wait(ctx, wait) {
			return nil
		}
	}
}

// Underlay is the address other hosts reach this one at; the zero Addr until it is known.
func (l *Links) Underlay() netip.Addr {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, k := range l.mu.list {
		if k.Underlay && len(k.Addresses) > 0 {
			return k.Addresses[0].Addr()
		}
	}
	return netip.Addr{}
}

// Addrs are all addresses of the host's links, the underlay's first.
func (l *Links) Addrs() (out []netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, first := range []bool{true, false} {
		for _, k := range l.mu.list {
			if k.Underlay != first {
				continue
			}
			for _, p := range k.Addresses {
				out = append(out, p.Addr())
			}
		}
	}
	return out
}

// Global are those of Addrs that other machines could find this host at, each once.
func (l *Links) Global() (out []netip.Addr) {
	for _, a := range l.Addrs() {
		if a = a.Unmap(); host.HostAddr(a) && !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out
}

// Problems are what netd says is wrong with links.
func (l *Links) Problems() map[string]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := map[string]string{}
	for _, k := range l.mu.list {
		if k.Problem != "" {
			out[k.Name] = k.Problem
		}
	}
	return out
}

func (l *Links) ask(ctx context.Context) (list []boot.LinkStatus, err error) {
	at := l.Socket
	if at == "" {
		at = boot.NetdSocket
	}
	body, err := Ask(ctx, at, "/v1/links")
	if err != nil {
		return nil, err
	}
	return list, json.Unmarshal(body, &list)
}

// Ask gets one document from a daemon of this host over its Unix socket. It waits until ctx's deadline; 3 s when there is none.
func Ask(ctx context.Context, socket, path string) ([]byte, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, 3*time.Second)
		defer cancel()
	}
	raw, err := ask.To("it", socket).Raw(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("ask %q for %s: %v", socket, path, err)
	}
	return raw, nil
}
