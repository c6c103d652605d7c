// Package feed brings what netboot serves from the orchestrator: the document, and the files that it names.
//
// Owns: the long poll, the order of fetching.
// In: host.PathNetboot and host.PathNetbootFile of the orchestrators, over mutual TLS; what is in the way of machines.
// Out: documents and files in the book; host.NetbootReport.
// Never: takes away what is served because the orchestrator is away, or believes a file that has another digest.
package feed

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"time"

	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/orchestrator/netboot/offer"
)

// The clocks.
const (
	hold    = 30 * time.Second // of a poll
	grace   = 10 * time.Second // how much longer it is waited for
	file    = 15 * time.Minute // for one file
	backoff = 250 * time.Millisecond
	longest = 5 * time.Second
	again   = time.Minute // what was reported before
)

// Feed is the one task that writes the book.
type Feed struct {
	Book         *offer.Book
	Orchestrator []string // host:port, tried in order
	Client       *http.Client
	Self         *identity.Holder // a poll needs a certificate; nil: it needs none
	Log          *slog.Logger
	Troubles     func() []host.NetbootTrouble

	heard bool // from an orchestrator, since the start
}

// Run polls and fetches until ctx ends. What goes wrong is said once, and once more when it is over.
func (f *Feed) Run(ctx context.Context) error {
	log, failures := logging.Or(f.Log), 0
	for ctx.Err() == nil {
		if f.Self != nil && f.Self.Get() == nil {
			run.Wait(ctx, 100*time.Millisecond)
			continue
		}
		addr := f.Orchestrator[failures%len(f.Orchestrator)]
		err := f.once(ctx, addr)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			if failures == len(f.Orchestrator)-1 { // none of them answered
				log.Warn("nothing new from the orchestrator: going on with what is here", logging.Err, err)
			}
			run.Wait(ctx, run.Backoff(failures/len(f.Orchestrator), backoff, longest, rand.Float64()))
			failures++
		case failures > 0:
			log.Info("the orchestrator answers again", logging.Addr, addr)
			failures = 0
		}
	}
	return nil
}

// once polls, and fetches what is lacking.
func (f *Feed) once(ctx context.Context, addr string) error {
	log := logging.Or(f.Log)
	doc, fresh, err := f.poll(ctx, addr, len(f.Book.Lacking()) > 0)
	if err != nil {
		return err
	}
	f.heard = true
	if fresh {
		if err := f.Book.Replace(doc); err != nil {
			return fmt.Errorf("keep what is served: %w", err)
		}
		log.Info("served from now on", "release", doc.Release, logging.Reason, doc.Reason, "releases", len(doc.Releases), "all", doc.All,
			"for", doc.For, "enrolled", len(doc.Machines))
	}
	for _, want := range f.Book.Lacking() {
		began := time.Now()
		if err := f.Book.Put(want, func(offset int64) (io.ReadCloser, error) { return f.get(ctx, addr, want, offset) }); err != nil {
			return fmt.Errorf("fetch %s: %w", want.Digest, err)
		}
		log.Info("a file is here", "digest", want.Digest, "bytes", want.Bytes, logging.Took, time.Since(began))
		if len(f.Book.Lacking()) == 0 {
			log.Info("all files are here")
		}
	}
	return nil
}

// poll waits for a document that is not the one in force; fresh is false when there is none. It does not wait before the first answer since
// the start, nor while files are lacking.
func (f *Feed) poll(ctx context.Context, addr string, lacking bool) (doc host.Netboot, fresh bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, hold+grace)
	defer cancel()
	q := url.Values{"sum": {f.Book.Sum()}, "wait": {hold.String()}}
	if lacking || !f.heard {
		q.Set("wait", "0s")
	}
	resp, err := f.ask(ctx, http.MethodGet, addr, host.PathNetboot+"?"+q.Encode(), 0, nil)
	if err != nil {
		return doc, false, fmt.Errorf("ask what is served: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNoContent {
		return doc, false, nil
	}
	doc, err = host.DecodeNetboot(resp.Body)
	return doc, err == nil, err
}

// get opens a file at an offset.
func (f *Feed) get(ctx context.Context, addr string, want host.NetbootFile, offset int64) (io.ReadCloser, error) {
	ctx, cancel := context.WithTimeout(ctx, file)
	resp, err := f.ask(ctx, http.MethodGet, addr, host.PathNetbootFile+string(want.Digest), offset, nil)
	if err != nil {
		cancel()
		return nil, err
	}
	if offset > 0 && resp.StatusCode != http.StatusPartialContent {
		resp.Body.Close()
		cancel()
		return nil, errors.New("the orchestrator does not go on in the middle of a file")
	}
	return closing{resp.Body, cancel}, nil
}

// closing is a body with the end of its deadline.
type closing struct {
	io.ReadCloser
	cancel func()
}

func (c closing) Close() error { defer c.cancel(); return c.ReadCloser.Close() }

// ask is a request that was answered with what was asked for, or with nothing.
func (f *Feed) ask(ctx context.Context, method, addr, path string, offset int64, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "https://"+addr+path, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set(host.ProtocolHeader, host.Spoken.String())
	if offset > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
	}
	resp, err := f.Client.Do(req)
	if err != nil {
		return nil, err
	}
	switch resp.StatusCode {
	case http.StatusOK, http.StatusPartialContent, http.StatusNoContent:
		return resp, nil
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 300))
	return nil, fmt.Errorf("%s: %s: %s", addr, resp.Status, text)
}

// Report tells the orchestrators what is in the way of machines, soon after it changes and now and then, until ctx ends.
func (f *Feed) Report(ctx context.Context) error {
	var told []byte
	var at time.Time
	for i := 0; run.Wait(ctx, time.Second); {
		raw, err := json.Marshal(host.NetbootReport{Version: 1, Troubles: f.Troubles()})
		if err != nil {
			return err
		}
		if f.Self != nil && f.Self.Get() == nil || bytes.Equal(raw, told) && time.Since(at) < again {
			continue
		}
		if f.report(ctx, f.Orchestrator[i%len(f.Orchestrator)], raw) != nil {
			i++ // Run says that they don't answer
			continue
		}
		told, at = raw, time.Now()
	}
	return nil
}

func (f *Feed) report(ctx context.Context, addr string, raw []byte) error {
	ctx, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	resp, err := f.ask(ctx, http.MethodPut, addr, host.PathNetbootReport, 0, bytes.NewReader(raw))
	if err != nil {
		return err
	}
	return resp.Body.Close()
}
