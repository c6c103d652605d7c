package link

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/facts"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/neighbour"
)

// pollWait is how long the orchestrator may hold a poll; pollDeadline is when the agent gives it up.
const (
	pollWait     = 30 * time.Second
	pollDeadline = pollWait + 10*time.Second
)

// assignment long-polls for newer documents and hands them to the store, until ctx ends.
func (l *Link) assignment(ctx context.Context) error {
	for again := (retry{}); ctx.Err() == nil; {
		path := fmt.Sprintf("%s?%s&wait=%s", host.PathAssigned, l.o.Store.Known().Query(), pollWait)
		a, err := l.poll(ctx, "assignment", path)
		if err == nil {
			var as host.Assignment
			var took time.Duration
			if as, err = host.DecodeAssignment(bytes.NewReader(a.body)); err == nil && as.Session != nil {
				l.begin(ctx, a.endpoint, *as.Session)
				if as.Session = nil; as == (host.Assignment{}) {
					again.ok()
					continue
				}
			}
			if err == nil {
				began := time.Now()
				err = l.o.Store.Accept(as)
				took = time.Since(began)
			}
			l.accepted(as, took, err)
		}
		if err == nil || errors.Is(err, errNothing) {
			again.ok()
		} else if !again.wait(ctx, err) {
			break
		}
	}
	return nil
}

// getDeadline is how long a file of a release, or a part of one, may take: a slow line brings less than that in it.
const getDeadline = 2 * time.Minute

// Get is the body of a GET of the host API. A refusal is a *operator.Problem.
func (l *Link) Get(ctx context.Context, path string) ([]byte, error) {
	client := l.client.with.Load()
	if client == nil || l.holder.Get() == nil {
		return nil, errors.New("this host has not joined its cluster yet")
	}
	a, err := l.client.call(ctx, client, http.MethodGet, path, nil, getDeadline)
	if errors.Is(err, errNothing) {
		return nil, nil
	}
	return a.body, err
}

// poll asks for what may be long in coming; errNothing: ask anew. There is one poll of a name at a time.
func (l *Link) poll(ctx context.Context, name, path string) (answer, error) {
	held, cancel := context.WithCancel(ctx)
	defer cancel()
	l.mu.Lock()
	l.mu.polls[name] = cancel
	l.mu.Unlock()
	a, err := l.client.call(held, l.client.with.Load(), http.MethodGet, path, nil, pollDeadline)
	if err != nil && held.Err() != nil && ctx.Err() == nil {
		return answer{}, errNothing // given up by pollAnew
	}
	return a, err
}

// longAway is when an orchestrator that was away has been so for long.
const longAway = 10 * time.Second

// pollAnew gives up the polls that are held: after a long silence on the line the answer to one may have been lost, and TCP tries to bring
// it ever more seldom.
func (l *Link) pollAnew() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.client.with.Load().CloseIdleConnections() // they are as old
	for _, cancel := range l.mu.polls {
		cancel()
	}
}

// accepted logs and shows what became of an assignment; took is until it was on disk.
func (l *Link) accepted(a host.Assignment, took time.Duration, err error) {
	const object = "assignment"
	if err != nil {
		l.log.Error("assignment refused", logging.Err, err)
		p := host.Problem{Code: "invalid", Object: object, Reason: oneLine(err),
			Next: "the host goes on with what it had; update the host's release if the orchestrator is newer"}
		if errors.Is(err, unix.ENOSPC) {
			p.Code, p.Next = "exhausted", "the host goes on with what it had; make room on its DATA disk, or give it a bigger one"
		}
		l.update(func(s *Status) { s.Problems = append(without(s.Problems, object), p) })
		return
	}
	l.update(func(s *Status) { s.Problems = without(s.Problems, object) })
	if a.Work != nil {
		l.log.Info("work accepted", logging.Rev, a.Work.Revision, "containers", len(a.Work.Containers), logging.Took, took)
	}
	if a.Peers != nil {
		l.log.Info("peers accepted", logging.Rev, a.Peers.Revision, "hosts", len(a.Peers.Hosts))
	}
	if s := a.System; s != nil {
		l.log.Info("system accepted", logging.Rev, s.Revision, "release", s.Release, logging.Step, string(s.Step), "order", s.Order)
	}
	if c := a.PeersChange; c != nil {
		l.log.Info("peers accepted", logging.Rev, c.Peers.Revision, "whole", c.From == 0, "changed", len(c.Peers.Hosts),
			"gone", len(c.Gone))
	}
}

// oneLine is an error that may be several, for a problem.
func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

func without(ps []host.Problem, object string) []host.Problem {
	var out []host.Problem
	for _, p := range ps {
		if p.Object != object {
			out = append(out, p)
		}
	}
	return out
}

// Reports go out as often as the orchestrator asks for, and sooner when something changed, but never closer than minReport apart. They have
// a connection of their own, and making one waits for no disk: they renew the host's link, so nothing else may hold them up.
const (
	minReport      = 250 * time.Millisecond
	reportDeadline = 3 * time.Second // a busy orchestrator may take a moment; an answer that is lost must not cost the host its link
)

// report tells the orchestrator how this host is, until ctx ends.
func (l *Link) report(ctx context.Context) error {
	var seq int64
	var known renewal
	late := lateness{started: time.Now(), every: host.ReportEvery}
	for again := (retry{}); ctx.Err() == nil; {
		waiting := l.waiting()
		r := l.o.Report(ctx)
		r.Late = late.why(time.Now())
		seq = max(seq+1, facts.SinceBoot().Milliseconds()) // it must grow over restarts of the agent too
		r.Seq, r.Sent = seq, time.Now().UTC()
		r.Leaving = l.leaving()
		r = known.next(r, time.Now())
		body, err := json.Marshal(r)
		if err != nil {
			return fmt.Errorf("encode report: %v", err)
		}
		// One endpoint at a time: the next one gets a report of its own, since this one may have arrived all the same.
		a, err := l.client.try(ctx, l.client.reports.Load(), http.MethodPost, host.PathReport, body, reportDeadline, 1)
		var reply host.ReportReply
		if err == nil {
			err = neighbour.Decode(a.body, &reply)
		}
		if !known.answered(r, reply, err) {
			continue
		}
		l.reported(a.endpoint, reply, err)
		late.tried(time.Now(), err)
		if err != nil {
			if !again.wait(ctx, err) {
				break
			}
			continue
		}
		again.ok()
		l.answered(waiting)
		l.o.Clock.Answer(reply.Now, a.took)
		late.every = reply.Next()
		l.pause(ctx, late.every)
	}
	return nil
}

// lateness keeps in mind why the orchestrator did not hear of this host for a while, so that it can be told afterwards.
type lateness struct {
	started  time.Time     // of this agent's link
	every    time.Duration // between reports, when nothing is late
	answered time.Time     // when a report was answered last; zero before the first
	ended    time.Time     // when the last try ended
	failed   int           // tries since
	last     error         // of the last of them
}

// why is the reason, for the report that is about to go out, or "".
func (l *lateness) why(now time.Time) string {
	from := l.answered
	if from.IsZero() {
		from = l.started
	}
	gap := now.Sub(from)
	late := gap > 2*l.every+500*time.Millisecond
	switch {
	case l.failed > 0 && (late || l.answered.IsZero()):
		return fmt.Sprintf("%d reports in %s were not answered, the last: %v", l.failed, gap.Round(100*time.Millisecond), l.last)
	case l.answered.IsZero():
		return "the agent has just started"
	case late:
		return fmt.Sprintf("the host was too busy to make a report for %s", now.Sub(l.ended).Round(100*time.Millisecond))
	}
	return ""
}

// tried takes in how a try ended.
func (l *lateness) tried(now time.Time, err error) {
	l.ended = now
	if err != nil {
		l.failed, l.last = l.failed+1, err
		return
	}
	l.answered, l.failed, l.last = now, 0, nil
}

// pause waits for the next report's time.
func (l *Link) pause(ctx context.Context, every time.Duration) {
	tick := time.NewTimer(every - minReport)
	defer tick.Stop()
	if !run.Wait(ctx, minReport) {
		return
	}
	select {
	case <-l.o.Changed:
	case <-tick.C:
	case <-ctx.Done():
	}
}

// ObjectOrchestrator is the object of the problem that the orchestrator is away.
const ObjectOrchestrator = "orchestrator"

// reported notes what became of a report; it logs only changes.
func (l *Link) reported(endpoint string, reply host.ReportReply, err error) {
	const object = ObjectOrchestrator
	before := l.Status()
	if err != nil {
		if l.away.IsZero() {
			l.away = time.Now()
		}
		p := asProblem(object, err, "containers go on running; check the network between this host and join.endpoints")
		p.Object = object // one problem at a time, whatever it is about: the next answer replaces it
		p = l.absence.failed(time.Now(), endpoint, p)
		if before.Link != wordAway || !slices.Contains(before.Problems, p) {
			l.update(func(s *Status) {
				s.Linked, s.Link, s.Problems = false, wordAway, append(without(s.Problems, object), p)
			})
		}
		if before.Linked || before.Link == wordConnecting {
			l.log.Warn("orchestrator away", logging.Reason, p.Reason)
		}
		return
	}
	if !l.away.IsZero() && time.Since(l.away) > longAway {
		l.pollAnew()
	}
	l.absence, l.away = absence{}, time.Time{}
	same := before.Linked && before.State == reply.State && before.Unlicensed == reply.Unlicensed
	if !same || before.Peers != reply.Peers {
		l.update(func(s *Status) {
			s.Linked, s.Link, s.State, s.Unlicensed, s.Peers = true, wordConnected, reply.State, reply.Unlicensed, reply.Peers
			s.Problems = without(s.Problems, object)
		})
	}
	if same && l.endpoint == endpoint {
		return
	}
	l.endpoint = endpoint
	l.log.Info("orchestrator says", "state", reply.State, "unlicensed", reply.Unlicensed, logging.Addr, endpoint)
}
