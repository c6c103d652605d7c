// Package feed brings the routes from the orchestrator, and keeps them.
//
// Owns: the long poll, the last good document on disk.
// In: host.PathRoutes of the orchestrators, over mutual TLS; <dir>/routes.json.
// Out: tables in the book; what is held, and how much is under way there, with each poll.
// Never: takes routes away because the orchestrator is away, or puts a document in force that does not validate.
package feed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/keep"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
	wirehold "hardnode.dev/internal/wire/hold"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/orchestrator/resolver/sites"
)

// The clocks: how long the orchestrator may hold a poll, and how much longer we wait for it.
const (
	hold    = 30 * time.Second
	grace   = 10 * time.Second
	backoff = 250 * time.Millisecond
	longest = 5 * time.Second
	pause   = 100 * time.Millisecond // between polls that brought nothing
	ending  = 100 * time.Millisecond // between polls while requests to a node that is held come to their end
	// The copy on disk is whole, so it is not written more often than this: what is on disk is at most so old.
	between = 2 * time.Second
)

// Feed is the one task that writes the book.
type Feed struct {
	Book         *sites.Book
	Dir          string   // where routes.json is kept
	Orchestrator []string // host:port, tried in order
	Client       *http.Client
	Self         *identity.Holder // a poll needs a certificate
	Log          *slog.Logger
	// Listens tells whether what is in force can be asked for; until then no poll says that it has it. Nil: it can.
	Listens func() bool
	Moved   func() // called when a table is in force that has nodes on other hosts than before; nil: nobody asks

	last  host.Routes // the last that came since the start, whole
	heard bool        // changes lead on from last; the document on disk may be another version's, which left out what it did not know
	saved time.Time   // when a document was written last
	late  bool        // last is not on disk
	said  string      // of certificates that can't be used
}

func (f *Feed) doc() keep.Doc[host.Routes] {
	return keep.Doc[host.Routes]{Path: filepath.Join(f.Dir, "routes.json"), Version: 1, Sent: true}
}

// Restore puts the last document from disk in force, if there is one. A damaged one is set aside: it is a copy, the orchestrator has
// the original.
func (f *Feed) Restore() error {
	log := logging.Or(f.Log)
	if err := os.MkdirAll(f.Dir, 0o700); err != nil {
		return fmt.Errorf("restore routes: %v", err)
	}
	d := f.doc()
	r, found, err := d.Load()
	if found && err == nil {
		err = whole(r)
	}
	switch {
	case errors.Is(err, keep.ErrNewer):
		log.Warn("routes on disk are newer than this program: they are left alone, and not used", logging.Err, err)
	case err != nil:
		log.Warn("routes on disk can't be read: set aside", logging.Err, err)
		if err := os.Rename(d.Path, d.Path+".damaged"); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("set routes aside: %v", err)
		}
	case found:
		t := f.Book.Replace(r)
		f.complain(t)
		log.Info("routes restored from disk", logging.Rev, t.Revision, "sites", t.Count())
	}
	return nil
}

// complain names the certificates of a table that can't be used, if they are others than those named before.
func (f *Feed) complain(t *sites.Table) {
	said := fmt.Sprint(t.Bad())
	if said == f.said {
		return
	}
	f.said = said
	for _, b := range t.Bad() {
		logging.Or(f.Log).Warn("a certificate can't be used: its name is served without it", "domain", b.Name, logging.Err, b.Err)
	}
}

// whole says why r is no document to begin with, or nil.
func whole(r host.Routes) error {
	if r.From != 0 {
		return fmt.Errorf("routes %d: they are a change of %d", r.Revision, r.From)
	}
	return r.Validate()
}

// keep writes the last document, if it is not on disk and it is time.
func (f *Feed) keep(anyway bool) {
	if !f.late || !anyway && time.Since(f.saved) < between {
		return
	}
	f.saved, f.late = time.Now(), false
	if err := f.doc().Save(f.last); err != nil {
		logging.Or(f.Log).Warn("routes not kept on disk", logging.Err, err)
	}
}

// patience is how long a poll may last: until the last document has to be written, or there may be something else to say of what is held.
func (f *Feed) patience(held []wirehold.Node) time.Duration {
	if f.deaf() || slices.ContainsFunc(held, func(n wirehold.Node) bool { return n.Busy > 0 }) {
		return ending
	}
	if f.late {
		return min(hold, max(pause, between-time.Since(f.saved)))
	}
	return hold
}

func (f *Feed) deaf() bool { return f.Listens != nil && !f.Listens() }

// Run polls until ctx ends. What goes wrong is said once, and once more when it is over.
func (f *Feed) Run(ctx context.Context) error {
	log := logging.Or(f.Log)
	failures, at := 0, 0
	defer f.keep(true)
	for ctx.Err() == nil {
		f.keep(false)
		if f.Self != nil && f.Self.Get() == nil {
			if !run.Wait(ctx, 100*time.Millisecond) {
				return nil
			}
			continue
		}
		r, fresh, err := f.poll(ctx, f.Orchestrator[at%len(f.Orchestrator)])
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			if failures == len(f.Orchestrator)-1 { // none of them answered
				log.Warn("no routes from the orchestrator: going on with the last ones", logging.Err, err, logging.Rev, f.revision())
			}
			run.Wait(ctx, run.Backoff(failures/len(f.Orchestrator), backoff, longest, rand.Float64()))
			failures, at = failures+1, at+1
			continue
		}
		if failures >= len(f.Orchestrator) {
			log.Info("routes from the orchestrator again", logging.Addr, f.Orchestrator[at%len(f.Orchestrator)])
		}
		failures = 0
		if !fresh {
			run.Wait(ctx, pause)
			continue
		}
		t := f.Book.Replace(r)
		f.complain(t)
		log.Info("routes in force", logging.Rev, t.Revision, "sites", t.Count())
		if f.late = true; t.Moved && f.Moved != nil {
			f.Moved()
		}
	}
	return nil
}

func (f *Feed) revision() wire.Revision {
	if t := f.Book.Table(); t != nil {
		return t.Revision
	}
	return 0
}

// poll waits for a document that is not the one in force, whole or as a change of that; fresh is false when there is none.
func (f *Feed) poll(ctx context.Context, addr string) (r host.Routes, fresh bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, hold+grace)
	defer cancel()
	var have wire.Revision
	if f.heard {
		have = f.last.Revision
	}
	var held []wirehold.Node
	if t := f.Book.Table(); t != nil {
		held = t.Held(time.Now())
	}
	url := fmt.Sprintf("https://%s%s?rev=%d&%s=1&wait=%s", addr, host.PathRoutes, have, host.RoutesChanges, f.patience(held))
	if f.deaf() {
		url += "&" + host.RoutesDeaf + "=1"
	}
	if len(held) > 0 {
		url += "&" + wirehold.Query + "=" + wirehold.Format(held)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return r, false, fmt.Errorf("poll routes from %q: %v", addr, err)
	}
	req.Header.Set(host.ProtocolHeader, host.Spoken.String())
	resp, err := f.Client.Do(req)
	if err != nil {
		return r, false, fmt.Errorf("poll routes: %w", err)
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusNoContent:
		return r, false, nil
	case http.StatusOK:
		r, err := host.DecodeRoutes(resp.Body)
		if err != nil {
			return host.Routes{}, false, fmt.Errorf("poll routes from %q: %w", addr, err)
		}
		next, err := r.After(f.last)
		if f.heard = err == nil; err != nil { // all of it is asked for
			return host.Routes{}, false, fmt.Errorf("poll routes from %q: %w", addr, err)
		}
		f.last = next
		return next, next.Revision != have, nil
	}
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 300))
	return r, false, fmt.Errorf("poll routes from %q: %s: %s", addr, resp.Status, text)
}
