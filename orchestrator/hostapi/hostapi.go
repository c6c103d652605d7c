// Package hostapi is the side of the orchestrator that hosts call: TCP 7444, mutual TLS 1.3, JSON.
//
// Owns: the long polls of assignments, sessions and routes, the taking in of reports, the route that sessions dial back to.
// In: calls of hosts and of the resolver, each known by its certificate.
// Out: that host's own Assignment, its sessions; metadata and parts of releases; the routes, to the resolver only; what netboot serves, to
// netboot only; hosts' records of use, to metering only.
// Never: answers a host about another one, decides anything, or keeps a host waiting beyond its long poll.
package hostapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/limit"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/hold"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/jls"
	"hardnode.dev/internal/wire/metering"
	"hardnode.dev/internal/wire/neighbour"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/upkeep"
	"hardnode.dev/internal/wire/waiting"
	"hardnode.dev/orchestrator/enroll"
	"hardnode.dev/orchestrator/holds"
	"hardnode.dev/orchestrator/live"
	"hardnode.dev/orchestrator/sealed"
	"hardnode.dev/orchestrator/session"
	"hardnode.dev/orchestrator/store"
	"hardnode.dev/orchestrator/told"
)

// The limits of one call.
const (
	maxReport = 4 << 20         // bytes
	maxSmall  = 64 << 10        // bytes of any other body
	strangers = 16              // enrolments and renewals at work: their callers are not known yet
	maxWait   = time.Minute     // of a long poll
	minWait   = 0 * time.Second // a host that asks with wait=0 wants an answer at once
	slowWrite = 30 * time.Second
)

// Server answers hosts.
type Server struct {
	Store  *store.Store
	Fleet  *live.Fleet
	Enroll *enroll.Desk
	Hub    *session.Hub
	Routes *Routes
	Holds  *holds.Book // is told what resolvers say; nil: nobody asks
	// Netboot is what the component netboot is told, Release opens a file of a release for it.
	Netboot interface {
		Document() (host.Netboot, bool)
		Report(host.NetbootReport)
	}
	Release func(wire.Digest) (*os.File, error)
	// Releases are those that were imported.
	Releases Releases
	// Unlicensed is why nothing new is placed on a host, "" if it is covered.
	Unlicensed func(wire.HostID) string
	// Accepted is told the seconds from sending a host its Work to its asking for what comes after: the way there and back, and the
	// host's fsync.
	Accepted interface{ Observe(seconds float64) }
	Log      *slog.Logger
	Errors   func(jls.ErrorReport) error // takes the errors of hosts in
	// Leaving is told what ends a host's boot, as the host says while it stops: it is waited for then. It is called again and again.
	Leaving func(ctx context.Context, id wire.HostID, boot string, order upkeep.Leave) error
	// Secrets opens the secret variables of what a host is told.
	Secrets sealed.Variables
	// Sums is the key of the sums of what hosts are told (told.Book).
	Sums []byte
	// Spoken are the protocols that hosts are answered in; the zero value: host.Spoken.
	Spoken host.Protocols

	peers peers
	book  told.Book
	sent  sync.Map // wire.HostID → sent
	doors chan struct{}
	held  held
	// reading are the answers with parts of releases that are under way.
	reading chan struct{}
	// composing are the polls whose answer is put together now.
	composing chan struct{}
	// asking is how many polls of assignments are held now.
	asking atomic.Int64
}

// Held is how many calls are held now: long polls and sessions of hosts.
func (s *Server) Held() float64 { return float64(s.held.count()) }

// Run ends the held calls of hosts that are removed, until ctx ends.
func (s *Server) Run(ctx context.Context) error { return s.held.follow(ctx, s.Store.View) }

// sent is Work that a host has not confirmed yet.
type sent struct {
	revision wire.Revision
	at       time.Time
}

// Handler is the host API. Paths that are not in it, and callers without a fitting certificate, get a Problem.
func (s *Server) Handler() http.Handler {
	s.doors = make(chan struct{}, strangers)
	s.reading = make(chan struct{}, readers)
	s.composing = make(chan struct{}, 2*runtime.GOMAXPROCS(0))
	s.book.Key = s.Sums
	s.book.Follow(s.Store.View())
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+host.PathEnroll, strange(s, s.enroll))
	mux.HandleFunc("POST "+waiting.Path, strange(s, s.waiting))
	mux.HandleFunc("POST "+host.PathRenew, strange(s, s.renew))
	mux.HandleFunc("POST "+host.PathComponent, s.hosts(s.component))
	mux.HandleFunc("GET "+host.PathAssigned, s.lasting(s.assigned))
	mux.HandleFunc("POST "+host.PathReport, s.hosts(s.report))
	mux.HandleFunc("POST "+host.PathErrors, s.hosts(s.errors))
	mux.HandleFunc("GET "+host.PathSessions, s.lasting(s.sessions))
	mux.HandleFunc("GET "+host.PathSession+"{id}", s.lasting(s.session))
	mux.HandleFunc("GET "+host.PathRoutes, s.routes)
	mux.HandleFunc("GET "+host.PathNetboot, s.netboot)
	mux.HandleFunc("PUT "+host.PathNetbootReport, s.netbootReport)
	mux.HandleFunc("GET "+host.PathNetbootFile+"{digest}", s.netbootFile)
	mux.HandleFunc("GET "+metering.PathHosts, s.meteredHosts)
	mux.HandleFunc("POST "+metering.PathHosts+"/{host}", s.meteredUsage)
	mux.HandleFunc("GET "+host.PathReleases+"{repository}/{name}", s.hosts(s.metadata))
	mux.HandleFunc("GET "+host.PathReleaseFiles+"{digest}", s.hosts(s.releaseFile))
	mux.HandleFunc("GET "+host.PathReleasePeers+"{digest}", s.hosts(s.releasePeers))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		operator.WriteProblem(w, operator.NewProblem(operator.NotFound, r.URL.Path, "the host API has no "+r.Method+" here",
			"compare the versions of host and orchestrator"))
	})
	return s.agreed(mux)
}

// protocolKey finds the protocol that was agreed on in a request's context.
type protocolKey struct{}

// protocol is the one that a request is answered in.
func protocol(r *http.Request) int {
	n, _ := r.Context().Value(protocolKey{}).(int)
	return n
}

// agreed lets in callers that speak a protocol of this orchestrator; the answer names it.
func (s *Server) agreed(next http.Handler) http.Handler {
	ours := s.Spoken
	if ours == (host.Protocols{}) {
		ours = host.Spoken
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		theirs, err := host.ParseProtocols(r.Header.Get(host.ProtocolHeader))
		if err != nil {
			operator.WriteProblem(w, operator.NewProblem(operator.Invalid, host.ProtocolHeader, err.Error(),
				"compare the versions of host and orchestrator"))
			return
		}
		protocol, ok := ours.Agree(theirs)
		if !ok {
			w.Header().Set(host.ProtocolHeader, ours.String())
			first := "orchestrator"
			if theirs.Newest < ours.Oldest {
				first = "host"
			}
			operator.WriteProblem(w, operator.NewProblem(operator.Conflict, host.ProtocolHeader,
				fmt.Sprintf("the host speaks protocol %s of the host API, this orchestrator %s", theirs, ours),
				"update the "+first+"; versions next to each other can be mixed, others can't"))
			return
		}
		w.Header().Set(host.ProtocolHeader, strconv.Itoa(protocol))
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), protocolKey{}, protocol)))
	})
}

func answer(w http.ResponseWriter, v any) {
	raw, err := json.Marshal(v)
	if err != nil {
		operator.WriteProblem(w, err)
		return
	}
	send(w, raw)
}

// send answers with a document that is encoded already.
func send(w http.ResponseWriter, raw []byte) {
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(slowWrite))
	w.Header().Set("Content-Type", "application/json")
	w.Write(raw)
}

// read decodes a body of at most limit bytes, of this version or a neighbouring one.
func read(w http.ResponseWriter, r *http.Request, limit int64, into any) error {
	if err := neighbour.Read(http.MaxBytesReader(w, r.Body, limit), limit, into); err != nil {
		return operator.NewProblem(operator.Invalid, "body", err.Error(), "compare the versions of host and orchestrator")
	}
	return nil
}

// hosts lets only enrolled hosts in, known by the certificate they came with and the key they enrolled with.
func (s *Server) hosts(f func(http.ResponseWriter, *http.Request, store.Host)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		p, ok := identity.ClientOf(r.TLS, time.Now())
		if !ok || !p.IsHost() {
			operator.WriteProblem(w, operator.NewProblem(operator.Denied, r.URL.Path, "this needs the certificate of a host",
				"join the cluster first"))
			return
		}
		h, err := s.Enroll.Known(p)
		if err != nil {
			operator.WriteProblem(w, err)
			return
		}
		f(w, r, h)
	}
}

// enter takes a place for a caller who is not known yet, once its body is here; false when there is none, and then it was told so.
func (s *Server) enter(w http.ResponseWriter, r *http.Request) bool {
	select {
	case s.doors <- struct{}{}:
		return true
	default:
		w.Header().Set("Retry-After", "1")
		operator.WriteProblem(w, operator.NewProblem(operator.Unavailable, r.URL.Path, fmt.Sprintf("%d hosts join or renew at this moment",
			strangers), "try again in a moment"))
		return false
	}
}

func (s *Server) leave() { <-s.doors }

// lasting is hosts for calls that are held: they end when the host is removed, which is the last it hears.
func (s *Server) lasting(f func(http.ResponseWriter, *http.Request, store.Host)) http.HandlerFunc {
	return s.hosts(func(w http.ResponseWriter, r *http.Request, h store.Host) {
		ctx, end := s.held.hold(r.Context(), h, s.Store.View)
		defer end()
		f(w, r.WithContext(ctx), h)
	})
}

// nothing answers a held call that ended without news: because its time is over, or with the reason why it must end.
func nothing(w http.ResponseWriter, ctx context.Context) {
	var p *operator.Problem
	if errors.As(context.Cause(ctx), &p) {
		operator.WriteProblem(w, p)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// strange answers callers who are not known yet: what they ask is read before it takes a place.
func strange[I, O any](s *Server, f func(r *http.Request, req I) (O, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var req I
		if err := read(w, r, maxSmall, &req); err != nil {
			operator.WriteProblem(w, err)
			return
		}
		if !s.enter(w, r) {
			return
		}
		defer s.leave()
		reply, err := f(r, req)
		if err != nil {
			operator.WriteProblem(w, err)
			return
		}
		answer(w, reply)
	}
}

func (s *Server) enroll(r *http.Request, req host.EnrollRequest) (host.EnrollReply, error) {
	reply, err := s.Enroll.Enroll(r.Context(), req)
	if err != nil {
		logging.Or(s.Log).Warn("a host was refused", logging.Addr, r.RemoteAddr, logging.Reason, err)
	}
	return reply, err
}

func (s *Server) waiting(r *http.Request, req waiting.Request) (waiting.Reply, error) {
	return s.Enroll.Wait(r.Context(), req, limit.Addr(r.RemoteAddr))
}

func (s *Server) renew(r *http.Request, req host.RenewRequest) (host.RenewReply, error) {
	p, ok := identity.ClientOf(r.TLS, time.Now())
	return s.Enroll.Renew(req, p, ok)
}

func (s *Server) component(w http.ResponseWriter, r *http.Request, h store.Host) {
	var req host.ComponentRequest
	if err := read(w, r, maxSmall, &req); err != nil {
		operator.WriteProblem(w, err)
		return
	}
	reply, err := s.Enroll.Component(req, h)
	if err != nil {
		operator.WriteProblem(w, err)
		return
	}
	answer(w, reply)
}

// errors takes a host's errors in. Whose they are its certificate says.
func (s *Server) errors(w http.ResponseWriter, r *http.Request, h store.Host) {
	var rep jls.ErrorReport
	err := read(w, r, maxReport, &rep)
	if err == nil {
		if wrong := rep.Validate(); wrong != nil {
			err = operator.NewProblem(operator.Invalid, "body", wrong.Error(), "compare the versions of host and orchestrator")
		}
	}
	for i := range rep.Errors {
		rep.Errors[i].Host = h.ID
	}
	if err == nil {
		err = s.Errors(rep)
	}
	if err != nil {
		operator.WriteProblem(w, err)
		return
	}
	answer(w, jls.ErrorsReply{Now: time.Now().UTC()})
}

// wait is how long a long poll may last.
func wait(r *http.Request) time.Duration {
	d, err := time.ParseDuration(r.URL.Query().Get("wait"))
	if err != nil {
		return minWait
	}
	return max(minWait, min(maxWait, d))
}

func number(r *http.Request, key string) (wire.Revision, error) {
	s := r.URL.Query().Get(key)
	if s == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 {
		return 0, operator.NewProblem(operator.Invalid, key, fmt.Sprintf("%q is no revision", s), "send a number from 0 up")
	}
	return wire.Revision(n), nil
}

func (s *Server) report(w http.ResponseWriter, r *http.Request, h store.Host) {
	var rep host.Report
	if err := read(w, r, maxReport, &rep); err != nil {
		operator.WriteProblem(w, err)
		return
	}
	now := time.Now()
	if rep.Unchanged != "" {
		if state, ok := s.Fleet.Complete(h.ID, &rep); !ok { // it began, or ended, with another orchestrator process
			answer(w, host.ReportReply{Now: now.UTC(), State: string(state.State), Unlicensed: s.Unlicensed(h.ID)})
			return
		}
	} else if rep.Containers == nil {
		operator.WriteProblem(w, operator.NewProblem(operator.Invalid, "body", `field "containers" is missing`,
			"compare the versions of host and orchestrator"))
		return
	}
	if rep.Digest.Validate() != nil {
		rep.Digest = ""
	}
	state, err := s.Fleet.Report(live.Member{ID: h.ID, Name: h.Name, Joined: h.Joined, From: limit.Addr(r.RemoteAddr)}, &rep, now)
	if err != nil {
		operator.WriteProblem(w, operator.NewProblem(operator.Conflict, "report", err.Error(), "send reports one after the other"))
		return
	}
	if rep.Leaving != nil {
		if err := s.Leaving(r.Context(), h.ID, rep.Boot, *rep.Leaving); err != nil {
			logging.Or(s.Log).Warn("it is not noted that a host leaves its machine", logging.Host, h.Name, logging.Err, err)
		}
	}
	answer(w, host.ReportReply{Now: now.UTC(), State: string(state.State), Unlicensed: s.Unlicensed(h.ID),
		Peers: newest(s.Store.View(), protocol(r)), Kept: rep.Digest, Every: s.Fleet.Clocks().Renew.Milliseconds()})
}

func (s *Server) sessions(w http.ResponseWriter, r *http.Request, h store.Host) {
	ctx, cancel := context.WithTimeout(r.Context(), wait(r))
	defer cancel()
	req, ok := s.Hub.Next(ctx, h.ID)
	if !ok {
		nothing(w, ctx)
		return
	}
	answer(w, req)
}

func (s *Server) session(w http.ResponseWriter, r *http.Request, h store.Host) {
	ses := s.Hub.Find(r.PathValue("id"), h.ID)
	if ses == nil {
		operator.WriteProblem(w, operator.NewProblem(operator.NotFound, "session", "nobody waits for this session any more", ""))
		return
	}
	c, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{host.SessionProtocol},
		CompressionMode: websocket.CompressionDisabled})
	if err != nil {
		logging.Or(s.Log).Info("a session's dial-back failed", logging.Host, h.Name, logging.Err, err)
		return
	}
	defer c.CloseNow()
	ses.Hand(r.Context(), c) // when the host is removed its connection is closed, and that ends the session
}

func (s *Server) routes(w http.ResponseWriter, r *http.Request) {
	p, ok := identity.ClientOf(r.TLS, time.Now())
	if !ok || p.Component != "resolver" {
		operator.WriteProblem(w, operator.NewProblem(operator.Denied, r.URL.Path, "this needs the certificate of the resolver", ""))
		return
	}
	rev, err := number(r, "rev")
	if err != nil {
		operator.WriteProblem(w, err)
		return
	}
	held, bad := hold.Parse(r.URL.Query().Get(hold.Query))
	if bad != nil {
		operator.WriteProblem(w, operator.NewProblem(operator.Invalid, r.URL.Path, bad.Error(), ""))
		return
	}
	s.Holds.Say(p.CTID, held, time.Now())
	has := rev
	if r.URL.Query().Get(host.RoutesDeaf) == "1" {
		has = 0
	}
	s.Routes.heard(fmt.Sprintf("%s of %s", p.CTID, p.Host), has, time.Now())
	ctx, cancel := context.WithTimeout(r.Context(), wait(r))
	defer cancel()
	for {
		raw, over, err := s.Routes.news(rev, r.URL.Query().Get(host.RoutesChanges) == "1")
		if err != nil {
			operator.WriteProblem(w, err)
			return
		}
		if raw != nil {
			send(w, raw)
			return
		}
		select {
		case <-over:
		case <-ctx.Done():
			w.WriteHeader(http.StatusNoContent)
			return
		}
	}
}
