package hostapi

import (
	"context"
	"encoding/json"
	"hash/fnv"
	"net/http"
	"slices"
	"sync"
	"time"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/converge/published"
	"hardnode.dev/orchestrator/enroll"
	"hardnode.dev/orchestrator/env"
	"hardnode.dev/orchestrator/store"
)

// assigned answers as soon as there is something else than what the host named. A revision that is lower than the host's is sent too: the
// store was restored, and what it says counts.
func (s *Server) assigned(w http.ResponseWriter, r *http.Request, h store.Host) {
	known, err := host.ParseKnown(r.URL.Query())
	if err != nil {
		operator.WriteProblem(w, operator.NewProblem(operator.Invalid, "query", err.Error(),
			"compare the versions of host and orchestrator"))
		return
	}
	if was, ok := s.sent.LoadAndDelete(h.ID); ok && was.(sent).revision == known.Work {
		s.Accepted.Observe(time.Since(was.(sent).at).Seconds())
	}
	ctx, cancel := context.WithTimeout(r.Context(), wait(r))
	defer cancel()
	s.asking.Add(1)
	defer s.asking.Add(-1)
	p := poll{s: s, id: h.ID, known: known, protocol: protocol(r)}
	for {
		v := s.Store.View()
		if !enroll.Enrolled(v, h) { // the same moment's documents tell the others of it
			operator.WriteProblem(w, enroll.NotEnrolled(h.Name))
			return
		}
		if req, ok := p.session(); ok { // a person waits for it: it goes before any document
			answer(w, host.Assignment{Session: &req})
			return
		}
		a, raw, err := p.answer(ctx, v)
		switch {
		case err != nil:
			operator.WriteProblem(w, err)
			return
		case raw != nil:
			if a.Work != nil {
				s.sent.Store(h.ID, sent{a.Work.Revision, time.Now()})
			}
			send(w, raw)
			return
		case ctx.Err() != nil:
			nothing(w, ctx)
			return
		case p.later != nil:
			inTurn(ctx)
		}
		select {
		case <-news(ctx):
		case <-p.asked:
		case <-p.later:
		case <-ctx.Done():
		}
	}
}

// session is one that the host has not fetched yet, where sessions come with the Assignment.
func (p *poll) session() (r host.SessionRequest, ok bool) {
	if p.protocol >= host.ProtocolSessions {
		r, p.asked, ok = p.s.Hub.Take(p.id)
	}
	return r, ok
}

// answer is what the host is answered at v, also encoded; nil: nothing yet. It waits for its turn: what thousands of hosts are to be told
// at the same moment is put together for a few at a time, for whatever else this program does would wait until all of it is.
func (p *poll) answer(ctx context.Context, v *store.View) (a host.Assignment, raw []byte, err error) {
	select {
	case p.s.composing <- struct{}{}:
	default:
		select {
		case p.s.composing <- struct{}{}:
		case <-p.asked:
			return a, nil, nil
		case <-ctx.Done(): // it asks again
			return a, nil, nil
		}
	}
	defer func() { <-p.s.composing }()
	if a = p.news(v); a == (host.Assignment{}) || !p.due(a) && ctx.Err() == nil {
		return a, nil, nil
	}
	raw, err = json.Marshal(a)
	return a, raw, err
}

// differences is the first protocol in which Peers and names are told as differences (told.Book); before it they are one document.
const differences = 2

// poll is one host's asking for what is new.
type poll struct {
	s        *Server
	id       wire.HostID
	known    host.Known
	protocol int
	of       *host.Work // accounts are those of its containers
	accounts []wire.Account
	asked    <-chan struct{}  // closed when the host may be asked for a session
	later    <-chan time.Time // when what can wait is told; nil: nothing waits
	at       time.Time        // likewise
}

// What others should know of is told at once to who needs it: with Work, and where it is of an environment that the host runs a container
// of. All other hosts are told at a time of their own in each turn, and a turn is longer the more hosts there are: however often something
// changes, telling them takes a bounded part of this program, and who has something to do comes first.
const (
	moment   = 20 * time.Millisecond // the shortest turn
	eachHost = 2500 * time.Microsecond
	maxTurn  = 10 * time.Second
)

// turn is how long a turn is when that many hosts ask.
func turn(asking int64) time.Duration {
	return min(maxTurn, moment+eachHost*time.Duration(asking))
}

// next is when a host is told whose place in each turn is at, from 0 to 1.
func next(now time.Time, turn time.Duration, at float64) time.Time {
	wait := time.Duration(at*float64(turn)) - time.Duration(now.UnixNano()%int64(turn))
	if wait <= 0 {
		wait += turn
	}
	return now.Add(wait)
}

// place is a host's own place in each turn.
func place(id wire.HostID) float64 {
	h := fnv.New32a()
	h.Write([]byte(id))
	return float64(h.Sum32()) / (1 << 32)
}

// due tells whether the news are told now.
func (p *poll) due(a host.Assignment) bool {
	if a.Work != nil || a.System != nil || a.Peers != nil || a.PeersChange != nil && a.PeersChange.From == 0 || p.concerned(a.Names) {
		return true
	}
	if now := time.Now(); p.later == nil {
		p.at = next(now, turn(p.s.asking.Load()), place(p.id))
		p.later = time.After(p.at.Sub(now))
	}
	return !time.Now().Before(p.at)
}

// concerned tells whether a difference is of an environment that the host runs a container of.
func (p *poll) concerned(n *host.NamesChange) bool {
	if n == nil || p.of == nil {
		return false
	}
	for _, a := range n.Accounts {
		if a.From == 0 { // all of it, changed or not
			continue
		}
		for _, c := range p.of.Containers {
			if slices.Contains(a.Gone, c.Env) || slices.ContainsFunc(a.Zones, func(z host.Zone) bool { return z.Env == c.Env }) {
				return true
			}
		}
	}
	return false
}

// news is what there is to answer at v; nothing in it: the host has all.
func (p *poll) news(v *store.View) (a host.Assignment) {
	work := store.Works.Find(v, string(p.id))
	if work != nil && work.Revision != p.known.Work {
		opened, err := p.s.Secrets.Open(work)
		if err != nil {
			logging.Or(p.s.Log).Error("a host is told less than its containers shall have", logging.Host, string(p.id), logging.Err, err)
		}
		a.Work = opened
	}
	a.System = system(v, p.id, p.known.System)
	if p.protocol < differences {
		if rev, ok := published.Revision(v); ok && rev != p.known.Peers {
			a.Peers = p.s.peers.of(v)
		}
		return a
	}
	if work != p.of {
		p.of, p.accounts = work, accounts(work)
	}
	a.PeersChange, a.Names = p.s.book.News(v, p.known, p.accounts)
	return a
}

// system is what a host that has the System of that revision is to be told; nil: nothing.
func system(v *store.View, id wire.HostID, known wire.Revision) *host.System {
	rec := store.Systems.Find(v, string(id))
	switch {
	case known == host.NoSystem:
		return nil
	case rec == nil && known != 0: // the store was restored: what it says counts
		return &host.System{Version: host.SystemVersion}
	case rec == nil || rec.Revision == known:
		return nil
	}
	return &rec.System
}

// accounts are those whose names a host may be told: its own containers', the platform's aside.
func accounts(work *host.Work) (out []wire.Account) {
	if work == nil {
		return nil
	}
	for _, c := range work.Containers {
		if c.Env != env.System {
			out = append(out, c.Account.Owner())
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// newest is the revision of the Peers that a host of that protocol is told; 0: there are none yet.
func newest(v *store.View, protocol int) wire.Revision {
	if protocol < differences {
		rev, _ := published.Revision(v)
		return rev
	}
	if doc := store.PeersDoc.Find(v, store.Only); doc != nil {
		return doc.Revision
	}
	return 0
}

// peers puts together what hosts of protocol 1 are told of each other, once for each revision: thousands ask for the same.
type peers struct {
	mu struct {
		sync.Mutex
		doc *host.Peers
	}
}

// of is the document of a view that has one. It must not be changed.
func (p *peers) of(v *store.View) *host.Peers {
	rev, _ := published.Revision(v)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.doc != nil && p.mu.doc.Revision == rev {
		return p.mu.doc
	}
	doc, _ := published.Compose(v)
	if p.mu.doc == nil || doc.Revision > p.mu.doc.Revision {
		p.mu.doc = &doc
	}
	return &doc
}
