package live

import (
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// Met is what happened to containers.
type Met struct {
	Kills       int64 // processes that the kernel ended because memory ran out
	ThrottledMs int64 // milliseconds in which CPU ceilings held them back
	Restarts    int64
}

func metBy(c host.ContainerStatus) Met {
	return Met{c.Strain.Kills, c.Strain.ThrottledMs, int64(c.Restarts)}
}

// Met counts what happened to all hosts' containers since this process started. It never becomes less, whoever is removed.
func (f *Fleet) Met() Met {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.met
}

// met takes in what happened between two reports of a host; the caller holds the lock. What had happened before the first one is not known
// to be new.
func (f *Fleet) met(old, rep *host.Report) {
	if old == nil || len(rep.Containers) == 0 || len(old.Containers) > 0 && &old.Containers[0] == &rep.Containers[0] {
		return // an unchanged renewal has the list of the report that it renews
	}
	was := make(map[wire.CTID]host.ContainerStatus, len(old.Containers))
	for _, c := range old.Containers {
		was[c.CTID] = c
	}
	for _, c := range rep.Containers {
		w, there := was[c.CTID]
		if !there {
			continue // it begins with nothing, or its host had not looked at it yet
		}
		before, now, same := metBy(w), metBy(c), w.Started.Equal(c.Started)
		f.mu.met.Kills += grown(before.Kills, now.Kills, same)
		f.mu.met.ThrottledMs += grown(before.ThrottledMs, now.ThrottledMs, same)
		f.mu.met.Restarts += grown(before.Restarts, now.Restarts, same)
	}
}

// grown is what a container's counter has counted. One that is less than it was began anew: with another start of the container all of it
// is new; else it is its host's agent that started, and still counts what it said before.
func grown(was, now int64, same bool) int64 {
	switch {
	case now >= was:
		return now - was
	case same:
		return 0
	}
	return now
}
