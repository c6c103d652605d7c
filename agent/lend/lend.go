// Package lend gives other hosts of the cluster blocks of the systems in this host's slots, and takes theirs.
//
// Owns: TCP host.PeerPort, mutual TLS 1.3; how much a host gives at a time.
// In: the slots; whom the orchestrator names as having a system.
// Out: ranges of a system that is known by its digest.
// Never: answers anybody but a host of this cluster, reads anything but a slot, or believes what another host gives (agent/system compares
// every block with the index that both repositories have signed).
package lend

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/run/listen"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/slots"
)

// What a host gives: to so many at a time, and at most so many bytes a second in all: its containers come first.
const (
	takers = 2
	rate   = 32 << 20
)

// Lender answers other hosts. New makes one.
type Lender struct {
	o       Options
	serving chan struct{}
	paced   chan time.Time // holds when the next answer may begin
}

// Options are what a Lender needs.
type Options struct {
	Status func() slots.Status
	Read   func(slots.Name, func(io.Reader) error) error // the system in a slot, which nobody writes to meanwhile
	Trust  func() identity.Trust                         // Pin "": this host has no configuration yet
	Holder *identity.Holder
	Self   func() wire.HostID
	Peers  func() *host.Peers                                     // where the others are; nil: not known yet
	Get    func(ctx context.Context, path string) ([]byte, error) // of the orchestrator
	Port   uint16                                                 // host.PeerPort
	Log    *slog.Logger                                           // nil discards
}

// New makes one.
func New(o Options) *Lender {
	o.Log = logging.Or(o.Log)
	l := &Lender{o: o, serving: make(chan struct{}, takers), paced: make(chan time.Time, 1)}
	l.paced <- time.Time{}
	return l
}

// Run serves until ctx ends, on a host that has slots and has joined.
func (l *Lender) Run(ctx context.Context) error {
	for !l.o.Status().Installed || l.o.Trust().Pin == "" || l.o.Holder.Get() == nil {
		if !run.Wait(ctx, 5*time.Second) {
			return nil
		}
	}
	run.Keep(ctx, time.Second, time.Minute, func(ctx context.Context) {
		if err := l.serve(ctx); err != nil && ctx.Err() == nil {
			l.o.Log.Warn("other hosts can't take systems from this one", logging.Err, err)
		}
	})
	return nil
}

func (l *Lender) serve(ctx context.Context) error {
	at, err := net.Listen("tcp", net.JoinHostPort("", strconv.Itoa(int(l.o.Port))))
	if err != nil {
		return err
	}
	return listen.HTTP(at, identity.ServerTLS(l.o.Trust(), aHost, l.o.Holder), l.Handler(),
		listen.Limits{Connections: 32, PerClient: 4, Answer: 30 * time.Second}, l.o.Log)(ctx)
}

// aHost wants the certificate of a host.
func aHost(p identity.Peer) error {
	if !p.IsHost() {
		return fmt.Errorf("want a host, the other side is %s", p)
	}
	return nil
}

// Handler is what is served.
func (l *Lender) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+host.PathPeerSystem+"{digest}", l.system)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p, ok := identity.ClientOf(r.TLS, time.Now()); !ok || !p.IsHost() {
			operator.WriteProblem(w, operator.NewProblem(operator.Denied, r.URL.Path, "this needs the certificate of a host of the cluster",
				"join it first"))
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// system gives a range of a system in a slot.
func (l *Lender) system(w http.ResponseWriter, r *http.Request) {
	refuse := func(code operator.Code, reason string) {
		operator.WriteProblem(w, operator.NewProblem(code, r.URL.Path, reason, "ask the orchestrator for it"))
	}
	digest := wire.Digest(r.PathValue("digest"))
	offset, err := strconv.ParseInt(r.URL.Query().Get("offset"), 10, 64)
	length, err2 := strconv.Atoi(r.URL.Query().Get("length"))
	if digest.Validate() != nil || err != nil || err2 != nil || offset < 0 || length < 1 || length > host.MaxRange {
		refuse(operator.Invalid, fmt.Sprintf("want a digest, an offset and a length of 1 to %d", host.MaxRange))
		return
	}
	select {
	case l.serving <- struct{}{}:
		defer func() { <-l.serving }()
	default:
		refuse(operator.Unavailable, fmt.Sprintf("%d hosts take from this one at this moment", takers))
		return
	}
	if !l.pace(r.Context(), length) {
		return
	}
	slot, ok := holding(l.o.Status(), digest)
	if !ok {
		refuse(operator.NotFound, "no slot of this host holds that system")
		return
	}
	var raw []byte
	err = l.o.Read(slot, func(f io.Reader) error {
		at, ok := f.(io.ReaderAt)
		if !ok {
			return fmt.Errorf("BUG: a slot's system is no file")
		}
		raw = make([]byte, length)
		n, err := at.ReadAt(raw, offset)
		if raw = raw[:n]; err == io.EOF {
			err = nil
		}
		return err
	})
	if err != nil {
		refuse(operator.Unavailable, err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.Itoa(len(raw)))
	w.Write(raw) // the only error is a caller that has gone
}

// pace waits until so many bytes more fit the rate.
func (l *Lender) pace(ctx context.Context, length int) bool {
	at := <-l.paced
	now := time.Now()
	if at.Before(now) {
		at = now
	}
	l.paced <- at.Add(time.Duration(length) * time.Second / rate)
	return run.Wait(ctx, time.Until(at))
}

// holding is the slot with the system of a digest, as it was read back when it was written.
func holding(s slots.Status, d wire.Digest) (slots.Name, bool) {
	for _, x := range s.Slots {
		if (x.Name == slots.A || x.Name == slots.B) && x.State != slots.Empty && x.SHA256 != "" && x.SHA256 == d.Hex() {
			return x.Name, true
		}
	}
	return "", false
}

// Range gives bytes of the system that was asked for.
type Range = func(ctx context.Context, offset int64, length int) ([]byte, error)

// named is how long the orchestrator may take to name hosts that have a system.
const named = 10 * time.Second

// Of are hosts that have a system, by name, and how it is read from each. There are none where the orchestrator names none.
func (l *Lender) Of(ctx context.Context, d wire.Digest) (names []string, from []Range) {
	ctx, cancel := context.WithTimeout(ctx, named)
	defer cancel()
	raw, err := l.o.Get(ctx, host.PathReleasePeers+string(d))
	if err != nil {
		return nil, nil // an orchestrator of before this was known, or one that is away: the fetch itself says so
	}
	list, err := decode(raw)
	if err != nil {
		return nil, nil
	}
	peers := l.o.Peers()
	if peers == nil {
		return nil, nil
	}
	for _, p := range peers.Hosts {
		if slices.Contains(list.Hosts, p.ID) && p.ID != l.o.Self() && p.Underlay.IsValid() {
			names, from = append(names, p.Name), append(from, l.taker(p.ID, netip.AddrPortFrom(p.Underlay, l.o.Port), d))
		}
	}
	return names, from
}
