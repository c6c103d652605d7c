// Package operation is hnctl's commands on operations (op).
//
// Owns: how an operation is listed, shown, watched and cancelled.
// In: arguments and flags; an app.App.
// Out: requests to the API; tables.
// Never: knows the other nouns' commands, or decides what the orchestrator decides.
package operation

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/tools/hnctl/app"
)

// Group is the commands on operations.
func Group(a *app.App) *cobra.Command {
	return app.Group("op", "Operations", opList(a), opShow(a), opWatch(a), opCancel(a))
}

func opPath(id string) string { return "/operations/" + url.PathEscape(id) }

func opList(a *app.App) *cobra.Command {
	var env, kind string
	c := &cobra.Command{
		Use: "list", Short: "Operations, newest first", Args: cobra.NoArgs,
		Long:    "All that was asked of environments, and the import of each image that was pushed; the newest first.",
		Example: "  hnctl op list --env hello\n  hnctl op list --kind import",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := app.ByEnv.Check(cmd, env); err != nil {
				return err
			}
			if kind == "" && cmd.Flags().Changed("kind") {
				return app.Usage(cmd, "--kind is empty: name one, e.g. import, or leave the flag out")
			}
			q := url.Values{}
			if env != "" {
				q.Set("env", env)
			}
			if kind != "" {
				q.Set("kind", kind)
			}
			path := strings.TrimSuffix("/operations?"+q.Encode(), "?")
			list, err := app.Items[operator.Operation](cmd.Context(), a, path)
			if err == nil && len(list) == 0 {
				err = app.ByEnv.Exists(cmd.Context(), a, env)
			}
			if err != nil {
				return err
			}
			return a.Show(list, app.Joined(list, func(o operator.Operation) string { return string(o.ID) }), func(t *app.Table) {
				t.Head("OPERATION", "KIND", "OBJECT", "STATE", "PROGRESS", "BY", "AGE", "NOTE")
				for _, o := range list {
					note := ""
					if o.Problem != nil {
						note = o.Problem.Reason
					}
					t.Row(o.ID, o.Kind, o.Object, o.State, fmt.Sprintf("%d%%", o.Progress), o.By, app.Ago(o.Created, time.Now()), note)
				}
			})
		},
	}
	c.Flags().StringVar(&env, "env", "", "of this environment only")
	c.Flags().StringVar(&kind, "kind", "", "of this kind only, e.g. import or env.create")
	return c
}

func opShow(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "show OPERATION", Short: "One operation with its steps", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := app.Get[operator.Operation](cmd.Context(), a, opPath(args[0]))
			if err != nil {
				return err
			}
			return showOperation(a, o)
		},
	}
}

func showOperation(a *app.App, o operator.Operation) error {
	return a.Show(o, string(o.ID), func(t *app.Table) {
		t.Fields("operation", o.ID, "kind", o.Kind, "object", o.Object, "by", o.By, "state", o.State,
			"progress", fmt.Sprintf("%d%%", o.Progress), "created", app.Stamp(o.Created), "updated", app.Stamp(o.Updated),
			"deadline", app.Stamp(o.Deadline), "revision", o.Revision)
		if o.Problem != nil {
			t.Fields("problem", o.Problem.Error())
		}
		if len(o.Steps) > 0 {
			t.Gap()
			t.Head("STEP", "STATE", "AT", "DETAIL")
			for _, s := range o.Steps {
				t.Row(s.Name, s.State, app.Stamp(s.At), s.Detail)
			}
		}
	})
}

func opWatch(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "watch OPERATION", Short: "Wait for an operation's end", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.API()
			if err != nil {
				return err
			}
			ctx, cancel := a.Limit(cmd.Context())
			defer cancel()
			op, err := a.Wait(ctx, c, wire.OperationID(args[0]))
			if err != nil {
				return err
			}
			return showOperation(a, op)
		},
	}
}

func opCancel(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "cancel OPERATION", Short: "Cancel an operation and undo it", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var o operator.Operation
			if err := a.Call(cmd.Context(), http.MethodPost, opPath(args[0])+"/cancel", nil, &o); err != nil {
				return err
			}
			return showOperation(a, o)
		},
	}
}
