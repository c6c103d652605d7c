package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/install"
	"hardnode.dev/internal/wire/neighbour"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/session"
	"hardnode.dev/internal/wire/slots"
	"hardnode.dev/internal/wire/storage"
)

type installInput struct {
	Host string `path:"host" maxLength:"63"`
	Body operator.InstallHost
}

type slotsInput struct {
	Host string `path:"host" maxLength:"63"`
	Body operator.ChangeSlots
}

type replaceInput struct {
	Host string `path:"host" maxLength:"63"`
	Body operator.ReplaceDisk
}

type acknowledgeInput struct {
	Host string `path:"host" maxLength:"63"`
	Body operator.AcknowledgeDisk
}

func (s *Server) hostInstallation(ctx context.Context, c caller, in *hostInput) (out operator.HostInstallation, err error) {
	h, err := answering(c.world(), in.Host)
	if err != nil {
		return out, err
	}
	out.Status, err = asks[install.Status](ctx, s, h, host.SessionRequest{Install: &install.Ask{}})
	return out, err
}

// installHost puts a host's system onto one of its disks. It is answered once the host has begun, or has planned it.
func (s *Server) installHost(ctx context.Context, c caller, in *installInput) (out operator.HostInstallation, err error) {
	want := in.Body.Spec
	if err := want.Validate(); err != nil {
		return out, operator.NewProblem(operator.Invalid, "install", err.Error(), "correct it")
	}
	h, err := answering(c.world(), in.Host)
	if err != nil {
		return out, err
	}
	ask := func() (err error) {
		out.Status, err = asks[install.Status](ctx, s, h, host.SessionRequest{Install: &install.Ask{Do: &want}})
		return err
	}
	if want.DryRun {
		return out, ask()
	}
	return out, s.do(c, "host.install", fmt.Sprintf("hosts/%s wipe %s", h.Name, quoted(want.Wiped())), ask)
}

func (s *Server) hostSlots(ctx context.Context, c caller, in *hostInput) (out operator.HostSlots, err error) {
	h, err := answering(c.world(), in.Host)
	if err != nil {
		return out, err
	}
	out.Status, err = asks[slots.Status](ctx, s, h, host.SessionRequest{Slots: &slots.Ask{}})
	return out, err
}

func (s *Server) changeHostSlots(ctx context.Context, c caller, in *slotsInput) (out operator.HostSlots, err error) {
	want := in.Body.Request
	if err := want.Validate(); err != nil {
		return out, operator.NewProblem(operator.Invalid, "slots", err.Error(), "correct it")
	}
	h, err := answering(c.world(), in.Host)
	if err != nil {
		return out, err
	}
	return out, s.do(c, "host.slots", "hosts/"+h.Name+" "+string(want.Action)+" "+string(want.Slot), func() (err error) {
		out.Status, err = asks[slots.Status](ctx, s, h, host.SessionRequest{Slots: &slots.Ask{Do: &want}})
		return err
	})
}

func (s *Server) hostDisks(ctx context.Context, c caller, in *hostInput) (out operator.HostDisks, err error) {
	h, err := answering(c.world(), in.Host)
	if err != nil {
		return out, err
	}
	out.Status, err = asks[storage.Status](ctx, s, h, host.SessionRequest{Storage: &storage.Ask{}})
	return out, err
}

// replaceHostDisk has a host fill another disk in the place of one that is gone or was never there. It is answered once the host has begun,
// or has planned it.
func (s *Server) replaceHostDisk(ctx context.Context, c caller, in *replaceInput) (out operator.HostDisks, err error) {
	want := in.Body.Replace
	if err := want.Validate(); err != nil {
		return out, operator.NewProblem(operator.Invalid, "disk", err.Error(), "correct it")
	}
	h, err := answering(c.world(), in.Host)
	if err != nil {
		return out, err
	}
	ask := func() (err error) {
		out.Status, err = asks[storage.Status](ctx, s, h, host.SessionRequest{Storage: &storage.Ask{Do: &want}})
		return err
	}
	if want.DryRun {
		return out, ask()
	}
	what := "host.disk.replace"
	if want.Add {
		what = "host.disk.add"
	}
	return out, s.do(c, what, fmt.Sprintf("hosts/%s wipe %q", h.Name, want.Wipe), ask)
}

// scrubHostDisks has a host read all that lies on its DATA and compare checksums, now and not only once a month.
func (s *Server) scrubHostDisks(ctx context.Context, c caller, in *hostInput) (out operator.HostDisks, err error) {
	h, err := answering(c.world(), in.Host)
	if err != nil {
		return out, err
	}
	return out, s.do(c, "host.disk.scrub", "hosts/"+h.Name, func() (err error) {
		out.Status, err = asks[storage.Status](ctx, s, h, host.SessionRequest{Storage: &storage.Ask{Scrub: true}})
		return err
	})
}

// acknowledgeHostDisk has a host count the errors of a disk anew. They are on record.
func (s *Server) acknowledgeHostDisk(ctx context.Context, c caller, in *acknowledgeInput) (out operator.HostDisks, err error) {
	want := in.Body.Acknowledge
	if err := want.Validate(); err != nil {
		return out, operator.NewProblem(operator.Invalid, "disk", err.Error(), "see hnctl host disk show "+in.Host)
	}
	h, err := answering(c.world(), in.Host)
	if err != nil {
		return out, err
	}
	return out, s.do(c, "host.disk.acknowledge", fmt.Sprintf("hosts/%s %q errors %d", h.Name, want.Disk, want.Errors), func() (err error) {
		out.Status, err = asks[storage.Status](ctx, s, h, host.SessionRequest{Storage: &storage.Ask{Acknowledge: &want}})
		if err == nil && out.Acknowledged == 0 {
			err = operator.NewProblem(operator.Conflict, "hosts/"+h.Name, "it does not know how to count errors anew", "update its release")
		}
		return err
	})
}

// mostAnswer is the longest answer of a host, in bytes.
const mostAnswer = 1 << 20

// asks has a host answer a question in JSON.
func asks[T any](ctx context.Context, s *Server, h operator.Host, req host.SessionRequest) (out T, err error) {
	return asksWithin[T](ctx, s, h, req, leaveWait, "hosts/"+h.Name, "see hnctl host slots "+h.Name+", or hnctl host logs "+h.Name)
}

// asksWithin is asks with the time that the host may take, what its refusal is about, and where to look then.
func asksWithin[T any](ctx context.Context, s *Server, h operator.Host, req host.SessionRequest, within time.Duration,
	object, next string) (out T, err error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	link, err := s.Hub.Open(ctx, s.caller(ctx).Account, h.ID, req)
	if err != nil {
		return out, err
	}
	defer link.Close()
	line := session.Open(ctx, link.Conn, session.PersonEnd, session.Options{})
	defer line.Close()
	raw, readErr := io.ReadAll(io.LimitReader(line.Reader(host.ChanStdout), mostAnswer))
	exit, err := line.Exited()
	switch {
	case errors.Is(err, session.ErrBroken):
		return out, operator.NewProblem(operator.Unavailable, "hosts/"+h.Name, "it did not answer: "+err.Error(), "try again")
	case err != nil:
		return out, err
	case exit.Error != "" || exit.Code != 0:
		return out, operator.NewProblem(operator.Conflict, object, exit.Error, next)
	case readErr != nil:
		return out, readErr
	}
	if err := neighbour.Decode(raw, &out); err != nil {
		return out, fmt.Errorf("read the answer of host %s: %v", h.Name, err)
	}
	return out, nil
}

// quoted are names for a line of the audit: each in quotes, with spaces between.
func quoted(names []string) string { return strings.Trim(fmt.Sprintf("%q", names), "[]") }
