package supervise

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/init/proc"
	"hardnode.dev/internal/wire/boot"
)

// Service is one program init keeps running.
type Service struct {
	Name string
	Argv []string
	Env  []string
	// Ready: how long it may take to say READY=1 before it is killed; 0: as long as it likes (it waits for a person, or never says).
	Ready time.Duration
	// Watchdog: it must send WATCHDOG=1 at least this often once ready; 0: no promise, until it makes one with WATCHDOG_USEC.
	Watchdog time.Duration
	// Vital: the hardware watchdog is starved when it stays unready for VitalGrace.
	Vital bool
	// Stop: time between SIGTERM and the kill of its whole cgroup; 0 is 10 s.
	Stop time.Duration
	// StopMost: how far the service may extend that time itself, by EXTEND_TIMEOUT_USEC (sd_notify(3)); 0: not at all. A service with a
	// StopMost has work to do at its end: if it dies during that, it is started once more within the same time, to do the rest.
	StopMost  time.Duration
	MemoryMin int64 // bytes the kernel never reclaims from it
	CPUWeight int   // its share of the CPU among the services (cgroup v2 cpu.weight); 0 is 100
	// User is the user and group that it runs as, with no capabilities and no other group but Supervisor.Group; 0: root.
	User uint32
	// Held are descriptors that each process of it gets, as if the one before had stored them.
	Held []*os.File
	// Asks, if set, gives a value at least four times in each Watchdog while somebody waits for it, and none otherwise: since when somebody
	// has waited all the time. Its Watchdog counts only from then, and it need not beat else.
	Asks <-chan time.Time
}

// VitalGrace is how long a vital service may be away before the hardware watchdog is no longer fed.
const VitalGrace = time.Minute

// State of a service, as in boot.ServiceStatus.
const (
	Starting = "starting"
	Ready    = "ready"
	Backoff  = "backoff"
	Stopped  = "stopped"
)

// service is a Service at work. Its goroutine (keep) is the only one that starts, stops and kills it.
type service struct {
	Service
	sup    *Supervisor
	notes  chan note // from the notification socket
	swaps  chan swap // from Handle.Swap
	fds    fdstore
	ready  chan struct{} // closed at the first READY=1
	once   sync.Once
	cgroup string

	mu struct {
		sync.Mutex
		status boot.ServiceStatus
		words  string    // STATUS=
		away   time.Time // since when it has not been ready
	}
}

// swap has a service run another program; begun is closed when that was tried.
type swap struct {
	program string
	begun   chan struct{}
}

type note struct {
	message
	files []*os.File
}

func (s *service) set(state string, f func(*boot.ServiceStatus)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.status.State == Ready && state != Ready || s.mu.away.IsZero() {
		s.mu.away = time.Now()
	}
	if state != s.mu.status.State {
		s.mu.status.Since = s.sup.Uptime().Milliseconds()
	}
	s.mu.status.State = state
	if f != nil {
		f(&s.mu.status)
	}
}

func (s *service) healthy(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.Vital || s.mu.status.State == Ready || now.Sub(s.mu.away) < VitalGrace
}

// keep runs the service until ctx ends, then ends it.
func (s *service) keep(ctx context.Context) error {
	streak := 0
	var other *swap
	for {
		began := time.Now()
		if other != nil {
			s.swap(other.program)
		}
		child, err := s.start()
		if other != nil {
			close(other.begun)
			other, streak = nil, 0
		}
		var why string
		if err != nil {
			why = err.Error()
		} else {
			var over bool
			why, over, other = s.watch(ctx, child)
			if over {
				s.end(child)
				return nil
			}
			if other != nil {
				s.giveWay(child)
				continue
			}
		}
		var wait time.Duration
		wait, streak = next(streak, time.Since(began), rand.Float64())
		s.set(Backoff, func(st *boot.ServiceStatus) { st.PID, st.LastExit, st.Restarts = 0, why, st.Restarts+1 })
		s.sup.Say("service %s: %s; started again in %s", s.Name, why, wait.Round(time.Millisecond))
		var alive bool
		if alive, other = s.pause(ctx, wait); !alive {
			s.end(nil)
			return nil
		}
	}
}

// pause waits before a restart; what a dead process still had in the socket is dropped, but for descriptors it stored. Another program is
// not waited for.
func (s *service) pause(ctx context.Context, d time.Duration) (alive bool, other *swap) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case n := <-s.notes:
			s.keepFiles(n)
		case o := <-s.swaps:
			return ctx.Err() == nil, &o
		case <-timer.C:
			return ctx.Err() == nil, nil
		case <-ctx.Done():
			return false, nil
		}
	}
}

// start forks the service into its own cgroup with its stored descriptors.
func (s *service) start() (*proc.Child, error) {
	dir := filepath.Join(s.sup.Cgroup, s.Name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make cgroup: %w", err)
	}
	s.cgroup = dir
	// Without the controllers (tests) there are no such files.
	if s.MemoryMin > 0 {
		os.WriteFile(filepath.Join(dir, "memory.min"), []byte(strconv.FormatInt(s.MemoryMin, 10)), 0)
	}
	if s.CPUWeight > 0 {
		os.WriteFile(filepath.Join(dir, "cpu.weight"), []byte(strconv.Itoa(s.CPUWeight)), 0)
	}
	cg, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("open cgroup: %w", err)
	}
	defer cg.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make pipe: %w", err)
	}
	defer w.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		r.Close()
		return nil, err
	}
	defer null.Close()
	spec := proc.Spec{Argv: s.Argv, Files: append([]*os.File{null, w, w}, s.fds.files()...), Cgroup: cg, User: s.User}
	if s.sup.Group != 0 {
		spec.Groups = []uint32{uint32(s.sup.Group)}
	}
	if s.sup.NoCgroup {
		spec.Cgroup = nil
	}
	spec.Env = append([]string{"PATH=/usr/bin:/usr/sbin", "HOME=/root", "TERM=linux", "NOTIFY_SOCKET=" + s.sup.Socket}, s.Env...)
	if s.Watchdog > 0 {
		spec.Env = append(spec.Env, "WATCHDOG_USEC="+strconv.FormatInt(s.Watchdog.Microseconds(), 10))
	}
	if s.Asks != nil {
		spec.Env = append(spec.Env, boot.WatchdogAsked+"=1")
	}
	if n := len(s.fds); n > 0 {
		// LISTEN_PID must be the child's own number, which is known only after the fork: a short exec of ourselves fills it in.
		spec.Env = append(spec.Env, "LISTEN_FDS="+strconv.Itoa(n), "LISTEN_FDNAMES="+s.fds.names())
		spec.Argv = append([]string{s.sup.Self, ExecArg}, s.Argv...)
	}
	// A quick child may send a notification before its number is known here: whoever looks it up waits for this lock.
	s.sup.births.Lock()
	child, err := s.sup.Procs.Start(spec)
	if err == nil {
		s.set(Starting, func(st *boot.ServiceStatus) { st.PID = child.PID })
		s.mu.Lock()
		s.mu.words = "" // this one has said nothing yet
		s.mu.Unlock()
	}
	s.sup.births.Unlock()
	if err != nil {
		r.Close()
		return nil, err
	}
	s.sup.pumps.Add(1)
	go func() {
		defer s.sup.pumps.Done()
		defer r.Close()
		pump(r, func(line string) { s.sup.output(s.Name, line) })
	}()
	return child, nil
}

// watch looks after one run of the service; over is true when ctx ended and it still runs, other is not nil when it is to give way and
// still runs.
func (s *service) watch(ctx context.Context, child *proc.Child) (why string, over bool, other *swap) {
	p := promise{began: time.Now(), ready: s.Ready, beat: s.Watchdog, asked: s.Asks != nil}
	timer := time.NewTimer(p.look(p.began))
	defer timer.Stop()
	spared := 0 // how often it was not blamed because it had said something
	judge := func(now time.Time) string {
		why := p.broken(now, func() bool { return busy(child.PID) })
		if why == "" {
			spared = 0
			return ""
		}
		if s.heard(); len(s.notes) > 0 && spared < cap(s.notes) { // it may have said what it is blamed for not saying
			spared++
			return ""
		}
		return why
	}
	for {
		select {
		case e := <-child.Done():
			s.drain()
			s.killRest()
			return e.String(), false, nil
		case o := <-s.swaps:
			return "", false, &o
		case n := <-s.notes:
			if p.hear(n.message, time.Now()) {
				s.set(Ready, nil)
				s.once.Do(func() { close(s.ready) })
				s.sup.Say("service %s: ready, pid %d (%d ms)", s.Name, child.PID, time.Since(p.began).Milliseconds())
			}
			s.hear(n)
			if n.Trigger {
				return s.kill(child, "asked for the watchdog"), false, nil
			}
			timer.Reset(p.look(time.Now()))
		case since := <-s.Asks:
			now := time.Now()
			p.wanted(since, now)
			if why := judge(now); why != "" {
				return s.kill(child, why), false, nil
			}
		case <-timer.C:
			now := time.Now()
			if why := judge(now); why != "" {
				return s.kill(child, why), false, nil
			}
			timer.Reset(p.look(now))
		case <-ctx.Done():
			return "", true, nil
		}
	}
}

// say remembers STATUS= and shows it when it changed.
func (s *service) say(words string) {
	s.mu.Lock()
	changed := s.mu.words != words
	s.mu.words = words
	s.mu.Unlock()
	if changed {
		s.sup.Say("service %s: %s", s.Name, words)
	}
}

// keepFiles carries out FDSTORE and FDSTOREREMOVE; descriptors nobody asked to keep are closed.
func (s *service) keepFiles(n note) {
	if n.Remove {
		s.fds.remove(n.FDName)
	}
	for _, f := range n.files {
		if !n.Store || !s.fds.add(n.FDName, f) {
			f.Close()
		}
	}
}

// heard waits until all that the service had sent by now is in notes, or these are full.
func (s *service) heard() {
	mark, forget := s.sup.mark()
	defer forget()
	full := time.NewTicker(10 * time.Millisecond)
	defer full.Stop()
	for end := time.Now().Add(time.Second); time.Now().Before(end) && len(s.notes) < cap(s.notes); {
		select {
		case <-mark:
			return
		case <-full.C:
		}
	}
}

// drain takes what the ended process had sent before it ended, its last words too: the socket is in order, so all of it lies before a mark
// of our own.
func (s *service) drain() {
	mark, forget := s.sup.mark()
	defer forget()
	timer := time.NewTimer(time.Second)
	defer timer.Stop()
	for {
		select {
		case n := <-s.notes:
			s.hear(n)
			continue
		case <-mark:
		case <-timer.C:
		}
		break
	}
	for {
		select {
		case n := <-s.notes:
			s.hear(n)
		default:
			return
		}
	}
}

// hear takes what a service may say at any time.
func (s *service) hear(n note) {
	s.keepFiles(n)
	if n.Status != "" {
		s.say(n.Status)
	}
}

func (s *service) kill(child *proc.Child, why string) string {
	s.sup.Say("service %s: %s; killed", s.Name, why)
	child.Signal(unix.SIGKILL)
	<-child.Done()
	s.drain()
	s.killRest()
	return why
}

// killRest ends what the service left behind in its cgroup.
func (s *service) killRest() {
	if !s.sup.NoCgroup {
		os.WriteFile(filepath.Join(s.cgroup, "cgroup.kill"), []byte("1"), 0)
	}
}
