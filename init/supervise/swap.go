package supervise

import (
	"context"
	"errors"
	"fmt"
	"time"

	"hardnode.dev/init/proc"
	"hardnode.dev/internal/wire/boot"
)

// ErrStopped: the service has been stopped, and is started no more.
var ErrStopped = errors.New("the service has been stopped")

// Swap has the service run another program in place of the one that runs, with the same arguments and the descriptors that it stored. The
// one that runs is told to end, as at its end. Swap returns when the other was started, or could not be: from then on it is kept running as
// any; see Status.
func (h *Handle) Swap(ctx context.Context, program string) error {
	o := swap{program, make(chan struct{})}
	select {
	case h.svc.swaps <- o:
	case <-h.gone:
		return fmt.Errorf("swap the program of service %s: %w", h.svc.Name, ErrStopped)
	case <-ctx.Done():
		return fmt.Errorf("swap the program of service %s: %w", h.svc.Name, ctx.Err())
	}
	select { // it gives way within its own time
	case <-o.begun:
		return nil
	case <-h.gone:
		return fmt.Errorf("swap the program of service %s: %w", h.svc.Name, ErrStopped)
	}
}

// Status is the service's state.
func (h *Handle) Status() boot.ServiceStatus {
	h.svc.mu.Lock()
	defer h.svc.mu.Unlock()
	return h.svc.mu.status
}

// swap makes another program the service's.
func (s *service) swap(program string) {
	s.Argv = append([]string{program}, s.Argv[1:]...)
	s.set(Starting, func(st *boot.ServiceStatus) { st.Program = program })
}

// giveWay ends the program that runs, for another one.
func (s *service) giveWay(child *proc.Child) {
	s.tell(child)
	why, dead := s.stop(child, time.Now(), true)
	if why != "" {
		s.sup.Say("service %s: gives way to another program: %s", s.Name, why)
	}
	if !dead { // two of it would be at one work
		<-child.Done()
	}
	s.set(Starting, func(st *boot.ServiceStatus) { st.PID = 0 })
}
