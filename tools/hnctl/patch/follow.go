package patch

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/tools/hnctl/app"
)

// followEvery is how often a rollout is looked at.
const followEvery = time.Second

// named is the rollout that is meant: the one named, or the newest, which is the one under way if there is one.
func named(ctx context.Context, a *app.App, args []string) (string, error) {
	if len(args) == 1 {
		return args[0], nil
	}
	list, err := app.Items[operator.Rollout](ctx, a, "/rollouts?limit=1")
	if err != nil {
		return "", err
	}
	if len(list) == 0 {
		return "", app.WithCode(app.ExitNotFound, errors.New("there was no rollout yet; begin one with: hnctl patch start RELEASE"))
	}
	return list[0].ID, nil
}

func status(a *app.App) *cobra.Command {
	var watch bool
	c := &cobra.Command{
		Use: "status [ROLLOUT]", Short: "How far a rollout is; the newest without a name", Args: cobra.MaximumNArgs(1),
		Example: "  hnctl patch status\n  hnctl patch status --watch",
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := named(cmd.Context(), a, args)
			if err != nil {
				return err
			}
			r, err := app.Get[operator.Rollout](cmd.Context(), a, rolloutPath(id))
			if err != nil {
				return err
			}
			if watch && !r.State.Final() {
				return follow(cmd.Context(), a, r)
			}
			return a.Show(r, r.ID, func(t *app.Table) { fillRollout(t, r, time.Now()) })
		},
	}
	c.Flags().BoolVarP(&watch, "watch", "w", false, "follow it to its end")
	return c
}

// follow shows a rollout until it has ended: one line that changes on a terminal, else a line for each change. The orchestrator may be away
// meanwhile: its own host is patched too.
func follow(ctx context.Context, a *app.App, r operator.Rollout) error {
	api, err := a.API()
	if err != nil {
		return err
	}
	ctx, cancel := a.Limit(ctx)
	defer cancel()
	tty, quiet, lost, said := app.IsTerminal(a.Talk), a.Output != "table" && !app.IsTerminal(a.Talk), false, ""
	for {
		switch text := line(r); {
		case quiet:
		case tty:
			fmt.Fprintf(a.Talk, "\r%s\x1b[K", cut(app.Clean(text), 140))
		case key(r) != said:
			said = key(r)
			a.Say("%s", app.Clean(text))
		}
		if r.State.Final() {
			break
		}
		if !run.Wait(ctx, followEvery) {
			if tty {
				fmt.Fprintln(a.Talk)
			}
			return app.WithCode(app.ExitTimeout, fmt.Errorf("stopped waiting; the rollout goes on, see it with: hnctl patch status %s",
				r.ID))
		}
		var next operator.Rollout
		err := api.Call(ctx, http.MethodGet, operator.Prefix+rolloutPath(r.ID), nil, &next)
		var refused *operator.Problem
		switch {
		case err == nil:
			r, lost = next, false
		case errors.As(err, &refused) && refused.Code != operator.Unavailable && refused.Code != operator.Internal:
			return err
		case !lost && ctx.Err() == nil:
			lost = true
			a.Say("%sthe platform does not answer now; waiting for it: %v", map[bool]string{true: "\n"}[tty], err)
		}
	}
	if tty {
		fmt.Fprintln(a.Talk)
	}
	if err := a.Show(r, r.ID, func(t *app.Table) { fillRollout(t, r, time.Now()) }); err != nil {
		return err
	}
	if r.State != operator.RolloutDone {
		return app.WithCode(app.ExitFailed, fmt.Errorf("rollout %s was %s: %s", r.ID, r.State, r.Reason))
	}
	return nil
}

// key changes when a line is worth saying again where lines stay: not for each percent and second.
func key(r operator.Rollout) string {
	text := fmt.Sprint(r.State, r.Cohort)
	for _, v := range r.Visits {
		text += fmt.Sprint(v.State, v.Step)
	}
	return text
}

func cut(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}
