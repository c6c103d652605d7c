package talk

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"hardnode.dev/agent/console/view"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/console"
	"hardnode.dev/internal/wire/install"
	"hardnode.dev/internal/wire/slots"
	"hardnode.dev/internal/wire/storage"
)

func runLogin(ctx context.Context, s *Session, _ args) error { return s.login(ctx) }

func runLogout(ctx context.Context, s *Session, _ args) error {
	s.Close(ctx)
	return nil
}

func runRestart(ctx context.Context, s *Session, a args) error {
	id, err := wire.ParseCTID(a.words[0])
	if err != nil {
		return misuse{err}
	}
	if err := s.change(ctx, "/v1/containers/"+id.String()+"/restart", struct{}{}, nil); err != nil {
		return err
	}
	s.Line(fmt.Sprintf("container %s was stopped; it is started again", id))
	return nil
}

func runSlotsTry(ctx context.Context, s *Session, a args) error {
	within, err := a.number("within", 0)
	if err != nil {
		return misuse{err}
	}
	r := slots.Request{Action: slots.Try, Reboot: a.has("reboot"), Within: int64(within)}
	if len(a.words) > 0 {
		r.Slot = slots.Name(a.words[0])
	}
	return s.slots(ctx, a, r)
}

// runSlotsCopy waits until the slot is written: that takes seconds, on a slow disk a minute.
func runSlotsCopy(ctx context.Context, s *Session, a args) error {
	r := slots.Request{Action: slots.Copy}
	if len(a.words) > 0 {
		r.Slot = slots.Name(a.words[0])
	}
	var st slots.Status
	err := s.change(ctx, "/v1/slots", r, &st)
	for err == nil && st.Busy != "" {
		if !run.Wait(ctx, time.Second) {
			return ctx.Err()
		}
		st = slots.Status{}
		err = s.Agent.Get(ctx, "/v1/slots", &st)
	}
	if err == nil && st.Failed != "" {
		err = errors.New(st.Failed)
	}
	if err != nil {
		return err
	}
	s.show(a, st, view.Slots(st, time.Now(), 0))
	return nil
}

func runSlotsRollback(ctx context.Context, s *Session, a args) error {
	return s.slots(ctx, a, slots.Request{Action: slots.Rollback, Reboot: a.has("reboot")})
}

func (s *Session) slots(ctx context.Context, a args, r slots.Request) error {
	var st slots.Status
	if err := s.change(ctx, "/v1/slots", r, &st); err != nil {
		return err
	}
	s.show(a, st, view.Slots(st, time.Now(), 0))
	if !a.has("json") && !r.Reboot {
		s.Line("it counts from the next boot on: reboot")
	}
	return nil
}

func runInstall(ctx context.Context, s *Session, a args) error {
	want := install.Spec{DryRun: a.has("dry-run"), Encrypt: a.flags["encrypt"]}
	switch {
	case len(a.words) == 1:
		want.Disk.Path = a.words[0]
	case len(a.words) > 1:
		want.Disks = []install.Rule{{Path: a.words[0]}, {Path: a.words[1]}}
	}
	switch names := strings.Split(a.flags["wipe"], ","); len(names) {
	case 1:
		want.Wipe = names[0]
	default:
		want.Wipes = names
	}
	if err := want.Validate(); err != nil {
		return misuse{err}
	}
	var st install.Status
	if err := s.change(ctx, "/v1/install", console.Install{Spec: want}, &st); err != nil {
		return err
	}
	s.show(a, st, view.Plan(st, 0))
	return nil
}

// runFill has another disk filled: in the place of one that is gone, or as the second one of a host on one disk (add).
func runFill(add bool) func(context.Context, *Session, args) error {
	return func(ctx context.Context, s *Session, a args) error {
		want := storage.Replace{Add: add, Wipe: a.flags["wipe"], DryRun: a.has("dry-run")}
		if len(a.words) > 0 {
			want.Disk.Path = a.words[0]
		}
		if err := want.Validate(); err != nil {
			return misuse{err}
		}
		var st storage.Status
		if err := s.change(ctx, "/v1/storage", want, &st); err != nil {
			return err
		}
		s.show(a, st, view.Disks(st, 0))
		return nil
	}
}

func runReboot(ctx context.Context, s *Session, a args) error { return s.leave(ctx, a, false) }

func runPowerOff(ctx context.Context, s *Session, a args) error { return s.leave(ctx, a, true) }

func (s *Session) leave(ctx context.Context, a args, off bool) error {
	return s.change(ctx, "/v1/leave", console.Leave{PowerOff: off, Reason: strings.Join(a.words, " ")}, nil)
}

func runActivate(ctx context.Context, s *Session, a args) error {
	var done console.Activated
	if err := s.change(ctx, "/v1/activate", console.Activate{Text: secret.Text(a.words[0])}, &done); err != nil {
		return err
	}
	s.show(a, done, []string{"host " + cmp.Or(done.Name, "without a name yet") + " has its configuration", "kept: " + done.Kept})
	return nil
}

func runUnlock(ctx context.Context, s *Session, a args) error {
	key := secret.Text(strings.Join(a.words, ""))
	if err := s.Agent.Post(ctx, "/v1/unlock", console.Unlock{TTY: s.TTY, Key: key}, nil); err != nil {
		return err
	}
	s.Line("STATE opens again; the host reboots")
	return nil
}

func runReset(ctx context.Context, s *Session, a args) error {
	name, given := a.flags["name"]
	if !given {
		s.Line("all containers of this host, all their data, and the host's identity are lost")
		var err error
		if name, err = s.Question(ctx, "type the host's name: ", false); err != nil {
			return err
		}
	}
	if err := s.change(ctx, "/v1/reset", console.Reset{Name: name}, nil); err != nil {
		return err
	}
	s.Line("the host reboots, and is made empty")
	return nil
}
