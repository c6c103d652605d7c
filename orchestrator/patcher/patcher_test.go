package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/testkit/founded"
	"hardnode.dev/internal/testkit/ports"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/patch"
	"hardnode.dev/orchestrator/patcher/drive"
	"hardnode.dev/orchestrator/patcher/shelf"
)

// asProgram is set in a process of this binary that shall be the program: its directory.
const asProgram = "PATCHER_TEST_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(asProgram); dir != "" {
		o := options{config: filepath.Join(dir, "patcher.json"), data: dir, listen: os.Getenv("PATCHER_TEST_LISTEN"),
			socket: filepath.Join(dir, "identity.sock"), scale: 1,
			clocks: drive.Clocks{Soon: 20 * time.Millisecond, Later: 50 * time.Millisecond, Keep: 50 * time.Millisecond}}
		ctx, stop := run.UntilSignal(context.Background())
		defer stop()
		log := slog.New(slog.NewTextHandler(os.Stderr, nil))
		if err := patcher(ctx, log, o); err != nil {
			log.Error("patcher ended", logging.Err, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// trial is the program as a process of its own, and the platform around it.
type trial struct {
	*testing.T
	platform *fakePlatform
	dir      string
	listen   string
	client   *http.Client
	stranger *http.Client
	process  *exec.Cmd
	log      *bytes.Buffer
}

func newTrial(t *testing.T, hosts int) *trial {
	t.Helper()
	t.Parallel()
	c, err := founded.New(1, "", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	x := &trial{T: t, platform: newPlatform(t, c, "hnt1.token", hosts)}
	if x.dir, err = os.MkdirTemp("", "patcher"); err != nil { // short: a socket's path has at most 107 bytes
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(x.dir) })
	raw, _ := json.Marshal(boot.PatcherConfig{Version: 1, Cluster: c.Seed.Cluster, CAPin: c.Pin,
		API: []string{"127.0.0.1:1", x.platform.addr}, Token: secret.Text("hnt1.token")})
	if err := os.WriteFile(filepath.Join(x.dir, "patcher.json"), raw, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(x.dir, "identity.sock"))
	if err != nil {
		t.Fatal(err)
	}
	agent := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q identity.ComponentCSR
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
			t.Error(err)
		}
		chain, err := c.Authority.Sign(q.CSR, identity.Peer{CTID: 5, Component: patch.Component, Host: "h-0123456789ab"}, nil, time.Now())
		if err != nil {
			t.Error(err)
		}
		json.NewEncoder(w).Encode(host.RenewReply{Chain: chain})
	})}
	go agent.Serve(l)
	t.Cleanup(func() { agent.Close() })
	other, err := c.Component("registry", 1, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	as := func(self *identity.Holder) *http.Client {
		return &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
			TLSClientConfig: identity.ClientTLS(c.Trust(), identity.WantComponent(patch.Component), self), DisableKeepAlives: true}}
	}
	x.client, x.stranger = as(x.platform.self), as(other)
	x.listen = ports.Own(t)
	x.start()
	t.Cleanup(x.kill)
	return x
}

// start starts the program, and waits until it answers.
func (x *trial) start() {
	x.Helper()
	exe, err := os.Executable()
	if err != nil {
		x.Fatal(err)
	}
	x.log = &bytes.Buffer{}
	x.process = exec.Command(exe)
	x.process.Env = append(os.Environ(), asProgram+"="+x.dir, "PATCHER_TEST_LISTEN="+x.listen)
	x.process.Stderr = x.log
	if err := x.process.Start(); err != nil {
		x.Fatal(err)
	}
	x.until("the Patcher answers", func() bool {
		var list operator.List[operator.Rollout]
		return x.ask(x.client, http.MethodGet, patch.Rollouts, nil, &list) == nil
	})
}

// kill is kill -9.
func (x *trial) kill() {
	x.process.Process.Kill()
	x.process.Wait()
	if x.Failed() {
		x.Logf("log of the program:\n%s", x.log)
	}
}

func (x *trial) until(what string, is func() bool) {
	x.Helper()
	for end := time.Now().Add(time.Minute); !is(); run.Wait(x.Context(), 10*time.Millisecond) {
		if time.Now().After(end) {
			x.Fatalf("not within a minute: %s", what)
		}
	}
}

func (x *trial) ask(c *http.Client, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			x.Fatal(err)
		}
		body = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(x.Context(), method, "https://"+x.listen+path, body)
	if err != nil {
		x.Fatal(err)
	}
	req.Header.Set(patch.By, "ann")
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		p := &operator.Problem{}
		if err := json.NewDecoder(resp.Body).Decode(p); err != nil {
			return err
		}
		return p
	}
	return json.NewDecoder(resp.Body).Decode(out)
}

// quick is a policy of the shortest times.
var quick = operator.NewRollout{Release: newRelease, Policy: operator.RolloutPolicy{Canary: "h1", CanarySoakSec: 1, SoakSec: 1,
	HealthSec: 1}}

func (x *trial) begins(want operator.NewRollout) (r operator.Rollout) {
	x.Helper()
	if err := x.ask(x.client, http.MethodPost, patch.Rollouts, want, &r); err != nil {
		x.Fatal(err)
	}
	return r
}

// ages has the rollout's deadlines pass, while the program is down: that nobody looked must not count, so it looked until then.
func (x *trial) ages(id string, by time.Duration) {
	x.Helper()
	s, err := shelf.Open(filepath.Join(x.dir, "rollouts"), nil)
	if err != nil {
		x.Fatal(err)
	}
	r, p := s.Get(id)
	if p != nil {
		x.Fatal(p)
	}
	for i := range r.Visits {
		if d := &r.Visits[i].Deadline; !d.IsZero() {
			*d = d.Add(-by)
		}
	}
	if err := s.Put(r); err != nil {
		x.Fatal(err)
	}
}

func (x *trial) get(id string) (r operator.Rollout) {
	x.Helper()
	if err := x.ask(x.client, http.MethodGet, patch.Rollouts+"/"+id, nil, &r); err != nil {
		x.Fatal(err)
	}
	return r
}

func (x *trial) ends(id string) (r operator.Rollout) {
	x.Helper()
	x.until("the rollout ends", func() bool { r = x.get(id); return r.State.Final() })
	return r
}

func visits(r operator.Rollout) string {
	var out []string
	for _, v := range r.Visits {
		out = append(out, v.Name+":"+string(v.State))
	}
	return strings.Join(out, " ")
}

// wholly is what is done to a host that is patched, each once.
var wholly = []string{"cordon", "stage", "switch", "uncordon"}

// A good release, of two starts at once one; its report says what each node lost.
func TestRollout(t *testing.T) {
	x := newTrial(t, 3)
	var plan operator.RolloutPlan
	if err := x.ask(x.client, http.MethodPost, patch.Plan, quick, &plan); err != nil || len(plan.Cohorts) != 2 ||
		plan.Cohorts[0].Hosts[0].Name != "h1" || len(plan.Cohorts[0].Hosts[0].Nodes) != 4 {
		t.Errorf("plan %+v, %v", plan, err)
	}
	if err := x.ask(x.stranger, http.MethodGet, patch.Rollouts, nil, nil); err == nil || !strings.Contains(err.Error(),
		"answers the orchestrator only") {
		t.Errorf("another component: %v", err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var began []operator.Rollout
	var refused []error
	for range 5 {
		wg.Go(func() {
			var r operator.Rollout
			err := x.ask(x.client, http.MethodPost, patch.Rollouts, quick, &r)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				began = append(began, r)
			} else {
				refused = append(refused, err)
			}
		})
	}
	wg.Wait()
	if len(began) != 1 || len(refused) != 4 || !strings.Contains(refused[0].Error(), "there is one at a time") || began[0].By != "ann" {
		t.Fatalf("began %+v\nrefused %v", began, refused)
	}
	r := x.ends(began[0].ID)
	if r.State != operator.RolloutDone || visits(r) != "h1:done h2:done h3:done" {
		t.Errorf("%s %q: %s", r.State, r.Reason, visits(r))
	}
	for _, name := range []string{"h1", "h2", "h3"} {
		if did, m := x.platform.of(name); !slices.Equal(did, wholly) || m.Version != newRelease || m.Cordon != nil {
			t.Errorf("%s: %v, runs %s", name, did, m.Version)
		}
	}
	var report operator.RolloutReport
	if err := x.ask(x.client, http.MethodGet, patch.Rollouts+"/"+r.ID+"/report", nil, &report); err != nil {
		t.Fatal(err)
	}
	if len(report.Nodes) != 12 || len(report.Hosts) != 3 || report.Longest < 0.1 || report.Longest > 10 {
		t.Errorf("report %+v", report)
	}
	for _, n := range report.Nodes {
		if n.Cause != "its host boots the release" || n.To.IsZero() || n.Seconds < 0.1 {
			t.Errorf("%+v", n)
		}
	}
	if err := x.ask(x.client, http.MethodPost, patch.Rollouts, quick, &r); err == nil ||
		!strings.Contains(err.Error(), "3 run 1.1.0 already") {
		t.Errorf("once more: %v", err)
	}
	if err := x.ask(x.client, http.MethodPost, patch.Rollouts, operator.NewRollout{Release: "7.0.0"}, &r); err == nil ||
		!strings.Contains(err.Error(), "no such release was imported") {
		t.Errorf("another release: %v", err)
	}
}

// A bad release stops at the canary, which is back on what it ran; the others are untouched.
func TestBadRelease(t *testing.T) {
	for ails, want := range map[string]struct{ says, did string }{
		"boot":  {"the agent was not ready in time", "cordon stage switch forget uncordon"},
		"nodes": {"ran before and is failing: exited with 1", "cordon stage switch uncordon forget rollback"},
		"agent": {"error of agent on the release, which no host had before it: ended: run: <text>",
			"cordon stage switch uncordon forget rollback"},
	} {
		t.Run(ails, func(t *testing.T) {
			x := newTrial(t, 3)
			x.platform.ail("h1", ails)
			r := x.begins(quick)
			if ails == "nodes" { // the deadline of five minutes is not waited for
				x.until("the Patcher sees it", func() bool { v := x.get(r.ID).Visits[0]; return v.Symptom != nil })
				x.kill()
				x.ages(r.ID, 10*time.Minute)
				x.start()
			}
			r = x.ends(r.ID)
			if r.State != operator.RolloutStopped || r.Symptom == nil || !strings.Contains(r.Symptom.What, want.says) ||
				visits(r) != "h1:back h2:pending h3:pending" {
				t.Errorf("%s %q: %s; symptom %+v", r.State, r.Reason, visits(r), r.Symptom)
			}
			did, m := x.platform.of("h1")
			if strings.Join(did, " ") != want.did || m.Version != oldRelease || m.Cordon != nil {
				t.Errorf("%v, runs %s", did, m.Version)
			}
			for _, name := range []string{"h2", "h3"} {
				if did, _ := x.platform.of(name); len(did) > 0 {
					t.Errorf("%s: %v", name, did)
				}
			}
		})
	}
}

// Killed again and again in the middle, it goes on where it was, and does nothing twice.
func TestKilled(t *testing.T) {
	x := newTrial(t, 2)
	r := x.begins(quick)
	kills := 0
	for !r.State.Final() {
		run.Wait(t.Context(), time.Duration(50+37*(kills%7))*time.Millisecond)
		x.kill()
		kills++
		x.start()
		r = x.get(r.ID)
	}
	if r.State != operator.RolloutDone || kills < 5 {
		t.Errorf("%s %q after %d kills: %s", r.State, r.Reason, kills, visits(r))
	}
	for _, name := range []string{"h1", "h2"} {
		if did, m := x.platform.of(name); !slices.Equal(did, wholly) || m.Version != newRelease {
			t.Errorf("%s: %v, runs %s", name, did, m.Version)
		}
	}
}

// The platform's API away for a while holds a rollout up, and no more.
func TestPlatformAway(t *testing.T) {
	x := newTrial(t, 2)
	x.platform.ail("h1", "slow")
	r := x.begins(quick)
	x.until("a host boots", func() bool { return x.get(r.ID).Visits[0].Step == "switch" })
	x.platform.close()
	run.Wait(t.Context(), time.Second)
	if got := x.get(r.ID); got.State != operator.RolloutRunning || got.Visits[0].Step != "switch" {
		t.Errorf("while it is away: %s, %+v", got.State, got.Visits[0])
	}
	x.platform.ail("h1", "")
	x.platform.serve(x.platform.addr)
	if r = x.ends(r.ID); r.State != operator.RolloutDone {
		t.Errorf("%s %q: %s", r.State, r.Reason, visits(r))
	}
}

func TestAbort(t *testing.T) {
	x := newTrial(t, 2)
	long := quick
	long.Policy.HealthSec = 3600 // it is watched until the abort, however late that comes
	r := x.begins(long)
	x.until("the canary is booted", func() bool { return x.get(r.ID).Visits[0].Step == "watch" })
	for _, verb := range []string{"pause", "resume", "abort"} {
		if err := x.ask(x.client, http.MethodPost, patch.Rollouts+"/"+r.ID+"/"+verb, nil, &r); err != nil {
			t.Fatal(verb, err)
		}
	}
	r = x.ends(r.ID)
	if did, m := x.platform.of("h1"); r.State != operator.RolloutAborted || r.Reason != "aborted by ann" || m.Version != oldRelease ||
		m.Cordon != nil || did[len(did)-1] != "rollback" {
		t.Errorf("%s %q: %s; %v, runs %s", r.State, r.Reason, visits(r), did, m.Version)
	}
	if err := x.ask(x.client, http.MethodPost, patch.Rollouts+"/"+r.ID+"/pause", nil, &r); err == nil {
		t.Error("paused after its end")
	}
	if err := x.ask(x.client, http.MethodGet, patch.Rollouts+"/ro-nosuch", nil, &r); err == nil {
		t.Error("a rollout that there is not")
	}
}
