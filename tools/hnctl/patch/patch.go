// Package patch is hnctl's commands on rollouts: a release of the platform on its way over the hosts.
//
// Owns: how a rollout is planned, started, followed, changed and reported.
// In: arguments and flags; an app.App.
// Out: requests to the API; tables, and a line that follows a rollout.
// Never: knows the other nouns' commands, or decides what the Patcher decides.
package patch

import (
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/tools/hnctl/app"
)

// Group is the commands on rollouts.
func Group(a *app.App) *cobra.Command {
	return app.Group("patch", "Patch the platform: a release goes over the hosts, the canary first, and stops itself", plan(a), start(a),
		status(a), change(a, "pause", "Begin no further visit; those that have begun go to their end"),
		change(a, "resume", "Let a paused rollout go on"), change(a, "abort", "End a rollout: what was not committed is taken back"),
		history(a), report(a), components(a), enable(a))
}

func rolloutPath(id string) string { return "/rollouts/" + url.PathEscape(id) }

// policyFlags are the flags of a policy.
type policyFlags struct {
	operator.RolloutPolicy
	canarySoak, soak, health, boot time.Duration
}

func (f *policyFlags) add(c *cobra.Command) {
	fl := c.Flags()
	fl.StringVar(&f.Canary, "canary", "", "the host that is patched first and alone (default: the user host with the least to lose)")
	fl.IntSliceVar(&f.Cohorts, "cohorts", nil, "hosts of each cohort after the canary, the last one again and again (default: 2,4,8,…)")
	fl.IntVar(&f.Away, "away", 0, "hosts visited at once, at most (default: one of 50, at least one)")
	fl.IntVar(&f.Budget, "budget", 0, "hosts that may be unreachable or not take the release before it stops itself (default: one of 50)")
	fl.IntVar(&f.Restarts, "restarts", 0, "restarts of a visited host's nodes before it stops itself (default: 3)")
	fl.StringVar(&f.Drain, "drain", "", "replace: what no data ties to a host is replaced elsewhere first; stop: all its nodes stop "+
		"(default: replace)")
	fl.StringVar(&f.Method, "method", "", "reboot; hot: replace programs while hosts run, stop where more than those differs; auto: hot, "+
		"and reboot there (default: reboot)")
	fl.DurationVar(&f.canarySoak, "canary-soak", 0, "how long the canary is watched (default: 30 m, of a high release 10 m, critical 2 m)")
	fl.DurationVar(&f.soak, "soak", 0, "how long each other cohort is watched (default: 15 m, 5 m, 1 m)")
	fl.DurationVar(&f.health, "health", 0, "how long a host has to be well without a break before the release is committed (default: 1 m)")
	fl.DurationVar(&f.boot, "boot", 0, "how long a host may take to be well before it goes back by itself (default: 10 m)")
	fl.StringArrayVar(&f.Windows, "window", nil, "visits begin in these only, in UTC: "+
		"'sat,sun 22:00-04:00' or '01:00-05:00'; may be given again")
}

// policy is what the flags say.
func (f *policyFlags) policy(c *cobra.Command) (operator.RolloutPolicy, error) {
	p := f.RolloutPolicy
	for _, x := range []struct {
		name string
		from time.Duration
		to   *int64
	}{{"canary-soak", f.canarySoak, &p.CanarySoakSec}, {"soak", f.soak, &p.SoakSec}, {"health", f.health, &p.HealthSec},
		{"boot", f.boot, &p.BootSec}} {
		if c.Flags().Changed(x.name) && x.from < time.Second {
			return p, app.Usage(c, "--%s %s: want at least a second", x.name, x.from)
		}
		*x.to = int64(x.from / time.Second)
	}
	return p, nil
}

func plan(a *app.App) *cobra.Command {
	var f policyFlags
	c := &cobra.Command{
		Use: "plan RELEASE", Short: "What a rollout of a release would do; nothing is changed", Args: cobra.ExactArgs(1),
		Long: "Shows which hosts would be patched in which cohort, what becomes of each node and how long it is expected not to serve,\n" +
			"and which hosts would be refused and why. The flags are those of hnctl patch start.",
		Example: "  hnctl patch plan 1.4.0\n  hnctl patch plan 1.4.0 --canary host-3 --window 'sat,sun 01:00-05:00'",
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := f.policy(cmd)
			if err != nil {
				return err
			}
			var out operator.RolloutPlan
			if err := a.Call(cmd.Context(), http.MethodPost, "/rollouts/plan", operator.NewRollout{Release: args[0], Policy: p},
				&out); err != nil {
				return err
			}
			return showPlan(a, out)
		},
	}
	f.add(c)
	return c
}

func start(a *app.App) *cobra.Command {
	var f policyFlags
	var noWait bool
	c := &cobra.Command{
		Use: "start RELEASE", Short: "Patch hosts and components to a release; shows the plan in short and asks first",
		Args: cobra.ExactArgs(1),
		Long: "Patches the hosts to a release that was imported: one canary first, then growing cohorts, each watched before the next.\n" +
			"A host that does not boot, is not well, or whose nodes get worse is taken back by itself, and the rollout stops itself and\n" +
			"says why. It goes on without hnctl: see hnctl patch status.",
		Example: "  hnctl patch start 1.4.0\n  hnctl patch start 1.4.0 --canary host-3 --soak 10m --yes --no-wait",
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := f.policy(cmd)
			if err != nil {
				return err
			}
			want := operator.NewRollout{Release: args[0], Policy: p}
			var out operator.RolloutPlan
			if err := a.Call(cmd.Context(), http.MethodPost, "/rollouts/plan", want, &out); err != nil {
				return err
			}
			hosts, components, stopped := summary(out)
			for _, w := range out.Warnings {
				a.Say("note: %s", w)
			}
			if len(out.Cohorts) > 0 {
				if err := a.Confirm(fmt.Sprintf("patch %d hosts and %d components in %d cohorts to %s, which stops %d nodes for a while "+
					"and takes about %s", hosts, components, len(out.Cohorts), out.Release, stopped, span(out.Seconds))); err != nil {
					return err
				}
			}
			var r operator.Rollout
			if err := a.Call(cmd.Context(), http.MethodPost, "/rollouts", want, &r); err != nil {
				return err
			}
			a.Say("rollout %s begins; end it with: hnctl patch abort %s", r.ID, r.ID)
			if noWait {
				return a.Show(r, r.ID, func(t *app.Table) { fillRollout(t, r, time.Now()) })
			}
			return follow(cmd.Context(), a, r)
		},
	}
	f.add(c)
	c.Flags().BoolVarP(&a.Yes, "yes", "y", false, "don't ask")
	app.NoWaitFlag(c, &noWait)
	return c
}

func change(a *app.App, verb, short string) *cobra.Command {
	return &cobra.Command{
		Use: verb + " [ROLLOUT]", Short: short, Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := named(cmd.Context(), a, args)
			if err != nil {
				return err
			}
			var r operator.Rollout
			if err := a.Call(cmd.Context(), http.MethodPost, rolloutPath(id)+"/"+verb, nil, &r); err != nil {
				return err
			}
			return a.Show(r, r.ID, func(t *app.Table) { fillRollout(t, r, time.Now()) })
		},
	}
}

func history(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "history", Short: "The last rollouts, newest first", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := app.Items[operator.Rollout](cmd.Context(), a, "/rollouts")
			if err != nil {
				return err
			}
			return a.Show(list, app.Joined(list, func(r operator.Rollout) string { return r.ID }), func(t *app.Table) {
				t.Head("ROLLOUT", "RELEASE", "SEVERITY", "STATE", "PROGRESS", "BY", "BEGAN", "TOOK", "NOTE")
				for _, r := range list {
					took := ""
					if !r.Ended.IsZero() {
						took = span(int64(r.Ended.Sub(r.Created) / time.Second))
					}
					t.Row(r.ID, r.Release, r.Severity, r.State, fmt.Sprintf("%d%%", r.Progress), r.By, app.Stamp(r.Created), took, r.Reason)
				}
			})
		},
	}
}

func report(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "report [ROLLOUT]", Short: "What a rollout cost: the seconds that each node did not serve, measured, and why",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := named(cmd.Context(), a, args)
			if err != nil {
				return err
			}
			r, err := app.Get[operator.RolloutReport](cmd.Context(), a, rolloutPath(id)+"/report")
			if err != nil {
				return err
			}
			return a.Show(r, r.Rollout, func(t *app.Table) { fillReport(t, r) })
		},
	}
}
