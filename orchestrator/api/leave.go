package api

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
	"unicode"

	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/session"
	"hardnode.dev/internal/wire/upkeep"
)

// leaveWait is how long a host may take to say that it has begun to leave its machine.
const leaveWait = 20 * time.Second

type leaveInput struct {
	Host string `path:"host" maxLength:"63"`
	Body operator.LeaveHost
}

// leaveHost orders a host to boot anew, or to switch itself off. It is answered once the host has begun.
func (s *Server) leaveHost(powerOff bool) func(context.Context, caller, *leaveInput) (operator.LeavingHost, error) {
	return func(ctx context.Context, c caller, in *leaveInput) (out operator.LeavingHost, err error) {
		w := c.world()
		h, err := answering(w, in.Host)
		if err != nil {
			return out, err
		}
		order := upkeep.Leave{PowerOff: powerOff, Kexec: in.Body.Kexec, By: orderer(c), Reason: in.Body.Reason}
		if powerOff && order.Kexec {
			return out, operator.NewProblem(operator.Invalid, "kexec", "a host that is switched off starts no other system", "leave it out")
		}
		if err := order.Validate(); err != nil {
			return out, operator.NewProblem(operator.Invalid, "reason", err.Error(), "give one line of at most 200 bytes")
		}
		what := "host.reboot"
		if powerOff {
			what = "host.shutdown"
		}
		// It is noted before the host is told: this orchestrator may run on it.
		if err := s.do(c, what, because(h, order.Reason), func() error {
			return s.Ops.Leave(ctx, h.ID, order, h.Boot, time.Duration(in.Body.WithinSec)*time.Second, func() (bool, error) {
				return s.order(ctx, h, order)
			})
		}); err != nil {
			return out, err
		}
		return operator.LeavingHost{ID: h.ID, Name: h.Name, What: order.What(), Boot: h.Boot,
			Means: operator.LeavingMeans(h, w.Hosts().All(), powerOff)}, nil
	}
}

// because names a host, and why something is done to it, for the audit record.
func because(h operator.Host, reason string) string {
	if reason == "" {
		return "hosts/" + h.Name
	}
	return fmt.Sprintf("hosts/%s %q", h.Name, reason)
}

// orderer is who orders it, in a line that fits.
func orderer(c caller) string {
	from := c.from
	if at, _, err := net.SplitHostPort(from); err == nil {
		from = at
	}
	who := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, fmt.Sprintf("%s from %s", c.Name, from))
	return strings.ToValidUTF8(who[:min(len(who), upkeep.MaxBy)], "")
}

// order has the host carry it out, and waits for its word. Heard: it does, or may.
func (s *Server) order(ctx context.Context, h operator.Host, order upkeep.Leave) (heard bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, leaveWait)
	defer cancel()
	link, err := s.Hub.Open(ctx, s.caller(ctx).Account, h.ID, host.SessionRequest{Leave: &order})
	if err != nil {
		return false, err
	}
	defer link.Close()
	line := session.Open(ctx, link.Conn, session.PersonEnd, session.Options{})
	defer line.Close()
	exit, err := line.Exited()
	switch {
	case errors.Is(err, session.ErrBroken):
		return true, operator.NewProblem(operator.Unavailable, "hosts/"+h.Name, "it was told to, and did not say that it will: "+
			err.Error(),
			"see whether it is booted anew: hnctl host show "+h.Name)
	case err != nil:
		return true, err
	case exit.Error != "" || exit.Code != 0:
		return false, operator.NewProblem(operator.Unavailable, "hosts/"+h.Name, "it does not: "+exit.Error, "see hnctl host logs "+h.Name)
	}
	return true, nil
}
