//go:build qemu

package components

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/run"
	"hardnode.dev/internal/testkit/released"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/qemu-tests/cluster"
	"hardnode.dev/qemu-tests/harness"
)

// policy makes a rollout short: what is watched here is what it costs.
var policy = []string{"--health", "5s", "--canary-soak", "1s", "--soak", "1s"}

// TestPatched: each component of the platform is patched under load, of pages through the resolver, of writes to the API and of names: no
// page and no answer is lost, and what the API loses is measured. A resolver that never serves is gone back from without a page lost, by
// its host. The infra VM's power is cut while a resolver is on trial: the rollout ends all the same.
func TestPatched(t *testing.T) {
	if os.Getenv("HARDNODE_SOAK") == "" {
		t.Skip("HARDNODE_SOAK is not set: `make soak PKG=./qemu-tests/components` does it")
	}
	dir := harness.Dir(t)
	pair := released.Both(t, "", time.Now().Add(24*time.Hour))
	anchors := pair.Anchors()
	cl, err := cluster.Start(t.Context(), cluster.Options{Dir: filepath.Join(dir, "cluster"), Hosts: 1,
		Init: []string{"--image-pin", string(anchors.Image.Pin), "--director-pin", string(anchors.Director.Pin)}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cl.Close(); err != nil {
			t.Error(err)
		}
	})
	var about operator.Cluster
	if err := cl.Get(t.Context(), &about, "cluster", "status"); err != nil {
		t.Fatal(err)
	}
	pair.Director.Installation = about.ID
	c := &platform{Cluster: cl, dir: dir, pair: pair}
	t.Logf("figure: the cluster is there after %s", c.Elapsed().Round(time.Second))

	t.Run("each", c.each)
	t.Run("never serves", c.neverServes)
	t.Run("power cut", c.powerCut)
}

// platform is the cluster, and the two repositories of releases that it knows.
type platform struct {
	*cluster.Cluster
	dir  string
	pair *released.Pair
}

func (c *platform) each(t *testing.T) {
	const next = "0.2.0"
	c.publish(t, next, nil)
	if _, err := c.HNCTL(t.Context(), "cluster", "netboot", "enable", "--interface", "underlay", "--for", "52:54:00:00:00:01"); err != nil {
		t.Fatal(err)
	}
	c.until(t, "netboot runs", func(list []operator.Component) bool {
		return slices.ContainsFunc(list, func(p operator.Component) bool { return p.Name == "netboot" && p.State == "running" })
	})
	work := c.load(t)
	began := time.Now()
	r := c.patches(t, next)
	took := time.Since(began)
	run.Wait(t.Context(), 5*time.Second) // what came last is counted too
	cost := work.end()
	if r.State != operator.RolloutDone {
		t.Errorf("the rollout is %s: %s", r.State, r.Reason)
	}
	parts := c.components(t)
	for _, p := range parts {
		if p.Release != next || p.Trial != nil || p.Failed != nil || p.State != "running" {
			t.Errorf("%s: %+v", p.Name, p)
		}
	}
	t.Logf("figure: %d components patched in %s: %s", len(parts), took.Round(time.Second), cost)
	cost.noneLost(t)
	if report, err := c.HNCTL(t.Context(), "patch", "report", r.ID); err != nil {
		t.Error(err)
	} else {
		t.Logf("hnctl patch report\n%s", report)
	}
}

func (c *platform) neverServes(t *testing.T) {
	const bad = "0.3.0"
	before := c.component(t, "resolver")
	c.publish(t, bad, map[string]string{"resolver": "time.Sleep(24 * time.Hour)"})
	work := c.load(t)
	began := time.Now()
	r := c.patches(t, bad, "--boot", "90s")
	cost := work.end()
	t.Logf("figure: a resolver that never serves: stopped after %s: %s; %s", time.Since(began).Round(time.Second), r.Reason, cost)
	if r.State != operator.RolloutStopped || r.Symptom == nil || !strings.HasSuffix(r.Symptom.Name, "/resolver") {
		t.Errorf("the rollout is %s: %q, first sign %+v", r.State, r.Reason, r.Symptom)
	}
	c.until(t, "the former version is confirmed", func(list []operator.Component) bool {
		return slices.ContainsFunc(list, func(p operator.Component) bool {
			return p.Name == "resolver" && p.State == "running" && p.Trial == nil && p.Failed != nil && p.Image == before.Image
		})
	})
	if after := c.component(t, "resolver"); !after.Started.Equal(before.Started) {
		t.Errorf("the former version was started anew at %s", after.Started)
	}
	cost.noneLost(t)
}

func (c *platform) powerCut(t *testing.T) {
	const next = "0.4.0"
	c.publish(t, next, nil)
	r := c.starts(t, next)
	c.until(t, "a resolver is on trial", func(list []operator.Component) bool {
		return slices.ContainsFunc(list, func(p operator.Component) bool { return p.Name == "resolver" && p.Trial != nil })
	})
	began := time.Now()
	c.Infra.Kill()
	err := c.Infra.Boot()
	if err == nil {
		err = c.WaitPage(t.Context(), "hello", 5*time.Minute*harness.Scale())
	}
	if err != nil {
		t.Fatal(err)
	}
	page := time.Since(began)
	if err := c.WaitAPI(t.Context(), 5*time.Minute*harness.Scale()); err != nil {
		t.Fatal(err)
	}
	api := time.Since(began)
	r = c.follow(t, r)
	t.Logf("figure: power cut of the infra VM, a resolver on trial: page after %.1f s, API after %.1f s, the rollout is %s after %.1f s%s",
		page.Seconds(), api.Seconds(), r.State, time.Since(began).Seconds(), strings.TrimSuffix(": "+r.Reason, ": "))
	if r.State == operator.RolloutStopped && r.Reason == "" {
		t.Error("the rollout stopped without a reason")
	}
	c.until(t, "all components run, none on trial", func(list []operator.Component) bool {
		return !slices.ContainsFunc(list, func(p operator.Component) bool {
			return p.State != "running" || p.Trial != nil || r.State == operator.RolloutDone && p.Release != next
		})
	})
}

// patches plans, starts and follows a rollout, and gives how it ended.
func (c *platform) patches(t *testing.T, release string, more ...string) operator.Rollout {
	t.Helper()
	return c.follow(t, c.starts(t, release, more...))
}

func (c *platform) starts(t *testing.T, release string, more ...string) (r operator.Rollout) {
	t.Helper()
	flags := append(slices.Clone(policy), more...)
	plan, err := c.HNCTL(t.Context(), append([]string{"patch", "plan", release}, flags...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("hnctl patch plan %s\n%s", release, plan)
	out, err := c.HNCTL(t.Context(), append([]string{"patch", "start", release, "--yes", "--no-wait", "-o", "json"}, flags...)...)
	if err == nil {
		err = json.Unmarshal(out, &r)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return r
}

// follow follows a rollout to its end; that the API is away meanwhile is no error.
func (c *platform) follow(t *testing.T, r operator.Rollout) operator.Rollout {
	t.Helper()
	at := map[string]string{}
	for limit := time.Now().Add(20 * time.Minute); !r.State.Final(); {
		if !run.Wait(t.Context(), 2*time.Second) || time.Now().After(limit) {
			t.Fatalf("rollout %s does not end: %s", r.ID, r.Reason)
		}
		var now operator.Rollout
		if err := c.Get(t.Context(), &now, "patch", "status", r.ID); err != nil {
			t.Logf("hnctl patch status: %v", err)
			continue
		}
		r = now
		for _, v := range r.Visits {
			if is := fmt.Sprintf("%s %s %s", v.State, v.Step, v.Reason); at[v.Name] != is {
				at[v.Name] = is
				t.Logf("%3d%% %s: %s %s", r.Progress, v.Name, is, v.Detail)
			}
		}
	}
	return r
}

// components are the platform's.
func (c *platform) components(t *testing.T) (list []operator.Component) {
	t.Helper()
	if err := c.Get(t.Context(), &list, "patch", "components"); err != nil {
		t.Fatal(err)
	}
	return list
}

func (c *platform) component(t *testing.T, name string) operator.Component {
	t.Helper()
	list := c.components(t)
	at := slices.IndexFunc(list, func(p operator.Component) bool { return p.Name == name })
	if at < 0 {
		t.Fatalf("there is no %s: %+v", name, list)
	}
	return list[at]
}

// until looks at the components until they are as wanted.
func (c *platform) until(t *testing.T, what string, is func([]operator.Component) bool) {
	t.Helper()
	var list []operator.Component
	for limit := time.Now().Add(5 * time.Minute * harness.Scale()); ; {
		if err := c.Get(t.Context(), &list, "patch", "components"); err == nil && is(list) {
			return
		}
		if !run.Wait(t.Context(), time.Second) || time.Now().After(limit) {
			t.Fatalf("%s: not so: %+v", what, list)
		}
	}
}

// load begins the load: ten pages a second, a write to the API each half second, and names asked for in a container. More than that leaves
// an emulated infra VM nothing for its work.
func (c *platform) load(t *testing.T) work {
	t.Helper()
	e, err := c.Env(t.Context(), "hello")
	if err != nil || len(e.Nodes) == 0 {
		t.Fatalf("environment hello: %+v, %v", e, err)
	}
	began := time.Now()
	return work{
		pages: begin(t, 100*time.Millisecond, 16, func(ctx context.Context, _ int) error {
			p, err := c.FetchPage(ctx, "hello", "/")
			if err == nil && p.Status != http.StatusOK {
				err = fmt.Errorf("status %d: %.100s", p.Status, p.Body)
			}
			return err
		}),
		writes: begin(t, 500*time.Millisecond, 1, func(ctx context.Context, n int) error {
			ctx, cancel := context.WithTimeout(ctx, time.Second*harness.Scale())
			defer cancel()
			name := fmt.Sprintf("load-%x-%d", began.Unix(), n)
			return c.Write(ctx, http.MethodPost, "/tokens", operator.NewToken{Name: name, Scopes: []string{"read"}})
		}),
		names: c.ask(t, e.Nodes[0].CTID.String()),
	}
}
