package container

import (
	"path/filepath"
	"time"

	"hardnode.dev/agent/container/cgroup"
	"hardnode.dev/agent/container/record"
	"hardnode.dev/agent/quotaview"
	"hardnode.dev/agent/sys"
	"hardnode.dev/internal/wire"
)

// A container that does nothing is not looked at as a whole each time: what it has and uses is what it was. That it does nothing is seen
// by its processor time; what others do to it, by its record, its folder on disk and forgetSet. So hundreds of idle ones cost little.

// quietAfter is how long a container has used no processor time before it is taken for quiet: what it wrote last is on the disk, and
// counted there, by then. quietFor is how long it is taken for quiet without a whole look.
const (
	quietAfter = 45 * time.Second
	quietFor   = 4 * time.Minute
)

// idleMicros is the processor time that does not count: of a timer that goes off and finds nothing.
const idleMicros = 500

// signs are what shows that a container is as it was.
type signs struct {
	pid     int
	started time.Time
	folder  time.Time // when an entry of its folder on disk changed
	cpu     int64     // microseconds
}

// same tells whether nothing happened between two signs of one container.
func (s signs) same(was signs) bool {
	return s.pid != 0 && s.pid == was.pid && s.started.Equal(was.started) && s.folder.Equal(was.folder) && s.cpu >= was.cpu &&
		s.cpu-was.cpu <= idleMicros
}

// seen is the last whole look at a running container.
type seen struct {
	o      Observed
	spaces []quotaview.Space
	signs  signs
	since  time.Time // when they became what they are
	when   time.Time
}

// holds tells whether it need not be looked at again. Containers are not all due at once.
func (s seen) holds(id wire.CTID, is signs, now time.Time) bool {
	due := quietFor + time.Duration(id%64)*time.Second
	return is.same(s.signs) && s.when.Sub(s.since) >= quietAfter && now.Sub(s.when) < due
}

// signsOf reads the signs of a container that runs; none if something of it is not as it should be.
func (r *Runtime) signsOf(id wire.CTID, rec record.Record) signs {
	folder, err := r.data.Changed(id)
	if err != nil || rec.PID == 0 || rec.Damage != nil {
		return signs{}
	}
	text, err := sys.ReadSmall(filepath.Join(r.cgroup(id), "cpu.stat"))
	if err != nil {
		return signs{}
	}
	return signs{pid: rec.PID, started: rec.Started, folder: folder, cpu: cgroup.Number(text, "usage_usec")}
}

// quiet is what was seen of a container at the last whole look, if it has done nothing since; and what keep takes.
func (r *Runtime) quiet(id wire.CTID, rec record.Record, now time.Time) (was seen, is signs, ok bool) {
	is = r.signsOf(id, rec)
	r.mu.Lock()
	was, ok = r.mu.seen[id]
	r.mu.Unlock()
	if !ok || !was.holds(id, is, now) {
		return was, is, false
	}
	if alive, err := cgroup.Populated(r.cgroup(id)); err != nil || !alive {
		return was, is, false
	}
	was.o.Booting = r.boots.Boots(id)
	return was, is, true
}

// keep notes a whole look, unless somebody has changed the container meanwhile; changes is r.mu.changes from before it.
func (r *Runtime) keep(id wire.CTID, is signs, o Observed, spaces []quotaview.Space, now time.Time, changes uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if o.State != StateRunning || o.Trouble != "" || changes != r.mu.changes {
		delete(r.mu.seen, id)
		return
	}
	s := seen{o, spaces, is, now, now}
	if was, ok := r.mu.seen[id]; ok && is.same(was.signs) {
		s.since, s.signs.cpu = was.since, was.signs.cpu
	}
	r.mu.seen[id] = s
}
