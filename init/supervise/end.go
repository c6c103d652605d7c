package supervise

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/init/proc"
	"hardnode.dev/internal/wire/boot"
)

// undying is how long a process that was killed is waited for at the end. One that waits in the kernel for a dead disk can't die.
const undying = 5 * time.Second

// end ends the service in order; child is nil when none runs. A service that has work to do at its end (StopMost) and died during that
// work, or did not run when the end came, is started once more and told to stop as soon as it is ready.
func (s *service) end(child *proc.Child) {
	began, why, dead := time.Now(), "", true
	switch {
	case child != nil:
		s.tell(child)
		why, dead = s.stop(child, began, true)
	case s.StopMost > 0:
		why = "not running"
	}
	if why != "" && dead && again(time.Since(began), s.StopMost) {
		s.sup.Say("service %s: %s; started again to end in order", s.Name, why)
		s.mu.Lock()
		s.mu.status.Restarts, s.mu.status.LastExit = s.mu.status.Restarts+1, why
		s.mu.Unlock()
		var err error
		if child, err = s.start(); err != nil {
			why = err.Error()
		} else {
			why, _ = s.stop(child, began, false)
		}
	}
	if why != "" {
		s.sup.Say("service %s: %s", s.Name, why)
	}
	s.set(Stopped, func(st *boot.ServiceStatus) { st.PID = 0 })
}

func (s *service) tell(child *proc.Child) {
	if err := child.Signal(unix.SIGTERM); err != nil && !errors.Is(err, unix.ESRCH) { // ESRCH: it has just ended
		s.sup.Say("service %s: %v", s.Name, err)
	}
}

// stop waits for the end of a child: s.Stop from when it was told, or longer if it asks for that, until s.StopMost after began. One that
// was not told yet is told when it is ready. What has not ended then is killed, and is dead soon, or waits for a device that does not
// answer. why is empty when it ended in order.
func (s *service) stop(child *proc.Child, began time.Time, told bool) (why string, dead bool) {
	limit := s.Stop
	if limit == 0 {
		limit = 10 * time.Second
	}
	from := time.Now()
	end := from.Add(limit)
	if !told {
		end = extended(began, from, from, readyToEnd, s.StopMost)
	}
	timer := time.NewTimer(time.Until(end))
	defer timer.Stop()
	for {
		select {
		case n := <-s.notes:
			s.hear(n)
			more := n.Extend
			if n.Ready && !told {
				told, more = true, max(more, limit)
				s.tell(child)
			}
			if later := extended(began, end, time.Now(), more, s.StopMost); later.After(end) {
				end = later
				timer.Reset(time.Until(end))
			}
			continue
		case e := <-child.Done():
			// who has nothing to do at the end may leave it to the signal
			if e != (proc.Exit{}) && (s.StopMost > 0 || e.Signal != unix.SIGTERM) {
				why = e.String()
			}
		case <-timer.C:
			why = fmt.Sprintf("did not stop within %s; killed", time.Since(from).Round(time.Second))
			child.Signal(unix.SIGKILL)
			select {
			case <-child.Done():
			case <-time.After(undying):
				return why + ", and not dead: it waits for a device that does not answer", false
			}
		}
		s.drain()
		s.killRest()
		return why, true
	}
}
