package host

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/tools/hnctl/app"
)

// hostLeave is `hnctl host reboot`, or `hnctl host shutdown`.
func hostLeave(a *app.App, powerOff bool) *cobra.Command {
	var want operator.LeaveHost
	var noWait bool
	var within time.Duration
	verb, short, path := "reboot", "Stop a host's containers and boot it anew", "/reboot"
	if powerOff {
		verb, short, path = "shutdown", "Stop a host's containers and switch it off", "/shutdown"
	}
	c := &cobra.Command{
		Use: verb + " HOST", Short: short + "; asks for its name first", Args: cobra.ExactArgs(1),
		Long: short + ". Containers are stopped each as its template says; they are started again when the host is\nback. Who ordered it " +
			"and why is on record (hnctl audit), and stands in the host's own reason of the boot that\nfollows. A host that nothing " +
			"reaches can't be told anything: go to its console, power button or BMC.",
		Example: "  hnctl host " + verb + " host-1 --reason 'memory module replaced'",
		RunE: func(cmd *cobra.Command, args []string) error {
			h, err := app.Get[operator.Host](cmd.Context(), a, "/hosts/"+url.PathEscape(args[0]))
			if err != nil {
				return err
			}
			all, err := app.Items[operator.Host](cmd.Context(), a, "/hosts")
			if err != nil {
				return err
			}
			means := operator.LeavingMeans(h, all, powerOff)
			if h.State.Answers() { // else the orchestrator says why it can't be
				if err := a.ConfirmName(fmt.Sprintf("%s host %s: %s", verb, h.Name, means), h.Name); err != nil {
					return err
				}
			}
			if want.WithinSec = int64(within / time.Second); within < 0 || within > 0 && want.WithinSec == 0 || within > 2*time.Hour {
				return app.Usage(cmd, "--within %s: want from 1s to 2h, such as 10m", within)
			}
			var leaving operator.LeavingHost
			if err := a.Call(cmd.Context(), http.MethodPost, "/hosts/"+url.PathEscape(string(h.ID))+path, want, &leaving); err != nil {
				return err
			}
			a.Say("host %s has begun to leave its machine: %s", leaving.Name, leaving.Means)
			if noWait {
				return nil
			}
			return left(cmd.Context(), a, leaving)
		},
	}
	c.Flags().StringVar(&want.Reason, "reason", "", "why, in one line: it is recorded")
	c.Flags().BoolVarP(&a.Yes, "yes", "y", false, "don't ask")
	app.NoWaitFlag(c, &noWait)
	if !powerOff {
		c.Flags().BoolVar(&want.Kexec, "kexec", false, "without the firmware, by the kernel that runs; refused where that can't be")
		c.Flags().DurationVar(&within, "within", 0, "how long its nodes wait for it; 0 is 5 minutes and the time they have to stop")
	}
	return c
}

// leftEvery is how often it is looked whether a host is gone, or back.
const leftEvery = time.Second

// left waits until a host has left its machine: for a reboot until it answers in another boot, for a shutdown until it reports no more.
// The orchestrator may run on that host: that it does not answer for a while is part of a reboot, and the end of a shutdown.
func left(ctx context.Context, a *app.App, l operator.LeavingHost) error {
	api, err := a.API()
	if err != nil {
		return err
	}
	ctx, cancel := a.Limit(ctx)
	defer cancel()
	path, began, said := operator.Prefix+"/hosts/"+string(l.ID), time.Now(), false
	for run.Wait(ctx, leftEvery) {
		var h operator.Host
		err := api.Call(ctx, http.MethodGet, path, nil, &h)
		var refused *operator.Problem
		switch {
		case errors.As(err, &refused) && refused.Code != operator.Unavailable && refused.Code != operator.Internal:
			return err
		case err != nil && l.What == "poweroff":
			a.Say("the orchestrator does not answer any more: it ran on host %s, or needs it", l.Name)
			return nil
		case err != nil:
			if !said && ctx.Err() == nil {
				said = true
				a.Say("the orchestrator does not answer now; waiting for it: %v", err)
			}
		case l.What == "poweroff" && !h.State.Answers():
			a.Say("host %s is off, or leaving: nothing is heard of it any more", l.Name)
			return nil
		case l.What != "poweroff" && h.State.Answers() && h.Boot != l.Boot:
			a.Say("host %s is back after %s", l.Name, time.Since(began).Round(time.Second))
			return nil
		}
	}
	return app.WithCode(app.ExitTimeout, fmt.Errorf("host %s: no end of its %s is seen yet; it goes on, see it with: hnctl host show %s",
		l.Name, l.What, l.Name))
}
