// Package link is the host's tie to its orchestrator: joining, certificates, the long polls and reports.
//
// Owns: the host's key and certificate in STATE/identity, the clock before TLS, and every connection to the host API.
// In: the host's configuration, Assignments, session requests, the orchestrator's time; reports made by the caller.
// Out: Assignments handed to agent/desired, sessions handed to the container runtime, its own Status.
// Never: decides what runs, stops anything because the orchestrator is away, or trusts a server that the pinned root did not sign for.
package link

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"hardnode.dev/agent/container/command"
	"hardnode.dev/agent/jemcall"
	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/keep"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/backup"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/install"
	"hardnode.dev/internal/wire/nodecall"
	"hardnode.dev/internal/wire/slots"
	"hardnode.dev/internal/wire/snapshot"
	"hardnode.dev/internal/wire/storage"
	"hardnode.dev/internal/wire/upkeep"
	"hardnode.dev/internal/wire/usage"
	"hardnode.dev/internal/wire/waiting"
)

// Options are what a Link needs. All are required unless said otherwise.
type Options struct {
	Dir      string // STATE/identity
	Config   func(context.Context) (boot.HostConfig, error)
	Store    Documents
	Report   func(context.Context) host.Report                                       // all but Seq and Sent
	Changed  <-chan struct{}                                                         // a hint that the next report says something new
	Runtime  Runtime                                                                 // carries out sessions
	HostLogs func(context.Context, host.HostLogsSpec, func(line []byte) error) error // reads the host's own logs; nil: not here
	Show     func(context.Context, upkeep.Show, io.Writer) error                     // writes a document of this host; nil: not here
	Leave    func(context.Context, upkeep.Leave) error                               // has init leave the machine; nil: not here
	Install  func(context.Context, install.Ask) (install.Status, error)              // nil: not here
	Slots    func(context.Context, slots.Ask) (slots.Status, error)                  // nil: not here
	Storage  func(context.Context, storage.Ask) (storage.Status, error)              // nil: not here
	Usage    func(context.Context, usage.Ask) (usage.Answer, error)                  // nil: not here
	// Node answers a question about a container; nil: not here
	Node func(ctx context.Context, id wire.CTID, a nodecall.Ask, stdio command.Stdio) error
	// Snapshots answers what is asked of a container's; nil: not here.
	Snapshots func(context.Context, wire.CTID, snapshot.Ask) (snapshot.Answer, error)
	// Backups serves a session for the backups of other hosts' nodes that this one keeps; nil: not here.
	Backups func(ctx context.Context, want backup.Keep, in io.Reader, out io.Writer) error
	// Vet says, with a Problem, why what this machine runs must not be heard of in its cluster; any other error: it is asked again. nil: it
	// may.
	Vet      func(context.Context) error
	Boot     string
	Version  string
	Underlay func(context.Context) netip.Addr
	Hardware host.Hardware
	Machine  func() waiting.Machine // what a host says of itself that waits to be admitted; nil: nothing
	Clock    Clock
	Dial     func(ctx context.Context, network, addr string) (net.Conn, error) // to the orchestrator; nil: as the machine does
	Spoken   host.Protocols                                                    // zero: host.Spoken
	Log      *slog.Logger                                                      // nil discards
}

// Documents are where Assignments are kept: agent/desired.
type Documents interface {
	Known() host.Known
	Accept(host.Assignment) error // durably
}

// Link is the tie. Its methods may be called at once.
type Link struct {
	o      Options
	log    *slog.Logger
	key    ed25519.PrivateKey
	holder identity.Holder
	doc    keep.Doc[record]
	client clientBox
	trust  identity.Trust
	notify chan struct{}
	open   sync.WaitGroup // sessions
	places chan struct{}  // one for each session at work
	jem    jemcall.Calls

	// Of the task that reports alone.
	absence  absence
	away     time.Time // when the first report failed since one was answered; zero: none did
	endpoint string    // that answered last

	mu struct {
		sync.Mutex
		status Status
		polls  map[string]context.CancelFunc // that are held now, by their name

		leaving *upkeep.Leave   // what ends this boot; nil: nothing does
		told    []chan struct{} // of those who wait for an answer to a report, the first of them first
	}
}

// record is the file credential.json: what enrolment gave.
type record struct {
	Host    wire.HostID    `json:"host"`
	Name    string         `json:"name"`
	Cluster wire.ClusterID `json:"cluster"`
	Chain   [][]byte       `json:"chain"`
	Code    string         `json:"code,omitempty"` // that the host showed; "" of version 0.1, and of hosts that joined at its orchestrator
}

// Status is how the link is.
type Status struct {
	Stage      boot.AgentStage
	Code       string // short code that people compare: of key and pin, once there is a pin
	Host       wire.HostID
	Name       string
	Cluster    wire.ClusterID
	Role       host.Role
	Linked     bool   // the last report was answered
	Link       string // one of the words below; why it is so is among the problems
	State      string // the host's state as the orchestrator last said
	Unlicensed string
	Peers      wire.Revision // the newest there was at the last report that was answered
	Problems   []host.Problem
}

// The words for the tie. Which endpoint answers is not among them: that may change with every report.
const (
	wordUnconfigured  = "no configuration yet"
	wordNotJoining    = "not joining" // before there is an identity: until a person changes the configuration
	wordJoining       = "joining"
	wordNotConnecting = "not connecting" // has an identity; until a person changes the configuration
	wordConnecting    = "connecting"
	wordConnected     = "connected"
	wordAway          = "away"
)

// New opens the host's identity, making its key on the first boot.
func New(o Options) (*Link, error) {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("open identity: %v", err)
	}
	key, err := identity.LoadKey(filepath.Join(o.Dir, "key"))
	if err != nil {
		return nil, err
	}
	l := &Link{o: o, log: logging.Or(o.Log), key: key, notify: make(chan struct{}, 1),
		doc: keep.Doc[record]{Path: filepath.Join(o.Dir, "credential.json"), Version: 1}}
	l.mu.polls, l.places = map[string]context.CancelFunc{}, make(chan struct{}, maxSessions)
	l.mu.status = Status{Stage: boot.StageUnconfigured, Code: identity.ShortCode(l.public()), Link: wordUnconfigured}
	rec, found, err := l.doc.Load()
	if err != nil {
		return nil, err
	}
	if found {
		cred, err := identity.NewCredential(key, rec.Chain)
		if err != nil {
			return nil, fmt.Errorf("read %q: %v", l.doc.Path, err)
		}
		l.adopt(rec, cred)
	}
	return l, nil
}

// Key is the host's identity key: it signs gossip cards.
func (l *Link) Key() ed25519.PrivateKey { return l.key }

// Holder is the host's certificate in force; it is empty until the host has joined.
func (l *Link) Holder() *identity.Holder { return &l.holder }

// Trust is what the configuration pins; it is empty until there is one.
func (l *Link) Trust() identity.Trust {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.trust
}

// Status is how the link is now.
func (l *Link) Status() Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.mu.status
	s.Problems = append([]host.Problem(nil), s.Problems...)
	return s
}

// Changed delivers a hint after the status changed; one reader.
func (l *Link) Changed() <-chan struct{} { return l.notify }

func (l *Link) update(f func(*Status)) {
	l.mu.Lock()
	f(&l.mu.status)
	l.mu.Unlock()
	select {
	case l.notify <- struct{}{}:
	default:
	}
}

func (l *Link) adopt(rec record, cred *identity.Credential) {
	l.holder.Set(cred)
	l.update(func(s *Status) {
		s.Stage, s.Host, s.Name, s.Cluster, s.Role = boot.StageJoined, rec.Host, rec.Name, rec.Cluster, cred.Peer().Role
		s.Code = l.shown(rec)
	})
}

// Run waits for the configuration, joins, and keeps the tie until ctx ends.
func (l *Link) Run(ctx context.Context) error {
	cfg, err := l.o.Config(ctx)
	if err != nil {
		return err
	}
	if !l.configure(ctx, cfg) {
		<-ctx.Done()
		return nil
	}
	if l.holder.Get() == nil {
		if !l.enroll(ctx, *cfg.Join) {
			return nil
		}
	}
	l.update(func(s *Status) { s.Link = wordConnecting })
	defer l.open.Wait() // nothing below opens one any more
	return run.Group(ctx, l.log, run.Task{Name: "renew", Run: l.renew}, run.Task{Name: "tie", Run: func(ctx context.Context) error {
		if !l.vetted(ctx) {
			return nil
		}
		return run.Group(ctx, l.log,
			run.Task{Name: "report", Run: l.report},
			run.Task{Name: "assignment", Run: l.assignment},
			run.Task{Name: "sessions", Run: l.sessions},
		)
	}})
}

// configure takes the join part over; false when it can't work until a person changes it.
func (l *Link) configure(ctx context.Context, cfg boot.HostConfig) bool {
	refuse := func(object, reason, next string) bool {
		l.update(func(s *Status) {
			s.Link = wordNotJoining
			if s.Stage == boot.StageJoined {
				s.Link = wordNotConnecting
			}
			s.Problems = []host.Problem{{Code: "invalid", Object: object, Reason: reason, Next: next}}
		})
		l.log.Error(l.Status().Link, logging.Reason, reason, "next", next)
		return false
	}
	l.update(func(s *Status) {
		s.Role = cfg.Role
		if s.Name == "" {
			s.Name = cfg.Name
		}
		if s.Stage == boot.StageUnconfigured {
			s.Stage = boot.StageJoining
		}
	})
	j := cfg.Join
	switch {
	case j == nil:
		return refuse("join", "the host configuration has no join section", "give the host a configuration made with `hnctl host config`")
	case len(j.Endpoints) == 0:
		return refuse("join.endpoints", "no orchestrator endpoint is configured", "name at least one host:port of the host API")
	case j.CAPin == "":
		return refuse("join.caPin", "no CA pin is configured, so no orchestrator can be trusted", "copy it from `hnctl cluster status`")
	}
	if c := l.holder.Get(); c != nil && j.Cluster != "" && c.Peer().Cluster != wire.ClusterID(j.Cluster) {
		return refuse("join.cluster",
			fmt.Sprintf("this host belongs to cluster %s, the configuration names %s", c.Peer().Cluster, j.Cluster),
			"restore the old configuration, or wipe the host's disk to join another cluster")
	}
	if l.holder.Get() == nil {
		l.update(func(s *Status) { s.Code = identity.Code(l.public(), j.CAPin) })
	}
	l.mu.Lock()
	l.trust = identity.Trust{Pin: j.CAPin, Cluster: wire.ClusterID(j.Cluster)}
	l.mu.Unlock()
	if l.client.spoken = l.o.Spoken; l.client.spoken == (host.Protocols{}) {
		l.client.spoken = host.Spoken
	}
	l.client.init(j.Endpoints, l.trust, &l.holder, l.o.Dial)
	l.o.Clock.Raise()
	return true
}
