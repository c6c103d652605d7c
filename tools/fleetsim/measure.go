package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"sync"
	"time"

	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/tools/hnctl/client"
)

// measure notes when hosts have their documents.
type measure struct {
	mu struct {
		sync.Mutex
		env   wire.EnvName           // the environment that is waited for
		has   map[*virtual]time.Time // when a host had Work with a container of it
		count bool                   // whether the documents' bytes are counted
	}
}

// accepted is called by each host with what it was sent, before it follows it.
func (m *measure) accepted(v *virtual, a host.Assignment) {
	now := time.Now()
	m.mu.Lock()
	count, env := m.mu.count, m.mu.env
	if a.Work != nil && env != "" && slices.ContainsFunc(a.Work.Containers, func(c host.Container) bool { return c.Env == env }) {
		if _, there := m.mu.has[v]; !there {
			m.mu.has[v] = now
		}
	}
	m.mu.Unlock()
	if count {
		raw, _ := json.Marshal(a)
		v.mu.Lock()
		v.mu.bytes += int64(len(raw))
		v.mu.Unlock()
	}
}

func (m *measure) await(env wire.EnvName, count bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.env, m.mu.has, m.mu.count = env, map[*virtual]time.Time{}, count
}

func (m *measure) got() map[*virtual]time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := map[*virtual]time.Time{}
	for v, at := range m.mu.has {
		out[v] = at
	}
	return out
}

func spec(name wire.EnvName, nodes int) operator.EnvironmentSpec {
	return operator.EnvironmentSpec{Version: 1, Name: name, Layers: []operator.LayerSpec{{Name: "cp", Template: template, Nodes: nodes,
		Cloudlets: wire.Cloudlets{Reserved: 1, Dynamic: 4}}}}
}

// create asks for an environment, and gives the moment of the API's answer.
func create(ctx context.Context, api *client.Client, s operator.EnvironmentSpec) (time.Time, error) {
	err := api.Call(ctx, http.MethodPost, operator.Prefix+"/environments", s, nil)
	return time.Now(), err
}

// largest is the most nodes of one environment that the simulation makes.
const largest = 100

// fill makes environments of so many nodes in all, and waits until every container runs.
func (f *fleet) fill(ctx context.Context, api *client.Client, nodes int) error {
	for i, left := 0, nodes; left > 0; i++ {
		n := min(left, largest)
		if _, err := create(ctx, api, spec(wire.EnvName(fmt.Sprintf("fill%d", i+1)), n)); err != nil {
			return fmt.Errorf("create environment %d: %w", i+1, err)
		}
		left -= n
	}
	return f.running(ctx, nodes, 30*time.Minute)
}

// changes makes one small environment after the other, and gives how long each host that runs a node of it waited for its Work, from the
// API's answer on.
func (f *fleet) changes(ctx context.Context, api *client.Client, count, nodes int) (waits []time.Duration, err error) {
	for i := range count {
		name := wire.EnvName(fmt.Sprintf("change%d", i+1))
		f.measure.await(name, false)
		at, err := create(ctx, api, spec(name, nodes))
		if err != nil {
			return nil, err
		}
		want := min(nodes, len(f.hosts))
		if err := f.until(ctx, fmt.Sprintf("%d hosts have their part of %s", want, name), 5*time.Minute, func() (bool, string) {
			n := len(f.measure.got())
			return n >= want, fmt.Sprintf("%d have", n)
		}); err != nil {
			return nil, err
		}
		for _, has := range f.measure.got() {
			waits = append(waits, max(0, has.Sub(at)))
		}
		if !run.Wait(ctx, 100*time.Millisecond) {
			return nil, ctx.Err()
		}
	}
	return waits, nil
}

// pages asks for pages of every list, and gives how long each took.
func pages(ctx context.Context, api *client.Client, rounds int) (took []time.Duration, err error) {
	for range rounds {
		for _, list := range []string{"environments", "nodes", "hosts", "operations"} {
			began := time.Now()
			if err := api.Call(ctx, http.MethodGet, operator.Prefix+"/"+list+"?limit=100", nil, nil); err != nil {
				return nil, err
			}
			took = append(took, time.Since(began))
		}
	}
	return took, nil
}

// elsewhere makes an environment on other hosts, and gives the bytes of the documents that a host with nodes, the one whose number is
// nearest to per, was sent for it within three seconds after the others had theirs. All here is one account's, so a host is sent its names;
// what is sent of another account's is measured where there is one (TestBytesTold of the orchestrator).
func (f *fleet) elsewhere(ctx context.Context, api *client.Client, per int) (bytes int64, nodes int, err error) {
	const name = "elsewhere"
	f.measure.await(name, true)
	for _, v := range f.hosts {
		v.mu.Lock()
		v.mu.bytes = 0
		v.mu.Unlock()
	}
	if _, err := create(ctx, api, spec(name, 4)); err != nil {
		return 0, 0, err
	}
	want := min(4, len(f.hosts))
	if err := f.until(ctx, "hosts have their part of "+name, 5*time.Minute, func() (bool, string) {
		n := len(f.measure.got())
		return n >= want, fmt.Sprintf("%d of %d have", n, want)
	}); err != nil {
		return 0, 0, err
	}
	run.Wait(ctx, 3*time.Second) // hosts without work are told a moment later
	has := f.measure.got()
	others := slices.DeleteFunc(slices.Clone(f.hosts), func(v *virtual) bool { _, does := has[v]; return does })
	if len(others) == 0 {
		return 0, 0, fmt.Errorf("every host has a node of environment %s: simulate more hosts", name)
	}
	v := slices.MinFunc(others, func(a, b *virtual) int {
		x, _ := a.containers()
		y, _ := b.containers()
		return cmp.Compare(math.Abs(float64(x-per)), math.Abs(float64(y-per)))
	})
	nodes, _ = v.containers()
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.mu.bytes, nodes, nil
}

// p99 is the value that one in a hundred exceeds; of few, the largest.
func p99(of []time.Duration) time.Duration {
	if len(of) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(of))
	return sorted[min(len(sorted)-1, len(sorted)*99/100)]
}

// figures are what a run of the simulation found.
type figures struct {
	hosts, nodes int
	cpu          float64 // cores
	change       time.Duration
	page         time.Duration
	rss          int64
	bytes        int64
	near         int // nodes of the host whose bytes were counted
}

func (g figures) print(w io.Writer) {
	at := fmt.Sprintf("%d agents, %d nodes", g.hosts, g.nodes)
	ms := func(d time.Duration) float64 { return d.Seconds() * 1000 }
	fmt.Fprintf(w, "FIGURE %s: steady CPU of the orchestrator: %.2f core (bar 0.4)\n", at, g.cpu)
	fmt.Fprintf(w, "FIGURE %s: change → agent p99: %.0f ms (bar 300)\n", at, ms(g.change))
	fmt.Fprintf(w, "FIGURE %s: API list page p99: %.0f ms (bar 100)\n", at, ms(g.page))
	fmt.Fprintf(w, "FIGURE %s: RSS of the orchestrator: %d MiB (bar 700)\n", at, g.rss>>20)
	fmt.Fprintf(w, "FIGURE %s: sent to a host with %d nodes when its account has an environment made elsewhere: %d bytes (its names)\n",
		at, g.near, g.bytes)
}

// figures measures one thing after the other.
func (f *fleet) figures(ctx context.Context, o options, p *program, api *client.Client) (g figures, err error) {
	g.hosts, g.nodes = o.hosts, o.nodes
	for _, v := range f.hosts[:min(o.crash, len(f.hosts))] {
		v.crash(0, true)
	}
	if !run.Wait(ctx, o.steady/10) { // what the last change left
		return g, ctx.Err()
	}
	before, _, err := p.usage()
	began := time.Now()
	if err != nil || !run.Wait(ctx, o.steady) {
		return g, errors.Join(err, ctx.Err())
	}
	after, _, err := p.usage()
	if err != nil {
		return g, err
	}
	g.cpu = (after - before).Seconds() / time.Since(began).Seconds()
	for _, v := range f.hosts[:min(o.crash, len(f.hosts))] {
		v.crash(0, false)
	}
	took, err := pages(ctx, api, o.rounds)
	if err != nil {
		return g, err
	}
	g.page = p99(took)
	waits, err := f.changes(ctx, api, o.changes, 4)
	if err != nil {
		return g, err
	}
	g.change = p99(waits)
	if g.bytes, g.near, err = f.elsewhere(ctx, api, o.nodes/o.hosts); err != nil {
		return g, err
	}
	_, g.rss, err = p.usage()
	return g, err
}
