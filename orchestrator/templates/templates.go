// Package templates keeps the list of templates as the registry tells it.
//
// Owns: the records of templates.
// In: the registry's list, over mutual TLS.
// Out: records; an error when the registry does not answer: the last list goes on to count.
// Never: fetches an image, or removes a template only because the registry is away.
package templates

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/orchestrator/store"
)

// The clocks: how often the list is read without being asked for, how long one reading may take, how old an answer may be.
const (
	every   = 15 * time.Second
	timeout = 5 * time.Second
	fresh   = time.Second
)

// List follows the registry.
type List struct {
	Store    *store.Store
	Registry string // host:port; "" is none
	Trust    identity.Trust
	Self     *identity.Holder
	Log      *slog.Logger

	mu struct {
		sync.Mutex
		last    time.Time
		client  *http.Client
		imports []host.Import
	}
}

// Refresh reads the list now, unless it was read a moment ago.
func (l *List) Refresh(ctx context.Context) error {
	if l.Registry == "" {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if time.Since(l.mu.last) < fresh {
		return nil
	}
	if l.mu.client == nil {
		l.mu.client = &http.Client{Timeout: timeout, Transport: &http.Transport{TLSClientConfig: identity.ClientTLS(l.Trust, identity.WantComponent("registry"), l.Self),
			MaxIdleConns: 1, IdleConnTimeout: time.Minute}}
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+l.Registry+host.PathImages, nil)
	if err != nil {
		return fmt.Errorf("ask registry %q: %v", l.Registry, err)
	}
	resp, err := l.mu.client.Do(req)
	if err != nil {
		return fmt.Errorf("ask registry %q: %v", l.Registry, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		said, _ := io.ReadAll(io.LimitReader(resp.Body, 300))
		return fmt.Errorf("ask registry %q: %s: %s", l.Registry, resp.Status, said)
	}
	doc, err := host.DecodeTemplates(resp.Body)
	if err != nil {
		return fmt.Errorf("ask registry %q: %v", l.Registry, err)
	}
	l.mu.last, l.mu.imports = time.Now(), doc.Imports
	return l.keep(ctx, doc)
}

// Imports are the pushed names that the registry has not imported (yet), as it last told.
func (l *List) Imports() []host.Import {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.imports
}

func (l *List) keep(ctx context.Context, doc host.Templates) error {
	_, err := l.Store.Update(ctx, func(tx *store.Tx) error {
		named := map[string]bool{}
		for _, t := range doc.Templates {
			named[store.TemplateKey(t.Name)] = true
			store.Templates.Put(tx, store.TemplateKey(t.Name), t)
		}
		for _, t := range store.Templates.All(tx.View()) {
			if !named[store.TemplateKey(t.Name)] {
				store.Templates.Delete(tx, store.TemplateKey(t.Name))
			}
		}
		return nil
	})
	return err
}

// Run reads the list until ctx ends. A registry that is away is said once.
func (l *List) Run(ctx context.Context) error {
	failing := false
	for {
		err := l.Refresh(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			logging.Or(l.Log).Warn("the registry does not answer; templates are as last known", logging.Err, err)
		}
		failing = err != nil
		wait := every
		if failing {
			wait = 2 * time.Second
		}
		if !run.Wait(ctx, wait) {
			return nil
		}
	}
}
