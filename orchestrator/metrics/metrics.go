// Package metrics shows the orchestrator to Prometheus.
//
// Owns: the metrics' names and their registry.
// In: the world, at each scrape.
// Out: /metrics in Prometheus' text format.
// Never: keeps a history, or puts a container's or a person's name into a label.
package metrics

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"hardnode.dev/internal/build"
	"hardnode.dev/internal/wire/smart"
	"hardnode.dev/internal/wire/upkeep"
	"hardnode.dev/orchestrator/live"
	"hardnode.dev/orchestrator/world"
)

var (
	info       = prometheus.NewDesc("hardnode_build_info", "The orchestrator's version.", []string{"version"}, nil)
	hosts      = prometheus.NewDesc("hardnode_hosts", "Hosts by state and role.", []string{"state", "role"}, nil)
	uncovered  = prometheus.NewDesc("hardnode_hosts_unlicensed", "Hosts the licence does not cover.", nil, nil)
	envs       = prometheus.NewDesc("hardnode_environments", "Environments by state.", []string{"state"}, nil)
	nodes      = prometheus.NewDesc("hardnode_nodes", "Nodes by state.", []string{"state"}, nil)
	operations = prometheus.NewDesc("hardnode_operations", "Kept operations by state.", []string{"state"}, nil)
	alarms     = prometheus.NewDesc("hardnode_alarms", "Alarms that stand now.", nil, nil)
	revision   = prometheus.NewDesc("hardnode_store_revision", "The store's revision.", nil, nil)
	boots      = prometheus.NewDesc("hardnode_host_boots_total", "Boots of hosts since the orchestrator's start, by what caused them.",
		[]string{"cause"}, nil)
	disks   = prometheus.NewDesc("hardnode_host_disks", "Disks of all active hosts by their health.", []string{"health"}, nil)
	unwell  = prometheus.NewDesc("hardnode_hosts_disks_unwell", "Hosts whose disks are not whole.", nil, nil)
	pressed = prometheus.NewDesc("hardnode_containers_pressed",
		"Containers of which some waited for it in a tenth of the last minute or more.", []string{"resource"}, nil)
	worst = prometheus.NewDesc("hardnode_containers_pressure_percent",
		"Percent of the last minute in which some of the container that waited most waited for it.", []string{"resource"}, nil)
	killed = prometheus.NewDesc("hardnode_containers_oom_kills_total",
		"Processes of containers that were ended because memory ran out, since the orchestrator's start.", nil, nil)
	throttled = prometheus.NewDesc("hardnode_containers_throttled_seconds_total",
		"How long CPU ceilings held containers back since the orchestrator's start.", nil, nil)
	restarts = prometheus.NewDesc("hardnode_containers_restarts_total",
		"Restarts of containers since the orchestrator's start.", nil, nil)
	crowded = prometheus.NewDesc("hardnode_containers_connections_bounded",
		"Containers of which new connections were dropped in the last minute, because they have as many as one may.", nil, nil)
	connections = prometheus.NewDesc("hardnode_host_connections",
		"Connections that all active hosts know, and how many they have room for.", []string{"kind"}, nil)
	memory = prometheus.NewDesc("hardnode_host_memory_bytes", "Memory of all active hosts.", []string{"kind"}, nil)
)

// Accepted is how long hosts take from being sent their Work to having it on disk and asking for what comes after.
var Accepted = prometheus.NewHistogram(prometheus.HistogramOpts{Name: "hardnode_work_accepted_seconds",
	Help:    "From sending a host its work to the host's confirming that it is on disk.",
	Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}})

type collector struct {
	world func() world.World
	boots func() map[upkeep.Cause]int
	met   func() live.Met
}

func (c collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{info, hosts, uncovered, envs, nodes, operations, alarms, revision, boots, memory, unwell,
		disks, pressed, worst, killed, throttled, restarts, crowded, connections} {
		ch <- d
	}
}

func (c collector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	w := c.world()
	gauge(info, 1, build.Version)
	t := w.Tally()
	for k, n := range t.Hosts {
		gauge(hosts, float64(n), string(k.State), k.Role)
	}
	gauge(uncovered, float64(len(w.Uncovered)))
	for _, g := range []struct {
		desc  *prometheus.Desc
		count map[string]int
	}{{envs, t.Environments}, {nodes, t.Nodes}, {operations, t.Operations}} {
		for state, n := range g.count {
			gauge(g.desc, float64(n), state)
		}
	}
	gauge(alarms, float64(len(w.Alarms)))
	gauge(revision, float64(w.View.Revision()))
	counter := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
	}
	counted := c.boots()
	for _, cause := range upkeep.Causes {
		counter(boots, float64(counted[cause]), string(cause))
	}
	gauge(memory, float64(t.Memory), "capacity")
	gauge(memory, float64(t.MemoryUsed), "used")
	gauge(unwell, float64(t.Unwell))
	for _, state := range smart.States { // what a host says besides makes no label
		gauge(disks, float64(t.Disks[state]), string(state))
	}
	for _, p := range []struct {
		resource       string
		pressed, worst int
	}{{"cpu", t.Pressed.CPU, t.Worst.CPU}, {"memory", t.Pressed.Memory, t.Worst.Memory}, {"io", t.Pressed.IO, t.Worst.IO}} {
		gauge(pressed, float64(p.pressed), p.resource)
		gauge(worst, float64(p.worst), p.resource)
	}
	met := c.met()
	counter(killed, float64(met.Kills))
	counter(throttled, float64(met.ThrottledMs)/1000)
	counter(restarts, float64(met.Restarts))
	gauge(crowded, float64(t.Pressed.Connections))
	gauge(connections, float64(t.Connections), "open")
	gauge(connections, float64(t.MaxConnections), "room")
}

// Handler serves the metrics of the world and of this process; held is how many calls of hosts are held now, booted how often hosts were
// booted since the start, met what happened to their containers.
func Handler(world func() world.World, held func() float64, booted func() map[upkeep.Cause]int, met func() live.Met) http.Handler {
	r := prometheus.NewRegistry()
	calls := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "hardnode_host_calls_held",
		Help: "Long polls and sessions of hosts that are held now."}, held)
	r.MustRegister(collector{world, booted, met}, Accepted, calls, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{MaxRequestsInFlight: 2})
}
