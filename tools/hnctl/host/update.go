package host

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/tools/hnctl/app"
)

func hostUpdate(a *app.App) *cobra.Command {
	var want operator.OrderSystem
	var stage, hot, kexec, cancel, wait bool
	var within time.Duration
	c := &cobra.Command{
		Use: "update HOST", Short: "Have an installed host run another release: fetch it, try it, keep it when it is well",
		Args: cobra.ExactArgs(1),
		Long: "Orders the release of a host's system. The host looks at the signed metadata of both repositories, fetches the blocks " +
			"that it lacks\ninto the slot that is not booted, reboots into it, and keeps it when agent, orchestrator link, gossip, " +
			"storage and a smoke container are well in time;\nelse it goes back by itself, and does not try the order again. With " +
			"--hot its programs are replaced while the host\nand its containers run, if nothing but programs differs; the next boot is " +
			"from the slot. With --kexec\nthe kernel that runs starts the release, which saves the time of the firmware. Without " +
			"--release and --cancel\nit shows how far it is.",
		Example: "  hnctl host update host-1 --release 1.2.0 --stage\n  hnctl host update host-1 --release 1.2.0 --wait\n" +
			"  hnctl host update host-1 --release 1.2.0 --hot --wait\n" +
			"  hnctl host update host-1 --cancel",
		RunE: func(cmd *cobra.Command, args []string) error {
			path := "/hosts/" + url.PathEscape(args[0]) + "/system"
			changed := cmd.Flags().Changed
			switch {
			case cancel && (changed("release") || stage || hot || kexec):
				return app.Usage(cmd, "--cancel: takes an order back; leave --release, --stage, --hot and --kexec out")
			case stage && hot, stage && kexec, hot && kexec:
				return app.Usage(cmd, "--stage, --hot and --kexec: give one of them")
			case !changed("release") && (stage || hot || kexec || changed("within") || changed("reason")):
				return app.Usage(cmd, "--release is missing: say which release")
			case changed("release") && want.Release == "":
				return app.Usage(cmd, "--release is empty: say which release, such as 1.2.0; to take an order back give --cancel")
			case changed("within") && (within < host.LeastWithinSec*time.Second || within > host.MostWithinSec*time.Second):
				return app.Usage(cmd, "--within %s: want 30s to 2h", within)
			}
			var is operator.HostSystem
			var err error
			switch {
			case cancel:
				if err = a.Call(cmd.Context(), http.MethodDelete, path, nil, &is); err == nil {
					a.Say("host %s: nothing is wanted of its system any more; what it runs, it runs on", args[0])
				}
			case want.Release == "":
				is, err = app.Get[operator.HostSystem](cmd.Context(), a, path)
			default:
				switch want.Step = string(host.Switch); {
				case stage:
					want.Step = string(host.Stage)
				case hot:
					want.Step = string(host.Hot)
				default:
					if kexec {
						want.Step = string(host.Kexec)
					}
					if err := confirmUpdate(cmd.Context(), a, args[0], want.Release); err != nil {
						return err
					}
				}
				if changed("within") {
					want.WithinSec = int64(within / time.Second)
				}
				err = a.Call(cmd.Context(), http.MethodPut, path, want, &is)
			}
			if err == nil && wait && is.Wanted != nil {
				is, err = updated(cmd.Context(), a, args[0], path, *is.Wanted)
			}
			if err != nil {
				return err
			}
			return a.Show(is, args[0], func(t *app.Table) { systemFields(t, is) })
		},
	}
	c.Flags().StringVar(&want.Release, "release", "", "the release, one that was imported (hnctl release list)")
	c.Flags().BoolVar(&stage, "stage", false, "only write it into the slot that is not booted")
	c.Flags().BoolVar(&hot, "hot", false, "replace only programs, without a reboot; refused if more than those differs")
	c.Flags().BoolVar(&kexec, "kexec", false, "boot it without the firmware, by the kernel that runs; refused where that can't be")
	c.Flags().BoolVar(&cancel, "cancel", false, "take the order back: a host that has not switched yet does nothing more")
	c.Flags().BoolVar(&wait, "wait", false, "until it is done, or has failed")
	c.Flags().DurationVar(&within, "within", 10*time.Minute, "how long it may take, from its start, to be well")
	c.Flags().StringVar(&want.Reason, "reason", "", "why, in one line: it is recorded, and is the reason of the reboot")
	c.Flags().BoolVarP(&a.Yes, "yes", "y", false, "don't ask")
	return c
}

// confirmUpdate asks for the host's name: the host will be rebooted.
func confirmUpdate(ctx context.Context, a *app.App, name, release string) error {
	h, err := app.Get[operator.Host](ctx, a, "/hosts/"+url.PathEscape(name))
	if err != nil {
		return err
	}
	all, err := app.Items[operator.Host](ctx, a, "/hosts")
	if err != nil {
		return err
	}
	return a.ConfirmName(fmt.Sprintf("reboot host %s into release %s: %s", h.Name, release, operator.LeavingMeans(h, all, false)), h.Name)
}

// updated waits until what was ordered is done, and says what the host does meanwhile. The orchestrator may run on that host.
func updated(ctx context.Context, a *app.App, name, path string, w operator.WantedSystem) (is operator.HostSystem, err error) {
	ctx, cancel := a.Limit(ctx)
	defer cancel()
	said, lost := "", false
	for run.Wait(ctx, leftEvery) {
		next, err := app.Get[operator.HostSystem](ctx, a, path)
		var refused *operator.Problem
		if errors.As(err, &refused) && refused.Code != operator.Unavailable && refused.Code != operator.Internal {
			return is, err
		}
		if err != nil {
			if !lost && ctx.Err() == nil {
				lost = true
				a.Say("the orchestrator does not answer now; waiting for it: %v", err)
			}
			continue
		}
		is = next
		if is.Wanted == nil || is.Wanted.Order != w.Order {
			return is, app.WithCode(app.ExitConflict, fmt.Errorf("host %s: the order was taken back, or another one was given", name))
		}
		s := is.Status
		if s == nil || s.Order != w.Order {
			continue
		}
		if line := systemLine(*s); line != said {
			said = line
			a.Say("host %s: %s", name, line)
		}
		switch s.State {
		case host.SystemDone:
			return is, nil
		case host.SystemIdle:
			return is, nil
		case host.SystemStaged:
			if w.Step == string(host.Stage) {
				return is, nil
			}
		case host.SystemFailed, host.SystemRefused:
			return is, app.WithCode(app.ExitConflict, fmt.Errorf("host %s: %s", name, systemLine(*s)))
		}
	}
	return is, app.WithCode(app.ExitTimeout, fmt.Errorf("host %s: no end is seen yet; it goes on, see it with: hnctl host update %s", name,
		name))
}

// systemLine is how a system is, in a line that does not change with every byte.
func systemLine(s host.SystemStatus) string {
	text := string(s.State)
	switch s.State {
	case host.SystemIdle, host.SystemDone, host.SystemTrying:
		text += ", runs release " + s.Runs()
	default:
		text += " " + s.Target
	}
	if s.State == host.SystemStaged && s.Fetched > 0 {
		text += fmt.Sprintf(", %d KiB fetched", s.Fetched>>10)
	}
	for _, more := range append([]string{s.Reason}, s.Waits...) {
		if more != "" {
			text += "; " + more
		}
	}
	return strings.ReplaceAll(text, "  ", " ")
}

// systemFields shows what is wanted and how it is.
func systemFields(t *app.Table, is operator.HostSystem) {
	if s := is.Status; s != nil {
		from := "slot " + string(s.Slot)
		if s.Slot == "" {
			from = "no slot"
		}
		if s.Hot != "" {
			from += fmt.Sprintf("; its programs are those of release %s (hot)", s.Hot)
		}
		t.Fields("system", fmt.Sprintf("release %s, %s", s.Release, from))
		says := systemLine(*s)
		if s.State == host.SystemFetching && s.Total > 0 {
			says += fmt.Sprintf(" (%d of %d MiB, %d KiB of them fetched)", s.Bytes>>20, s.Total>>20, s.Fetched>>10)
		}
		t.Fields("update", says)
		if s.Deadline > 0 {
			t.Fields("goes back", app.Stamp(time.Unix(s.Deadline, 0)))
		}
	}
	if w := is.Wanted; w != nil {
		text := fmt.Sprintf("release %s, %s; ordered by %s, %s", w.Release, w.Step, w.By, app.Stamp(w.At))
		if w.Reason != "" {
			text += ": " + w.Reason
		}
		t.Fields("wanted", text)
	}
}
