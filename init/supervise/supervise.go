// Package supervise keeps init's services running.
//
// Owns: each service's start, readiness, watchdog, stored descriptors, restart and stop; the notification socket; the services' logs.
// In: a list of Services; sd_notify datagrams with the sender's credentials.
// Out: the state of each service; one line of log for each event.
// Never: forks by itself (init/proc does), or decides what a boot needs.
package supervise

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/init/proc"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/boot"
)

// ExecArg, as first argument of init, makes it the exec helper: it sets LISTEN_PID to its own number and execs the rest.
const ExecArg = "exec-with-descriptors"

// Supervisor runs services. All fields are set before Listen.
type Supervisor struct {
	Procs  *proc.Table
	Socket string // path of the notification socket
	Cgroup string // directory in which each service gets its own
	LogDir string
	Self   string // path of init's own binary
	// Say prints one line on consoles and kmsg; Output gets each line a service writes.
	Say      func(format string, args ...any)
	Output   func(service, line string)
	Uptime   func() time.Duration
	Group    int  // may write to the socket besides root: a group of all services that run as another user; 0: nobody
	NoCgroup bool // tests without cgroup v2

	conn  *net.UnixConn
	pumps sync.WaitGroup
	keeps sync.WaitGroup
	mu    struct {
		sync.Mutex
		services []*service
		rings    map[string]*ring
	}
	births sync.RWMutex // held while a service is forked and its number noted
	marks  struct {
		sync.Mutex
		waiting map[string]chan struct{}
		last    int
	}
}

// Listen opens the notification socket.
func (s *Supervisor) Listen() error {
	os.Remove(s.Socket)
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: s.Socket, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("listen for notifications: %w", err)
	}
	mode := os.FileMode(0o600)
	if s.Group != 0 {
		mode, err = 0o660, os.Chown(s.Socket, 0, s.Group)
	}
	if err := errors.Join(err, os.Chmod(s.Socket, mode)); err != nil {
		conn.Close()
		return fmt.Errorf("listen for notifications: %w", err)
	}
	rc, err := conn.SyscallConn()
	if err != nil {
		conn.Close()
		return fmt.Errorf("listen for notifications: %w", err)
	}
	var set error
	err = rc.Control(func(fd uintptr) { set = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PASSCRED, 1) })
	if err := errors.Join(err, set); err != nil {
		conn.Close()
		return fmt.Errorf("listen for notifications: %w", err)
	}
	s.conn = conn
	s.mu.rings = map[string]*ring{}
	s.marks.waiting = map[string]chan struct{}{}
	return nil
}

// Notifications reads the socket until ctx ends.
func (s *Supervisor) Notifications(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { s.conn.Close() })
	defer stop()
	buf := make([]byte, maxMessage+1)
	oob := make([]byte, 4096)
	for failed := 0; ; {
		n, on, flags, _, err := s.conn.ReadMsgUnix(buf, oob)
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			s.Say("notifications: %v", err)
			run.Wait(ctx, run.Backoff(failed, 100*time.Millisecond, time.Minute, 0.5))
			failed++
			continue
		}
		failed = 0
		s.deliver(string(buf[:n]), oob[:on], flags)
	}
}

func (s *Supervisor) deliver(text string, oob []byte, flags int) {
	pid, files := ancillary(oob)
	if s.marked(text, pid) {
		return
	}
	m, err := parse(text)
	svc := s.byPID(pid)
	switch {
	case svc == nil:
		err = fmt.Errorf("notification from process %d, which is no service", pid)
	case flags&unix.MSG_CTRUNC != 0:
		err = fmt.Errorf("notification of service %s: too many descriptors in one datagram", svc.Name)
	}
	if err != nil {
		s.Say("%v", err)
		for _, f := range files {
			f.Close()
		}
		return
	}
	svc.notes <- note{m, files}
}

// markKey is the only line of a datagram init sends to itself.
const markKey = "X_HARDNODE_MARK="

// mark sends a datagram to ourselves; the channel is closed when it has come back, and with it all that was sent before.
func (s *Supervisor) mark() (back <-chan struct{}, forget func()) {
	ch := make(chan struct{})
	s.marks.Lock()
	s.marks.last++
	text := markKey + strconv.Itoa(s.marks.last)
	s.marks.waiting[text] = ch
	s.marks.Unlock()
	if c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: s.Socket, Net: "unixgram"}); err == nil {
		c.SetWriteDeadline(time.Now().Add(time.Second))
		c.Write([]byte(text))
		c.Close()
	}
	return ch, func() {
		s.marks.Lock()
		delete(s.marks.waiting, text)
		s.marks.Unlock()
	}
}

// marked closes the channel of a mark that came back; false: it is none.
func (s *Supervisor) marked(text string, pid int) bool {
	if pid != os.Getpid() || !strings.HasPrefix(text, markKey) {
		return false
	}
	s.marks.Lock()
	defer s.marks.Unlock()
	if ch := s.marks.waiting[text]; ch != nil {
		close(ch)
		delete(s.marks.waiting, text)
	}
	return true
}

// ancillary takes the sender's number and the descriptors out of the control messages.
func ancillary(oob []byte) (pid int, files []*os.File) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return 0, nil
	}
	for _, m := range messages {
		if cred, err := unix.ParseUnixCredentials(&m); err == nil {
			pid = int(cred.Pid)
		}
		if fds, err := unix.ParseUnixRights(&m); err == nil {
			for _, fd := range fds {
				unix.CloseOnExec(fd)
				files = append(files, os.NewFile(uintptr(fd), "stored"))
			}
		}
	}
	return pid, files
}

// byPID finds the service a process belongs to: its main process, or any in its cgroup.
func (s *Supervisor) byPID(pid int) *service {
	if pid <= 0 {
		return nil
	}
	s.births.RLock()
	defer s.births.RUnlock()
	cgroup, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid)) // gone already: the main process's number decides
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, svc := range s.mu.services {
		svc.mu.Lock()
		main := svc.mu.status.PID
		svc.mu.Unlock()
		if main == pid || inCgroup(string(cgroup), filepath.Join(filepath.Base(s.Cgroup), svc.Name)) {
			return svc
		}
	}
	return nil
}

// inCgroup reads /proc/<pid>/cgroup (cgroups(7)): the v2 line is "0::/path".
func inCgroup(text, path string) bool {
	for line := range strings.Lines(text) {
		if at, ok := strings.CutPrefix(strings.TrimSpace(line), "0::/"); ok {
			return at == path || strings.HasPrefix(at, path+"/")
		}
	}
	return false
}

// Handle lets others wait for a service's first READY=1 and stop it.
type Handle struct {
	svc    *service
	cancel context.CancelFunc
	gone   chan struct{}
}

// Ready is closed when the service has been ready once.
func (h *Handle) Ready() <-chan struct{} { return h.svc.ready }

// Words is the service's last STATUS=.
func (h *Handle) Words() string {
	h.svc.mu.Lock()
	defer h.svc.mu.Unlock()
	return h.svc.mu.words
}

// Stop ends the service in order and waits until it has ended.
func (h *Handle) Stop() {
	h.cancel()
	<-h.gone
}

// Keep starts a service and keeps it running until ctx ends or the handle stops it. Wait waits for all.
func (s *Supervisor) Keep(ctx context.Context, spec Service) *Handle {
	ctx, cancel := context.WithCancel(ctx)
	svc := &service{Service: spec, sup: s, notes: make(chan note, 64), swaps: make(chan swap), ready: make(chan struct{})}
	for _, f := range spec.Held {
		svc.fds.add(f.Name(), f)
	}
	svc.mu.status.Program = spec.Argv[0]
	svc.mu.status.Name, svc.mu.away = spec.Name, time.Now() // whoever asks for its health before it is forked
	h := &Handle{svc: svc, cancel: cancel, gone: make(chan struct{})}
	s.mu.Lock()
	s.mu.services = append(s.mu.services, svc)
	s.mu.Unlock()
	s.keeps.Add(1)
	go func() {
		defer s.keeps.Done()
		defer close(h.gone)
		if err := svc.keep(ctx); err != nil {
			s.Say("service %s: %v", spec.Name, err)
		}
	}()
	return h
}

// Wait returns when every service has been stopped.
func (s *Supervisor) Wait() { s.keeps.Wait() }

// Status is every service's state, in the order they were started.
func (s *Supervisor) Status() []boot.ServiceStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]boot.ServiceStatus, 0, len(s.mu.services))
	for _, svc := range s.mu.services {
		svc.mu.Lock()
		all = append(all, svc.mu.status)
		svc.mu.Unlock()
	}
	return all
}

// Healthy says whether the hardware watchdog may be fed, else which service it waits for.
func (s *Supervisor) Healthy(now time.Time) (ok bool, who string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, svc := range s.mu.services {
		if !svc.healthy(now) {
			return false, svc.Name
		}
	}
	return true, ""
}

// output handles one line a service wrote.
func (s *Supervisor) output(service, line string) {
	s.mu.Lock()
	r := s.mu.rings[service]
	if r == nil && s.mu.rings != nil {
		var err error
		if r, err = openRing(filepath.Join(s.LogDir, service)); err == nil {
			s.mu.rings[service] = r
		}
	}
	if r != nil {
		r.line(line)
	}
	s.mu.Unlock()
	if s.Output != nil {
		s.Output(service, line)
	}
}
