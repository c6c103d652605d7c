package main

import (
	"context"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// How a container that crashes again and again does so.
const (
	crashRuns = time.Second      // how long it runs each time
	crashWait = 10 * time.Second // from one start to the next
)

// apply makes the containers those of a Work: new ones are created, and run a while later. The caller holds the lock.
func (v *virtual) apply(w host.Work) {
	since := make(map[wire.CTID]time.Time, len(w.Containers))
	created := false
	for _, c := range w.Containers {
		at, there := v.mu.since[c.CTID]
		if !there {
			at, created = time.Now(), true
		}
		since[c.CTID] = at
	}
	v.mu.applied, v.mu.since = w, since
	if created {
		v.after(v.fleet.delay, func() {})
	}
}

// report is what the host says of itself now: all but Seq and Sent.
func (v *virtual) report(context.Context) host.Report {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := time.Now()
	up := now.Sub(v.mu.booted)
	w := &v.mu.applied
	r := host.Report{Boot: v.boot(), Version: "fleetsim", Underlay: v.underlay(), MeshKey: "key-" + v.boot(),
		Capacity: host.Capacity{MemoryBytes: v.fleet.memory, CPUs: 8, MHz: 2400, DiskBytes: 1 << 40},
		Load: host.Load{MemoryUsed: 1<<30 + int64(up/time.Second)<<12, DiskUsed: 8 << 30, Load1: 0.5,
			UptimeSec: int64(up / time.Second)},
		Work: w.Revision, Seen: v.mu.known.Revision, Planned: w.Revision, Peers: v.mu.peers, Keys: v.mu.keys,
		Containers: make([]host.ContainerStatus, 0, len(w.Containers))}
	for _, c := range w.Containers {
		r.Containers = append(r.Containers, v.container(c, v.mu.since[c.CTID], now))
	}
	return r
}

// container is what the host says of one container, which it has had since the moment since. An idle one uses next to nothing.
func (v *virtual) container(c host.Container, since, now time.Time) host.ContainerStatus {
	age := now.Sub(since)
	s := host.ContainerStatus{
		CTID:        c.CTID,
		Generation:  c.Generation,
		State:       host.CtRunning,
		Started:     since.UTC().Truncate(time.Millisecond),
		MemoryBytes: 20 << 20,
		CPUMicros:   int64(age / time.Millisecond / 100),
		DiskBytes:   1 << 20,
	}
	switch {
	case !c.Run:
		s.State, s.Started = host.CtStopped, time.Time{}
	case age < v.fleet.delay:
		s.State, s.Reason = host.CtStarting, "check has not passed yet"
	case v.mu.crashes[c.CTID] || v.mu.crashes[0]:
		s.Restarts, s.ExitCode = int(age/crashWait), 1
		s.Started = s.Started.Add(time.Duration(s.Restarts) * crashWait)
		if age%crashWait > crashRuns {
			s.State, s.Reason = host.CtFailing, "exited with code 1"
		}
	}
	return s
}

// crash makes a container, or with 0 all of the host, crash again and again; or no more.
func (v *virtual) crash(id wire.CTID, crashes bool) {
	v.mu.Lock()
	if v.mu.crashes == nil {
		v.mu.crashes = map[wire.CTID]bool{}
	}
	v.mu.crashes[id] = crashes
	v.mu.Unlock()
	v.hint()
}

// containers are how many the host has, and how many of them run.
func (v *virtual) containers() (all, running int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := time.Now()
	for _, c := range v.mu.applied.Containers {
		if all++; v.container(c, v.mu.since[c.CTID], now).State == host.CtRunning {
			running++
		}
	}
	return all, running
}
