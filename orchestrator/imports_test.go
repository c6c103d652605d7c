package main

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
)

// registry tells of imports what the test says.
type registry struct {
	mu   sync.Mutex
	away bool
	runs []host.ImportRun
}

func (r *registry) tell(runs ...host.ImportRun) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.runs = runs
}

func (r *registry) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.away:
		http.Error(w, "away", http.StatusServiceUnavailable)
	case q.Method == http.MethodGet && q.URL.Path == host.PathImages:
		json.NewEncoder(w).Encode(host.Templates{Version: 1, Templates: []host.Template{}, Runs: r.runs})
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

// registry gives the cluster one, which the orchestrator knows from its next start on.
func (c *cluster) registry() *registry {
	c.t.Helper()
	a, err := identity.OpenAuthority(c.seed.Cluster, c.seed.RootCA, c.seed.IssuingCA, c.seed.IssuingKey)
	must(c.t, err)
	key, err := identity.NewKey()
	must(c.t, err)
	csr, err := identity.CSR(key)
	must(c.t, err)
	chain, err := a.Sign(csr, identity.Peer{CTID: 1, Component: "registry", Host: "h-0123456789ab"}, []string{"127.0.0.1"}, time.Now())
	must(c.t, err)
	cred, err := identity.NewCredential(key, chain)
	must(c.t, err)
	self := &identity.Holder{}
	self.Set(cred)
	r := &registry{}
	s := httptest.NewUnstartedServer(r)
	conf := identity.ServerTLS(identity.Trust{Pin: identity.Pin(c.root.Cert), Cluster: c.seed.Cluster}, nil, self)
	s.Listener = tls.NewListener(s.Listener, conf)
	s.Start()
	c.t.Cleanup(s.Close)
	c.seed.Registry = s.Listener.Addr().String()
	return r
}

func importRun(n int, name string, state host.ImportState) host.ImportRun {
	at := time.Now().UTC().Truncate(time.Second).Add(time.Duration(n-60) * time.Second)
	return host.ImportRun{ID: wire.OperationID(fmt.Sprintf("op-%016x", n)), Name: wire.TemplateName(name), By: "push token", State: state,
		Created: at, Updated: at}
}

// TestImportOperations: imports are operations beside those of environments, as they go on, with the reason when they fail.
func TestImportOperations(t *testing.T) {
	t.Parallel()
	c := found(t, 2, "infra1")
	r := c.registry()
	running, bad := importRun(1, "team/web:1", host.ImportRunning), importRun(2, "bad:1", host.ImportFailed)
	running.Percent, running.Detail = 40, "84.0 MiB of 210.0 MiB are read"
	bad.Code, bad.Reason, bad.Next = "invalid", "is for linux/s390x", "mend the image and push it again"
	c.start()
	list := func(query string) (ops []operator.Operation) {
		t.Helper()
		for next := ""; ; {
			var l operator.List[operator.Operation]
			c.ok("GET", "/api/v1/operations?"+query+"&cursor="+next, nil, &l)
			ops = append(ops, l.Items...)
			if next = l.Next; next == "" {
				return ops
			}
		}
	}
	names := func(ops []operator.Operation) string {
		var out []string
		for _, o := range ops {
			out = append(out, o.Kind+" "+o.Object+" "+string(o.State))
		}
		return strings.Join(out, ", ")
	}
	if got := list(""); len(got) != 0 {
		t.Errorf("before anything was pushed: %+v", got)
	}
	r.tell(bad, running)
	c.eventually("what was pushed is listed", func() bool { return len(list("")) == 2 })
	const both = "import templates/bad:1 failed, import templates/team/web:1 running"
	for query, want := range map[string]string{"": both, "limit=1": both, "kind=import": both,
		"kind=import&state=failed": "import templates/bad:1 failed",
		"kind=env.create":          "", "env=hello": "", "state=done": "", "state=running": "import templates/team/web:1 running"} {
		if got := names(list(query)); got != want {
			t.Errorf("%q: got %q, want %q", query, got, want)
		}
	}
	if p := c.call("GET", "/api/v1/operations?kind=imports", nil, nil); p == nil || p.Code != operator.Invalid {
		t.Errorf("a kind that is none: %+v", p)
	}
	if op := c.operation(running.ID); op.Progress != 40 || op.By != "push token" || op.Revision == 0 ||
		!op.Created.Equal(running.Created) || op.Steps[1].Detail != running.Detail {
		t.Errorf("got %+v", op)
	}
	if op := c.operation(bad.ID); op.Problem == nil || op.Problem.Reason != bad.Reason || op.Problem.Next != bad.Next ||
		op.Problem.Code != operator.Invalid || !op.Updated.Equal(bad.Updated) {
		t.Errorf("got %+v, %+v", op, op.Problem)
	}
	if p := c.call("POST", "/api/v1/operations/"+string(running.ID)+"/cancel", nil, nil); p == nil || p.Code != operator.Conflict ||
		!strings.Contains(p.Reason, "can't be cancelled") || p.Next == "" {
		t.Errorf("cancel: %+v", p)
	}
	v := c.visitor()
	v.signIn(adminToken, "/panel/operations")
	_, _, page := v.ask("GET", "/panel/operations", nil)
	for _, want := range []string{"templates/team/web:1", "templates/bad:1", "is for linux/s390x", `<progress max="100" value="40">`} {
		if !strings.Contains(page, want) {
			t.Errorf("the panel's operations don't say %q:\n%s", want, page)
		}
	}
	if status, _, page := v.ask("GET", "/panel/operations/"+string(running.ID), nil); status != http.StatusOK ||
		strings.Contains(page, "Fails unless") || !strings.Contains(page, "84.0 MiB") {
		t.Errorf("the panel's page of it: %d %s", status, page)
	}

	// Who watches it sees its end.
	req, err := http.NewRequestWithContext(t.Context(), "GET", "https://"+c.api+"/api/v1/operations/"+string(running.ID)+"/events", nil)
	must(t, err)
	req.Header.Set("Authorization", "Bearer "+adminToken)
	resp, err := c.client.Do(req)
	must(t, err)
	defer resp.Body.Close()
	var seen []operator.OperationState
	var last operator.Operation
	for s := bufio.NewScanner(resp.Body); s.Scan(); {
		data, ok := strings.CutPrefix(s.Text(), "data: ")
		if !ok {
			continue
		}
		last = operator.Operation{}
		must(t, json.Unmarshal([]byte(data), &last))
		if seen = append(seen, last.State); len(seen) == 1 {
			running.State, running.Percent, running.Detail = host.ImportDone, 0, "a template of 84.2 MiB"
			r.tell(bad, running)
		}
	}
	if len(seen) != 2 || seen[0] != operator.OpRunning || last.State != operator.OpDone || last.Progress != 100 ||
		last.Steps[1].Detail != running.Detail {
		t.Errorf("watched %v, last %+v", seen, last)
	}
}

// TestImportOperationsRestart: an import goes on in the list when the orchestrator, the registry or both start again in the middle; one of
// which nobody knows any more has failed.
func TestImportOperationsRestart(t *testing.T) {
	t.Parallel()
	c := found(t, 2, "infra1")
	r := c.registry()
	web, gone := importRun(1, "web:1", host.ImportRunning), importRun(2, "gone:1", host.ImportRunning)
	r.tell(gone, web)
	c.start()
	state := func(run host.ImportRun) operator.OperationState { return c.operation(run.ID).State }
	listed := func() bool {
		var l operator.List[operator.Operation]
		c.ok("GET", "/api/v1/operations?kind=import", nil, &l)
		return len(l.Items) == 2
	}
	c.eventually("both are listed", listed)
	r.mu.Lock()
	r.away = true
	r.mu.Unlock()
	c.stopped()
	c.start()
	if !listed() || state(web) != operator.OpRunning || state(gone) != operator.OpRunning {
		t.Errorf("after a start, with no registry: %s, %s", state(web), state(gone))
	}
	r.mu.Lock()
	r.away = false
	r.mu.Unlock()
	web.State = host.ImportWaiting // the registry takes it up again; the other it has lost
	r.tell(web)
	c.eventually("what the registry does not know has failed", func() bool { return state(gone) == operator.OpFailed })
	if p := c.operation(gone.ID).Problem; p == nil || !strings.Contains(p.Reason, "does not know of it any more") || p.Next == "" {
		t.Errorf("got %+v", p)
	}
	if s := state(web); s != operator.OpPending {
		t.Errorf("taken up again: %s", s)
	}
	web.State = host.ImportDone
	r.tell(web)
	c.eventually("it is done", func() bool { return state(web) == operator.OpDone })
	c.stopped()
	c.start()
	if !listed() || state(web) != operator.OpDone || state(gone) != operator.OpFailed {
		t.Errorf("after another start: %s, %s", state(web), state(gone))
	}
}
