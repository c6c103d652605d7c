package link

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"hardnode.dev/agent/container"
	"hardnode.dev/agent/container/command"
	"hardnode.dev/agent/desired"
	"hardnode.dev/agent/jemcall"
	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/testkit/ports"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/jem"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/upkeep"
)

const (
	clusterID = wire.ClusterID("cl-0123456789abcdef")
	hostID    = wire.HostID("h-0123456789ab")
)

// fakeRuntime echoes: exec copies stdin to stdout, logs gives two lines.
type fakeRuntime struct{}

func (fakeRuntime) Exec(ctx context.Context, id wire.CTID, spec host.ExecSpec, s command.Stdio) (host.Exit, error) {
	if id != 101 {
		return host.Exit{}, container.ErrNotFound
	}
	if spec.Argv[0] == "/hang" {
		<-ctx.Done()
		return host.Exit{Code: 137}, nil
	}
	if spec.Argv[0] == jemcall.Program {
		in, _ := io.ReadAll(s.In)
		return host.Exit{}, json.NewEncoder(s.Out).Encode(jem.Reply{Version: jem.Version, Init: jem.InitApp,
			Message: strings.Join(spec.Argv, " ") + ", " + spec.Env[jem.ToldBy] + ", " + string(in)})
	}
	io.WriteString(s.Err, strings.Join(spec.Argv, " "))
	io.Copy(s.Out, s.In)
	return host.Exit{Code: 7}, nil
}

func (fakeRuntime) Told(context.Context, wire.CTID) jem.Told { return jem.Told{DiskUsed: 5} }

func fakeHostLogs(_ context.Context, spec host.HostLogsSpec, line func([]byte) error) error {
	return line(fmt.Appendf(nil, "%s %d", spec.Unit, spec.Tail))
}

func fakeShow(_ context.Context, what upkeep.Show, w io.Writer) error {
	_, err := io.WriteString(w, "document "+string(what))
	return err
}

func fakeLeave(_ context.Context, order upkeep.Leave) error {
	if order.Reason == "refuse" {
		return errors.New("ask init to leave: no")
	}
	return nil
}

func (fakeRuntime) Logs(_ context.Context, _ wire.CTID, _ host.LogsSpec, line func(bool, []byte) error) error {
	return errors.Join(line(false, []byte("out")), line(true, []byte("err\n")))
}

type stillClock struct{}

func (stillClock) Raise()                          {}
func (stillClock) Answer(time.Time, time.Duration) {}

// start runs a link with the given join section until the test ends; it speaks what this version speaks, if nothing is said.
func start(t *testing.T, dir string, j *boot.Join, spoken ...host.Protocols) (*Link, *desired.Store, context.CancelFunc) {
	t.Helper()
	store, err := desired.Open(filepath.Join(dir, "desired"), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	l, stop := startWith(t, Options{Dir: filepath.Join(dir, "identity"), Spoken: append(spoken, host.Spoken)[0], Store: store}, j)
	return l, store, stop
}

// startWith runs a link with these options, and for the others what any machine has.
func startWith(t *testing.T, o Options, j *boot.Join) (*Link, context.CancelFunc) {
	t.Helper()
	o.Runtime, o.HostLogs, o.Leave, o.Show = fakeRuntime{}, fakeHostLogs, fakeLeave, fakeShow
	o.Boot, o.Version, o.Clock = "boot-1", "0.1.0", stillClock{}
	o.Config = func(context.Context) (boot.HostConfig, error) {
		return boot.HostConfig{Version: 1, Name: "wanted", Role: host.RoleUser, Join: j}, nil
	}
	o.Report = func(context.Context) host.Report { return host.Report{Boot: "boot-1"} }
	o.Underlay = func(context.Context) netip.Addr { return netip.MustParseAddr("10.77.0.11") }
	l, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(time.Minute):
			t.Error("the link did not end")
		}
	})
	t.Cleanup(stop)
	return l, stop
}

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if f() {
			return
		}
	}
	t.Fatalf("never: %s", what)
}

func TestJoinAndReport(t *testing.T) {
	o := newOrchestrator(t)
	dir := t.TempDir()
	j := o.join()
	j.Endpoints = []string{ports.Own(t), o.addr} // the first one does not answer
	l, store, stop := start(t, dir, j)
	eventually(t, "linked and ACTIVE", func() bool { s := l.Status(); return s.Linked && s.State == "ACTIVE" })
	s := l.Status()
	if s.Stage != boot.StageJoined || s.Name != "host-1" || s.Host != hostID || len(s.Problems) > 0 || s.Link != wordConnected {
		t.Errorf("got %+v", s)
	}
	o.mu.Lock()
	o.assigned = &host.Assignment{Work: &host.Work{Version: 1, Revision: 4}}
	o.mu.Unlock()
	eventually(t, "assignment on disk", func() bool { w, _ := store.Revisions(); return w == 4 })
	began, n := time.Now(), o.count()
	eventually(t, "three more reports", func() bool { return o.count() >= n+3 })
	if took := time.Since(began); took < 1500*time.Millisecond {
		t.Errorf("three quiet reports took %s: they are too close together", took)
	}
	stop()
	o.mu.Lock()
	last := o.reports[len(o.reports)-1]
	o.mu.Unlock()

	// A restarted agent is itself again without asking.
	o.mu.Lock()
	o.refuse = operator.NewProblem(operator.Denied, "join.token", "used", "")
	o.mu.Unlock()
	l, _, _ = start(t, dir, j)
	if s := l.Status(); s.Stage != boot.StageJoined || s.Name != "host-1" {
		t.Errorf("after a restart: got %+v", s)
	}
	eventually(t, "linked again", func() bool { return l.Status().Linked })
	o.mu.Lock()
	defer o.mu.Unlock()
	if next := o.reports[len(o.reports)-1]; next.Boot != last.Boot || next.Seq <= last.Seq {
		t.Errorf("the restarted agent's report has number %d, the last one had %d: it must grow within a boot", next.Seq, last.Seq)
	}
}

func TestRefusedReportIsForgottenOnceTheNextIsTaken(t *testing.T) {
	o := newOrchestrator(t)
	l, _, _ := start(t, t.TempDir(), o.join())
	eventually(t, "linked", func() bool { return l.Status().Linked })
	set := func(p *operator.Problem) { o.mu.Lock(); o.conflict = p; o.mu.Unlock() }
	set(operator.NewProblem(operator.Conflict, "report", "it is not newer", "send them in order"))
	eventually(t, "a problem", func() bool {
		s := l.Status()
		return !s.Linked && len(s.Problems) == 1 && s.Problems[0].Object == ObjectOrchestrator
	})
	set(nil)
	eventually(t, "no problem", func() bool { s := l.Status(); return s.Linked && len(s.Problems) == 0 })
}

func TestRefusedJoins(t *testing.T) {
	o, other := newOrchestrator(t), newOrchestrator(t)
	o.refuse = operator.NewProblem(operator.Denied, "join.token", "the join token was used already",
		"make a new one with `hnctl host token`")
	tests := []struct {
		name   string
		change func(*boot.Join)
		nojoin bool
		reason string
		next   string
	}{
		{name: "no join section", nojoin: true, reason: "no join section", next: "hnctl host config"},
		{name: "no endpoint", change: func(j *boot.Join) { j.Endpoints = nil }, reason: "no orchestrator endpoint", next: "host:port"},
		{name: "no pin", change: func(j *boot.Join) { j.CAPin = "" }, reason: "no CA pin", next: "hnctl cluster status"},
		{name: "no token, at an orchestrator of version 0.1", change: func(j *boot.Join) { j.Token = "" },
			reason: "admits no host without a join token", next: "hnctl host token"},
		{name: "wrong pin", change: func(j *boot.Join) { j.CAPin = other.trust.Pin }, reason: "check CA pin", next: "join.endpoints"},
		{name: "token refused", reason: "used already", next: "hnctl host token"},
		{name: "nobody there", change: func(j *boot.Join) { j.Endpoints = []string{"127.0.0.1:1"} }, reason: "refused",
			next: "orchestrator is starting"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			j := o.join()
			if tt.change != nil {
				tt.change(j)
			}
			if tt.nojoin {
				j = nil
			}
			l, _, _ := start(t, t.TempDir(), j)
			eventually(t, "a problem that says "+tt.reason, func() bool {
				ps := l.Status().Problems
				return len(ps) == 1 && strings.Contains(ps[0].Reason, tt.reason) && strings.Contains(ps[0].Next, tt.next)
			})
			if s := l.Status(); s.Stage != boot.StageJoining || s.Linked || len(s.Code) == 0 {
				t.Errorf("got %+v", s)
			}
		})
	}
}

func TestJoinsOnceAllowed(t *testing.T) {
	o := newOrchestrator(t)
	o.refuse = operator.NewProblem(operator.Denied, "join.token", "the join token has expired", "make a new one")
	l, _, _ := start(t, t.TempDir(), o.join())
	eventually(t, "refused", func() bool { return len(l.Status().Problems) == 1 })
	o.mu.Lock()
	o.refuse = nil
	o.mu.Unlock()
	eventually(t, "joined", func() bool { return l.Status().Linked && len(l.Status().Problems) == 0 })
}

func TestRenewal(t *testing.T) {
	for _, c := range []struct {
		name, how string
		age       time.Duration
		renewing  func(dir string)
	}{
		{"past its half life", "certificate", 13 * time.Hour, func(string) {}},
		{"expired", "proof", 25 * time.Hour, func(string) {}},
		{"the disk takes nothing", "certificate", 13 * time.Hour, func(dir string) { os.RemoveAll(filepath.Join(dir, "identity")) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := newOrchestrator(t)
			dir := t.TempDir()
			o.renewing = func() { c.renewing(dir) }
			// Joined long ago: the certificate on disk is past its half life, or expired.
			key, csr := identityOn(t, dir)
			o.leafAge = c.age
			saveRecord(t, dir, key, o.sign(csr))
			l, _, _ := start(t, dir, o.join())
			eventually(t, "renewed and linked", func() bool {
				return l.Status().Linked && time.Until(l.Holder().Get().Expires()) > 23*time.Hour
			})
			o.mu.Lock()
			defer o.mu.Unlock()
			if len(o.renewals) != 1 || o.renewals[0] != c.how {
				t.Errorf("renewals: got %v, want one by %s", o.renewals, c.how)
			}
		})
	}
}

func identityOn(t *testing.T, dir string) (ed25519.PrivateKey, []byte) {
	t.Helper()
	l, _, stop := start(t, dir, nil)
	stop()
	csr, err := identity.CSR(l.Key())
	if err != nil {
		t.Fatal(err)
	}
	return l.Key(), csr
}

func saveRecord(t *testing.T, dir string, key ed25519.PrivateKey, chain [][]byte) {
	t.Helper()
	l, err := New(Options{Dir: filepath.Join(dir, "identity")})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.doc.Save(record{Host: hostID, Name: "host-1", Cluster: clusterID, Chain: chain}); err != nil {
		t.Fatal(err)
	}
}

func TestOtherClusterIsNotJoined(t *testing.T) {
	o := newOrchestrator(t)
	dir := t.TempDir()
	key, csr := identityOn(t, dir)
	saveRecord(t, dir, key, o.sign(csr))
	j := o.join()
	j.Cluster = "cl-ffffffffffffffff"
	l, _, _ := start(t, dir, j)
	eventually(t, "a problem", func() bool {
		ps := l.Status().Problems
		return len(ps) == 1 && strings.Contains(ps[0].Reason, "belongs to cluster cl-0123456789abcdef")
	})
}

func TestSessions(t *testing.T) {
	for _, protocol := range []int{1, 2, host.ProtocolSessions} {
		t.Run(fmt.Sprint("protocol ", protocol), func(t *testing.T) { testSessions(t, protocol) })
	}
}

func testSessions(t *testing.T, protocol int) {
	o := newOrchestrator(t)
	o.protocol = protocol
	l, _, _ := start(t, t.TempDir(), o.join())
	eventually(t, "linked", func() bool { return l.Status().Linked })
	tests := []struct {
		name  string
		req   host.SessionRequest
		stdin string
		out   string
		err   string
		exit  host.Exit
	}{
		{"exec", host.SessionRequest{CTID: 101, Exec: &host.ExecSpec{Argv: []string{"/cat", "-"}}}, "hello", "hello", "/cat -",
			host.Exit{Code: 7}},
		{"jem", host.SessionRequest{CTID: 101, JEM: &host.JEMRequest{Module: "service", Action: "status", Args: []string{"nginx"},
			Key: "k"}}, "in",
			`{"version":1,"init":"app","message":"/run/hardnode/jem service status nginx, {\"key\":\"k\",\"diskUsed\":5}, in"}` + "\n",
			"", host.Exit{}},
		{"large", host.SessionRequest{CTID: 101, Exec: &host.ExecSpec{Argv: []string{"/cat"}}}, strings.Repeat("x", 3*host.MaxFrame),
			strings.Repeat("x", 3*host.MaxFrame), "/cat", host.Exit{Code: 7}},
		{"no such container", host.SessionRequest{CTID: 5, Exec: &host.ExecSpec{Argv: []string{"/cat"}}}, "", "", "",
			host.Exit{Code: 125, Error: container.ErrNotFound.Error()}},
		{"logs", host.SessionRequest{CTID: 101, Logs: &host.LogsSpec{}}, "", "out\n", "err\n", host.Exit{}},
		{"the host's own logs", host.SessionRequest{HostLogs: &host.HostLogsSpec{Unit: host.UnitAgent, Tail: 2}}, "", "agent 2\n", "",
			host.Exit{}},
		{"leave", host.SessionRequest{Leave: &upkeep.Leave{By: "admin"}}, "", "", "", host.Exit{}},
		{"leave, refused", host.SessionRequest{Leave: &upkeep.Leave{By: "admin", Reason: "refuse"}}, "", "", "",
			host.Exit{Code: 125, Error: "ask init to leave: no"}},
		{"a document", host.SessionRequest{Show: upkeep.ShowConfig}, "", "document config", "", host.Exit{}},
		{"unknown kind", host.SessionRequest{CTID: 101}, "", "", "",
			host.Exit{Code: 125, Error: "the request names nothing that this host knows; update this host's release"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.req.ID = "s1"
			out, errOut, exit := o.talk(t, tt.req, tt.stdin)
			if out != tt.out || errOut != tt.err || exit != tt.exit {
				t.Errorf("got stdout %d bytes, stderr %q, exit %+v; want %d bytes, %q, %+v", len(out), errOut, exit, len(tt.out),
					tt.err, tt.exit)
			}
		})
	}
}
