package cli

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
)

func opPath(id string) string { return "/operations/" + url.PathEscape(id) }

func (a *app) opList() *cobra.Command {
	var env, kind string
	c := &cobra.Command{
		Use: "list", Short: "Operations, newest first", Args: cobra.NoArgs,
		Long:    "All that was asked of environments, and the import of each image that was pushed; the newest first.",
		Example: "  hnctl op list --env hello\n  hnctl op list --kind import",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := byEnv.check(cmd, env); err != nil {
				return err
			}
			if kind == "" && cmd.Flags().Changed("kind") {
				return usage(cmd, "--kind is empty: name one, e.g. import, or leave the flag out")
			}
			q := url.Values{}
			if env != "" {
				q.Set("env", env)
			}
			if kind != "" {
				q.Set("kind", kind)
			}
			path := strings.TrimSuffix("/operations?"+q.Encode(), "?")
			list, err := items[operator.Operation](cmd.Context(), a, path)
			if err == nil && len(list) == 0 {
				err = byEnv.exists(cmd.Context(), a, env)
			}
			if err != nil {
				return err
			}
			return a.show(list, joined(list, func(o operator.Operation) string { return string(o.ID) }), func(t *table) {
				t.head("OPERATION", "KIND", "OBJECT", "STATE", "PROGRESS", "BY", "AGE", "NOTE")
				for _, o := range list {
					note := ""
					if o.Problem != nil {
						note = o.Problem.Reason
					}
					t.row(o.ID, o.Kind, o.Object, o.State, fmt.Sprintf("%d%%", o.Progress), o.By, ago(o.Created, time.Now()), note)
				}
			})
		},
	}
	c.Flags().StringVar(&env, "env", "", "of this environment only")
	c.Flags().StringVar(&kind, "kind", "", "of this kind only, e.g. import or env.create")
	return c
}

func (a *app) opShow() *cobra.Command {
	return &cobra.Command{
		Use: "show OPERATION", Short: "One operation with its steps", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := get[operator.Operation](cmd.Context(), a, opPath(args[0]))
			if err != nil {
				return err
			}
			return a.showOperation(o)
		},
	}
}

func (a *app) showOperation(o operator.Operation) error {
	return a.show(o, string(o.ID), func(t *table) {
		t.fields("operation", o.ID, "kind", o.Kind, "object", o.Object, "by", o.By, "state", o.State, "progress", fmt.Sprintf("%d%%", o.Progress),
			"created", stamp(o.Created), "updated", stamp(o.Updated), "deadline", stamp(o.Deadline), "revision", o.Revision)
		if o.Problem != nil {
			t.fields("problem", o.Problem.Error())
		}
		if len(o.Steps) > 0 {
			t.gap()
			t.head("STEP", "STATE", "AT", "DETAIL")
			for _, s := range o.Steps {
				t.row(s.Name, s.State, stamp(s.At), s.Detail)
			}
		}
	})
}

func (a *app) opWatch() *cobra.Command {
	return &cobra.Command{
		Use: "watch OPERATION", Short: "Wait for an operation's end", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.api()
			if err != nil {
				return err
			}
			ctx, cancel := a.limit(cmd.Context())
			defer cancel()
			op, err := a.wait(ctx, c, wire.OperationID(args[0]))
			if err != nil {
				return err
			}
			return a.showOperation(op)
		},
	}
}

func (a *app) opCancel() *cobra.Command {
	return &cobra.Command{
		Use: "cancel OPERATION", Short: "Cancel an operation and undo it", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var o operator.Operation
			if err := a.call(cmd.Context(), http.MethodPost, opPath(args[0])+"/cancel", nil, &o); err != nil {
				return err
			}
			return a.showOperation(o)
		},
	}
}
