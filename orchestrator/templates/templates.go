// Package templates keeps the list of templates as the registry tells it.
//
// Owns: the records of templates; what is in use of them.
// In: the registry's list, over mutual TLS; templates that a person wants deleted.
// Out: records; what is in use, to the registry; what the registry tells of imports; an error when the registry does not answer: the last
// list goes on to count.
// Never: fetches an image, removes a template only because the registry is away, or deletes one that is in use.
package templates

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/store"
)

// The clocks: how often the list is read without being asked for, how long one reading may take.
const (
	every   = 15 * time.Second
	closely = 2 * time.Second // while an import is under way
	look    = time.Second     // how long one who lists operations waits for the registry
	timeout = 5 * time.Second
	tell    = time.Minute      // between tellings of what is in use: the registry believes one for five
	change  = 30 * time.Second // for a deletion
)

// List follows the registry.
type List struct {
	Store    *store.Store
	Registry string // host:port; "" is none
	Trust    identity.Trust
	Self     *identity.Holder
	Log      *slog.Logger
	// Runs takes what the registry tells of its imports; nil: nobody does.
	Runs interface {
		Imported(ctx context.Context, told []host.ImportRun) error
		Silent(ctx context.Context, since time.Time) error
	}

	away atomic.Bool // it did not answer the last time
	mu   struct {
		sync.Mutex
		began   time.Time     // of the last reading that had an answer
		busy    bool          // an import is under way, as it last told
		woken   chan struct{} // one has begun since Run looked last; nil before Run
		told    time.Time
		client  *http.Client
		imports []host.Import
	}
}

// Refresh reads the list. Callers that wait at once share a reading, but none gets one that began before it asked: what was imported then
// would be missing.
func (l *List) Refresh(ctx context.Context) error {
	if l.Registry == "" {
		return nil
	}
	asked := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.began.After(asked) {
		return nil
	}
	return l.read(ctx)
}

// Look is Refresh for one who lists operations: it waits a moment only, not for others, and not for a registry that did not answer the last
// time.
func (l *List) Look(ctx context.Context) {
	if l.Registry == "" || l.away.Load() || !l.mu.TryLock() {
		return
	}
	defer l.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, look)
	defer cancel()
	if err := l.read(ctx); err != nil && ctx.Err() == nil {
		logging.Or(l.Log).Info("imports are as last known", logging.Reason, err)
	}
}

func (l *List) read(ctx context.Context) error {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	resp, err := l.ask(ctx, http.MethodGet, host.PathImages, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	doc, err := host.DecodeTemplates(resp.Body)
	if err != nil {
		return fmt.Errorf("ask registry %q: %v", l.Registry, err)
	}
	l.mu.began, l.mu.imports = began, doc.Imports
	if l.mu.busy = slices.ContainsFunc(doc.Runs, func(r host.ImportRun) bool { return !r.State.Final() }); l.mu.busy {
		select {
		case l.mu.woken <- struct{}{}:
		default:
		}
	}
	if err := l.keep(ctx, doc); err != nil || l.Runs == nil {
		return err
	}
	return l.Runs.Imported(ctx, doc.Runs)
}

// ask sends one request; an answer that is none is an error, an *operator.Problem if the registry says so.
func (l *List) ask(ctx context.Context, method, path string, body any) (*http.Response, error) {
	if l.mu.client == nil {
		l.mu.client = &http.Client{
			Transport: &http.Transport{TLSClientConfig: identity.ClientTLS(l.Trust, identity.WantComponent("registry"), l.Self),
				MaxIdleConns: 1, IdleConnTimeout: time.Minute}}
	}
	raw, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("ask registry %q: %v", l.Registry, err)
	}
	req, err := http.NewRequestWithContext(ctx, method, (&url.URL{Scheme: "https", Host: l.Registry, Path: path}).String(),
		bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("ask registry %q: %v", l.Registry, err)
	}
	resp, err := l.mu.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask registry %q: %v", l.Registry, err)
	}
	if resp.StatusCode < 300 {
		return resp, nil
	}
	defer resp.Body.Close()
	said, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	var p operator.Problem
	if json.Unmarshal(said, &p) == nil && p.Code != "" {
		return nil, &p
	}
	if resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusMethodNotAllowed { // it has its own words for all it knows
		return nil, operator.NewProblem(operator.Unavailable, "registry", "its version does not know this: "+method+" "+path,
			"update the platform, then try again")
	}
	return nil, fmt.Errorf("ask registry %q: %s: %.300s", l.Registry, resp.Status, said)
}

// tell says what is in use. The caller holds the lock.
func (l *List) tell(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	resp, err := l.ask(ctx, http.MethodPut, host.PathUsed, Used(l.Store.View()))
	if err == nil {
		resp.Body.Close()
		l.mu.told = time.Now()
	}
	return err
}

// Delete removes the template a person of an account means (Meant). Who uses it makes it a conflict.
func (l *List) Delete(ctx context.Context, account wire.Account, name string) (host.Freed, error) {
	v := l.Store.View()
	ref, going, problem := meantBy(account, name, store.Templates.All(v))
	if problem != nil {
		return host.Freed{}, problem
	}
	used := Used(v)
	for _, t := range going {
		elsewhere := false
		for _, o := range store.Templates.All(v) {
			elsewhere = elsewhere || o.Digest == t.Digest &&
				!slices.ContainsFunc(going, func(g host.Template) bool { return g.Name == o.Name })
		}
		if by := used.Users(t.Name, t.Digest, elsewhere); len(by) > 0 {
			return host.Freed{}, InUse(t.Name, by)
		}
	}
	var out host.Freed
	return out, l.change(ctx, http.MethodDelete, host.PathTemplates+ref, nil, &out)
}

// Collect has the registry remove what nothing needs.
func (l *List) Collect(ctx context.Context) (host.Freed, error) {
	var out host.Freed
	return out, l.change(ctx, http.MethodPost, host.PathCollect, nil, &out)
}

// InUse says that a template can't be deleted, and why.
func InUse(name wire.TemplateName, by []string) *operator.Problem {
	const most = 10
	list := strings.Join(by[:min(len(by), most)], ", ")
	if len(by) > most {
		list += fmt.Sprintf(" and %d more", len(by)-most)
	}
	return operator.NewProblem(operator.Conflict, "templates/"+string(name), "it is in use by "+list,
		"delete those first, or let them use another template")
}

// change has the registry change something, and reads what it answers into out.
func (l *List) change(ctx context.Context, method, path string, body, out any) error {
	if l.Registry == "" {
		return operator.NewProblem(operator.Unavailable, "templates", "this cluster has no registry", "")
	}
	ctx, cancel := context.WithTimeout(ctx, change)
	defer cancel()
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.tell(ctx); err != nil {
		return away(err)
	}
	resp, err := l.ask(ctx, method, path, body)
	if err != nil {
		return away(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(out); err != nil {
		return fmt.Errorf("ask registry %q: %v", l.Registry, err)
	}
	return l.read(ctx)
}

// away makes an error of the connection one for people.
func away(err error) error {
	if p := (*operator.Problem)(nil); errors.As(err, &p) {
		return p
	}
	return operator.NewProblem(operator.Unavailable, "registry", err.Error(), "try again when it runs: hnctl node list --env jelastic")
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
			t.Account = t.Account.Owner()
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

// tellNow says what is in use, unless that was said a moment ago.
func (l *List) tellNow(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.Registry == "" || time.Since(l.mu.told) < tell {
		return nil
	}
	return l.tell(ctx)
}

// rest waits until it is time to read the list again; false: ctx ended.
func (l *List) rest(ctx context.Context, failing bool) bool {
	l.mu.Lock()
	wait, woken := every, l.mu.woken
	if failing || l.mu.busy {
		wait, woken = closely, nil
	}
	l.mu.Unlock()
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
	case <-woken:
		return run.Wait(ctx, closely)
	}
	return true
}

// Run reads the list until ctx ends. A registry that is away is said once.
func (l *List) Run(ctx context.Context) error {
	failing, answered := false, time.Now()
	l.mu.Lock()
	l.mu.woken = make(chan struct{}, 1)
	l.mu.Unlock()
	for {
		err := l.Refresh(ctx)
		if err == nil {
			answered = time.Now()
			err = l.tellNow(ctx)
		} else if l.Runs != nil {
			err = errors.Join(err, l.Runs.Silent(ctx, answered))
		}
		l.away.Store(err != nil)
		if err != nil && !failing && ctx.Err() == nil {
			logging.Or(l.Log).Warn("the registry does not answer; templates are as last known", logging.Err, err)
		}
		failing = err != nil
		if !l.rest(ctx, failing) {
			return nil
		}
	}
}
