// Package hosttest is a host that speaks the real host API and runs nothing.
//
// Owns: joining, the long polls, reports and sessions of a host whose containers exist in memory only.
// In: the address of a host API, the CA pin, a join token; how its containers shall behave.
// Out: reports of containers that start at once (or as told); echoing sessions.
// Never: ships, or opens a listening socket.
package hosttest

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/move"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/smart"
	"hardnode.dev/internal/wire/snapshot"
	"hardnode.dev/internal/wire/upkeep"
	"hardnode.dev/internal/wire/volume"
	"hardnode.dev/internal/wire/waiting"
)

// Options describe a host.
type Options struct {
	Addr     string // host:port of the host API
	Pin      string // of the root CA
	Token    secret.Text
	Memory   int64 // bytes; 0 is 4 GiB
	Underlay netip.Addr
	Every    time.Duration  // between reports; 0 is a second
	Spoken   host.Protocols // zero: host.Spoken
}

// Host is an enrolled host.
type Host struct {
	Options
	ID     wire.HostID
	Name   string
	Key    ed25519.PrivateKey
	holder identity.Holder
	client *http.Client

	mu struct {
		sync.Mutex
		work    host.Work
		kept    *host.Kept // nil before the first
		system  *host.System
		booted  string // the order to switch that it was booted for last
		bytes   int64  // of the assignments it was sent
		failed  error
		onPeers func(host.Peers)
		seq     int64
		boot    string
		state   map[wire.CTID]host.ContainerState // overrides
		reason  map[wire.CTID]string
		started map[wire.CTID]time.Time
		stuck   wire.CTID // removed from its work, and can't end; 0 is none
		applied wire.Revision
		idle    bool // nothing runs
		mute    bool // it reports nothing
		views   []host.GossipView
		last    host.ReportReply
		hint    chan struct{}
		refuses string                         // what it says when it is ordered to leave; "": it does
		snaps   map[string][]snapshot.Snapshot // by container
		left    []upkeep.Leave
		leaving *upkeep.Leave // what it says ends its boot
		moves   func(move.Part) *move.State
	}
}

func (o Options) trust() identity.Trust { return identity.Trust{Pin: o.Pin} }

// Join enrolls a new host.
func Join(ctx context.Context, o Options) (*Host, error) {
	key, err := identity.NewKey()
	if err != nil {
		return nil, err
	}
	return JoinWithKey(ctx, o, key)
}

// JoinWithKey enrolls with a key that exists.
func JoinWithKey(ctx context.Context, o Options, key ed25519.PrivateKey) (*Host, error) {
	h := blank(o, key)
	csr, err := identity.CSR(key)
	if err != nil {
		return nil, err
	}
	var reply host.EnrollReply
	req := host.EnrollRequest{Token: o.Token, CSR: csr, Code: identity.ShortCode(key.Public().(ed25519.PublicKey)), Boot: h.mu.boot,
		Version: "test", Underlay: o.Underlay}
	if err := h.Call(ctx, http.MethodPost, host.PathEnroll, req, &reply); err != nil {
		return nil, err
	}
	return h, h.adopt(reply)
}

// adopt takes over an identity.
func (h *Host) adopt(reply host.EnrollReply) error {
	c, err := identity.NewCredential(h.Key, reply.Chain)
	if err != nil {
		return err
	}
	h.holder.Set(c)
	h.client.CloseIdleConnections() // they carry no certificate
	h.ID, h.Name = reply.Host, reply.Name
	return nil
}

// Wait asks once, as a machine without a token. The host is nil until it was admitted.
func Wait(ctx context.Context, o Options, key ed25519.PrivateKey, m waiting.Machine) (waiting.Reply, *Host, error) {
	h := blank(o, key)
	csr, err := identity.CSR(key)
	if err != nil {
		return waiting.Reply{}, nil, err
	}
	var reply waiting.Reply
	if err := h.Call(ctx, http.MethodPost, waiting.Path, waiting.Request{CSR: csr, Version: "test", Machine: m}, &reply); err != nil {
		return reply, nil, err
	}
	if reply.Enrolled == nil {
		return reply, nil, nil
	}
	return reply, h, h.adopt(*reply.Enrolled)
}

// blank is a host that has a key and has not joined.
func blank(o Options, key ed25519.PrivateKey) *Host {
	h := &Host{Options: o, Key: key}
	h.client = &http.Client{Transport: &http.Transport{TLSClientConfig: identity.ClientTLS(o.trust(),
		identity.WantComponent("orchestrator"), &h.holder), ForceAttemptHTTP2: true}}
	h.mu.state, h.mu.reason, h.mu.started, h.mu.hint = map[wire.CTID]host.ContainerState{}, map[wire.CTID]string{},
		map[wire.CTID]time.Time{}, make(chan struct{}, 1)
	h.mu.boot = "boot-1"
	return h
}

// Call sends one request; a refusal is a *operator.Problem. 204 leaves into as it is.
func (h *Host) Call(ctx context.Context, method, path string, in, into any) error {
	var body io.Reader
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, "https://"+h.Addr+path, body)
	if err != nil {
		return err
	}
	spoken := h.Spoken
	if spoken == (host.Protocols{}) {
		spoken = host.Spoken
	}
	req.Header.Set(host.ProtocolHeader, spoken.String())
	resp, err := h.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusNoContent:
		return nil
	case resp.StatusCode >= 300:
		p := &operator.Problem{}
		if err := json.NewDecoder(resp.Body).Decode(p); err != nil {
			return fmt.Errorf("%s %s: %s", method, path, resp.Status)
		}
		return p
	}
	return json.NewDecoder(resp.Body).Decode(into)
}

// Run polls and reports until ctx ends; when it returns, the host is as if its power had been cut.
func (h *Host) Run(ctx context.Context) error {
	defer h.client.CloseIdleConnections()
	return run.Group(ctx, nil,
		run.Task{Name: "assignment", Run: h.follow},
		run.Task{Name: "reports", Run: h.reports},
		run.Task{Name: "sessions", Run: h.sessions},
	)
}

func (h *Host) follow(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	for ctx.Err() == nil {
		var raw json.RawMessage
		if err := h.Call(ctx, http.MethodGet, Asks(h.Known(), 20*time.Second), nil, &raw); err != nil {
			run.Wait(ctx, 50*time.Millisecond)
			continue
		}
		if raw != nil {
			if r := h.take(raw); r != nil {
				wg.Go(func() { h.session(ctx, *r) })
			}
		}
		h.Hint()
	}
	return nil
}

// Known is what it has.
func (h *Host) Known() host.Known {
	h.mu.Lock()
	defer h.mu.Unlock()
	known := h.mu.kept.Known()
	known.Work = h.mu.work.Revision
	if h.mu.system != nil {
		known.System = h.mu.system.Revision
	}
	return known
}

// Asks is the path and query of a poll of who has that, which may be held so long.
func Asks(known host.Known, wait time.Duration) string {
	return fmt.Sprintf("%s?%s&wait=%s", host.PathAssigned, known.Query(), wait)
}

// take takes an assignment in, and is the session it asks for. What does not fit what it has makes it ask for all.
func (h *Host) take(raw []byte) *host.SessionRequest {
	a, err := host.DecodeAssignment(bytes.NewReader(raw))
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mu.bytes += int64(len(raw))
	if err == nil {
		h.mu.kept, err = h.mu.kept.Take(a)
	}
	if err != nil {
		h.mu.kept, h.mu.failed = nil, err
		return nil
	}
	if h.mu.onPeers != nil && h.mu.kept != nil {
		h.mu.onPeers(h.mu.kept.Peers)
	}
	if a.Work != nil {
		h.mu.work = *a.Work
	}
	if a.System != nil {
		h.mu.system = a.System
	}
	return a.Session
}

// OnPeers has f told of the Peers, names among them, after each assignment.
func (h *Host) OnPeers(f func(host.Peers)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mu.onPeers = f
}

// Told is how many bytes of assignments it was sent, and why one of them did not fit, if one did not.
func (h *Host) Told() (bytes int64, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.mu.bytes, h.mu.failed
}

// Hint makes the host report now.
func (h *Host) Hint() {
	select {
	case h.mu.hint <- struct{}{}:
	default:
	}
}

func (h *Host) reports(ctx context.Context) error {
	every := h.Every
	if every == 0 {
		every = host.ReportEvery
	}
	for ctx.Err() == nil {
		h.mu.Lock()
		mute := h.mu.mute
		h.mu.Unlock()
		var reply host.ReportReply
		if mute {
			// nothing is said
		} else if err := h.Call(ctx, http.MethodPost, host.PathReport, h.Report(), &reply); err == nil {
			h.mu.Lock()
			h.mu.last = reply
			h.mu.Unlock()
		}
		t := time.NewTimer(every)
		select {
		case <-ctx.Done():
		case <-h.mu.hint:
		case <-t.C:
		}
		t.Stop()
	}
	return nil
}

// Report is what the host says now.
func (h *Host) Report() host.Report {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mu.seq++
	memory := h.Memory
	if memory == 0 {
		memory = 4 << 30
	}
	if s := h.mu.system; s.Wanted() && s.Step == host.Switch && h.mu.booted != s.Order {
		h.mu.booted, h.mu.boot = s.Order, "boot-"+s.Order
		clear(h.mu.started)
	}
	r := host.Report{
		Boot:       h.mu.boot,
		Seq:        h.mu.seq,
		Sent:       time.Now().UTC(),
		Version:    "test",
		Underlay:   h.Underlay,
		Moves:      true,
		MeshKey:    "key-" + h.mu.boot,
		Capacity:   host.Capacity{MemoryBytes: memory, CPUs: 1, MHz: 2400, DiskBytes: 20 << 30},
		Load:       host.Load{MemoryUsed: memory / 8, UptimeSec: h.mu.seq, Load1: 0.1},
		Work:       h.mu.work.Revision,
		Seen:       h.mu.work.Revision,
		Planned:    h.mu.work.Revision,
		Peers:      h.peers().Revision,
		Gossip:     h.mu.views,
		Containers: []host.ContainerStatus{},
		System:     systemOf(h.mu.system),
		Leaving:    h.mu.leaving,
		Disks:      []smart.Health{{Path: "/dev/vda", State: smart.Unknown, Reason: "no health information"}},
	}
	gone := h.mu.stuck != 0
	if k := h.peers().Gossip; len(k.Use) > 0 {
		r.Keys.Use = host.GossipKeyID(k.Use)
		for _, a := range k.Accept {
			r.Keys.Accept = append(r.Keys.Accept, host.GossipKeyID(a))
		}
	}
	for _, c := range h.mu.work.Containers {
		if c.Remove {
			continue // it is gone at once
		}
		gone = gone && c.CTID != h.mu.stuck
		s := host.ContainerStatus{CTID: c.CTID, Generation: c.Generation, Boot: c.Boot, State: host.CtRunning, MemoryBytes: 20 << 20}
		if c.Component != "" {
			s.Image = c.Image.Digest
		}
		for _, v := range c.Volumes {
			s.Volumes = append(s.Volumes, volume.Use{Name: v.Name, Bytes: 5 << 20, Limit: v.Bytes})
		}
		if !c.Run {
			s.State = host.CtStopped
		}
		if o, ok := h.mu.state[c.CTID]; ok {
			s.State, s.Reason = o, h.mu.reason[c.CTID]
		} else if o, ok := h.mu.state[0]; ok && c.Component == "" {
			s.State, s.Reason = o, h.mu.reason[0]
		}
		h.moving(c, &s)
		if h.mu.started[c.CTID].IsZero() {
			h.mu.started[c.CTID] = time.Now().UTC()
		}
		if s.Started = h.mu.started[c.CTID]; h.mu.idle {
			s.Started = time.Time{}
		}
		r.Containers = append(r.Containers, s)
	}
	if gone { // as long as it is there, this work is never fully applied
		r.Work = h.mu.applied
		r.Containers = append(r.Containers,
			host.ContainerStatus{CTID: h.mu.stuck, State: host.CtStopping, Reason: "being removed: it does not end"})
	}
	h.mu.applied = r.Work
	return r
}

// Idle makes all containers report that no process runs in them.
func (h *Host) Idle(idle bool) {
	h.mu.Lock()
	h.mu.idle = idle
	h.mu.Unlock()
	h.Hint()
}

// Leave makes the host say that it is leaving its machine; nil: it is in its next boot.
func (h *Host) Leave(order *upkeep.Leave) {
	h.mu.Lock()
	if h.mu.leaving = order; order == nil {
		h.mu.boot += "+"
	}
	h.mu.Unlock()
	h.Hint()
}

// Mute makes the host report nothing, though all else of it goes on.
func (h *Host) Mute(mute bool) {
	h.mu.Lock()
	h.mu.mute = mute
	h.mu.Unlock()
	h.Hint()
}

// Stick makes a container stay when its work has it no more; 0 lets it go.
func (h *Host) Stick(id wire.CTID) {
	h.mu.Lock()
	h.mu.stuck = id
	h.mu.Unlock()
	h.Hint()
}

// Force makes a container report a state whatever its Work says; container 0 is all that are no components. An empty state ends it.
func (h *Host) Force(id wire.CTID, s host.ContainerState, reason string) {
	h.mu.Lock()
	if s == "" {
		delete(h.mu.state, id)
	} else {
		h.mu.state[id], h.mu.reason[id] = s, reason
	}
	h.mu.Unlock()
	h.Hint()
}

// See sets what the host's gossip says of others.
func (h *Host) See(views ...host.GossipView) {
	h.mu.Lock()
	h.mu.views = views
	h.mu.Unlock()
	h.Hint()
}

// Work, Peers and Last are what the orchestrator told it last.
func (h *Host) Work() host.Work { h.mu.Lock(); defer h.mu.Unlock(); return h.mu.work }

// Peers is the newest Peers document.
func (h *Host) Peers() host.Peers { h.mu.Lock(); defer h.mu.Unlock(); return h.peers() }

func (h *Host) peers() (p host.Peers) {
	if h.mu.kept != nil {
		p = h.mu.kept.Peers
	}
	return p
}

// Last is the answer to the last report.
func (h *Host) Last() host.ReportReply { h.mu.Lock(); defer h.mu.Unlock(); return h.mu.last }

// Holder is the host's credential.
func (h *Host) Holder() *identity.Holder { return &h.holder }

// sessions asks for sessions as hosts did before they came with assignments.
func (h *Host) sessions(ctx context.Context) error {
	if h.Spoken.Newest == 0 || h.Spoken.Newest >= host.ProtocolSessions {
		return nil
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	for ctx.Err() == nil {
		var r host.SessionRequest
		if err := h.Call(ctx, http.MethodGet, host.PathSessions+"?wait=20s", nil, &r); err != nil {
			run.Wait(ctx, 50*time.Millisecond)
			continue
		}
		if r.ID != "" {
			wg.Go(func() { h.session(ctx, r) })
		}
	}
	return nil
}

// session dials back: exec prints its command and echoes stdin, logs prints three lines, jem prints its arguments.
func (h *Host) session(ctx context.Context, r host.SessionRequest) {
	conf := identity.ClientTLS(h.trust(), identity.WantComponent("orchestrator"), &h.holder)
	c, _, err := websocket.Dial(ctx, "wss://"+h.Addr+host.PathSession+r.ID,
		&websocket.DialOptions{HTTPClient: &http.Client{Transport: &http.Transport{TLSClientConfig: conf,
			TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{}}}})
	if err != nil {
		return
	}
	defer c.CloseNow()
	c.SetReadLimit(host.MaxFrame + 1)
	say := func(ch host.Channel, p string) { c.Write(ctx, websocket.MessageBinary, host.Frame(ch, []byte(p))) }
	switch {
	case r.Exec != nil:
		say(host.ChanStdout, strings.Join(r.Exec.Argv, " ")+"\n")
		if r.Exec.User != "" {
			say(host.ChanStdout, "as "+r.Exec.User+"\n")
		}
		for r.Exec.Argv[0] == "cat" {
			_, msg, err := c.Read(ctx)
			if err != nil {
				return
			}
			ch, p, err := host.ParseFrame(msg)
			if err != nil || ch == host.ChanStdin && len(p) == 0 {
				break
			}
			say(host.ChanStdout, string(p))
		}
	case r.Logs != nil:
		for _, l := range []string{"one\n", "two\n", "three\n"} {
			say(host.ChanStdout, l)
		}
	case r.HostLogs != nil:
		say(host.ChanStdout, fmt.Sprintf("log of %s, tail %d\n", r.HostLogs.Unit, r.HostLogs.Tail))
	case r.Backups != nil:
		say(host.ChanStdout, fmt.Sprintf("backups, change %t\n", r.Backups.Change))
	case r.Show != "":
		say(host.ChanStdout, "document "+string(r.Show)+"\n")
	case r.Node != nil:
		raw, err := json.Marshal(r.Node)
		if err != nil {
			panic("BUG: a question does not encode: " + err.Error())
		}
		say(host.ChanStdout, string(raw)+"\n")
	case r.JEM != nil:
		say(host.ChanStdout, r.JEM.Module+" "+r.JEM.Action+" "+strings.Join(r.JEM.Args, " ")+" under "+r.JEM.Key+"\n")
	}
	exit := host.Exit{Code: 7}
	switch {
	case r.Leave != nil:
		exit = h.leave(*r.Leave)
	case r.Install != nil || r.Slots != nil || r.Usage != nil || r.Storage != nil:
		var answer string
		answer, exit = h.disk(r)
		say(host.ChanStdout, answer)
	case r.Snapshots != nil:
		var answer string
		answer, exit = h.snapshots(r)
		say(host.ChanStdout, answer)
	}
	c.Write(ctx, websocket.MessageBinary, host.Frame(host.ChanExit, host.ExitPayload(exit)))
	c.Read(ctx) // until the other side closes
}

// Refuse makes the host refuse what it is ordered, in these words; "" ends it.
func (h *Host) Refuse(why string) { h.mu.Lock(); defer h.mu.Unlock(); h.mu.refuses = why }

// Left are the orders to leave its machine that it took.
func (h *Host) Left() []upkeep.Leave {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.mu.left)
}

func (h *Host) leave(order upkeep.Leave) host.Exit {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.mu.refuses != "" {
		return host.Exit{Code: 125, Error: h.mu.refuses}
	}
	h.mu.left = append(h.mu.left, order)
	return host.Exit{}
}

// Containers lists the numbers in its Work.
func (h *Host) Containers() []wire.CTID {
	ids := map[wire.CTID]bool{}
	for _, c := range h.Work().Containers {
		ids[c.CTID] = true
	}
	return slices.Sorted(maps.Keys(ids))
}
