// Command fleetsim is a fleet of virtual hosts on a real orchestrator: thousands of agents in one process, which do as hosts do.
//
// Owns: the virtual hosts and their containers, the cluster they belong to, and the figures that are measured on it.
// In: the orchestrator's program; how many hosts and nodes; what is measured for how long.
// Out: the figures, each on a line that begins with FIGURE; status 1 when the fleet did not come to run.
// Never: speaks a protocol of its own (the agent's link does), uses another address than loopback, or leaves a process behind.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"

	"hardnode.dev/internal/run"
	"hardnode.dev/internal/testkit/founded"
)

// options are the sizes of a run.
type options struct {
	program string // the orchestrator
	cpu     string // that it runs on alone; "" is any
	dir     string
	hosts   int
	nodes   int
	changes int
	rounds  int
	crash   int // hosts whose containers crash again and again while the CPU is measured
	steady  time.Duration
	delay   time.Duration
}

func main() {
	o := options{}
	flag.StringVar(&o.program, "orchestrator", "out/bin/orchestrator",
		"the orchestrator's program, which is started on a cluster of its own")
	flag.StringVar(&o.cpu, "orchestrator-cpu", "", "run the orchestrator on this CPU only (taskset)")
	flag.StringVar(&o.dir, "dir", "", "directory for the cluster's files; empty is a temporary one")
	flag.IntVar(&o.hosts, "hosts", 2000, "virtual hosts, 1 to 60000")
	flag.IntVar(&o.nodes, "nodes", 40000, "nodes in all")
	flag.IntVar(&o.changes, "changes", 50, "small environments that are created one after the other, to measure how soon hosts have them")
	flag.IntVar(&o.rounds, "rounds", 50, "rounds of asking the API for a page of each list")
	flag.IntVar(&o.crash, "crash", 0, "hosts whose containers crash again and again while the CPU is measured")
	flag.DurationVar(&o.steady, "steady", 30*time.Second, "how long the orchestrator's CPU is measured while nothing changes")
	flag.DurationVar(&o.delay, "delay", 500*time.Millisecond,
		"from a host's having new Work to its having the containers, and from there to their running")
	flag.Parse()
	ctx, stop := run.UntilSignal(context.Background())
	defer stop()
	g, err := simulate(ctx, o, func(format string, a ...any) { fmt.Fprintf(os.Stderr, "fleetsim: "+format+"\n", a...) })
	if err != nil {
		fmt.Fprintln(os.Stderr, "fleetsim:", err)
		os.Exit(1)
	}
	g.print(os.Stdout)
}

// simulate founds a cluster, runs the fleet on it and measures.
func simulate(ctx context.Context, o options, say func(format string, a ...any)) (g figures, err error) {
	if o.dir == "" {
		if o.dir, err = os.MkdirTemp("", "fleetsim-*"); err != nil {
			return g, err
		}
		defer os.RemoveAll(o.dir)
	}
	reg, err := listenRegistry()
	if err != nil {
		return g, err
	}
	defer reg.close()
	c, err := founded.New(o.hosts, reg.listener.Addr().String(), time.Now())
	if err != nil {
		return g, fmt.Errorf("found a cluster: %w", err)
	}
	if err := reg.serve(c); err != nil {
		return g, err
	}
	p, err := startOrchestrator(ctx, o.program, o.cpu, o.dir, c)
	if err != nil {
		return g, err
	}
	defer func() {
		if serr := p.stop(); err == nil && serr != nil {
			err = fmt.Errorf("the orchestrator ended badly: %w; its log was %s", serr, p.log)
		}
	}()
	f := newFleet(c, p.hosts, o.dir, o.delay)
	defer f.stop()
	began := time.Now()
	if err := f.start(ctx); err != nil {
		return g, err
	}
	say("%d hosts are ACTIVE after %s", o.hosts, time.Since(began).Round(time.Second))
	api := p.client(c)
	began = time.Now()
	if err := f.fill(ctx, api, o.nodes); err != nil {
		return g, err
	}
	say("%d containers run after %s", o.nodes, time.Since(began).Round(time.Second))
	return f.figures(ctx, o, p, api)
}
