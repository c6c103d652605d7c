// Package env is hnctl's commands on environments.
//
// Owns: how an environment is made from a file, changed, planned and shown.
// In: arguments and flags; an app.App.
// Out: requests to the API; tables.
// Never: knows the other nouns' commands, or decides what the orchestrator decides.
package env

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/document"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/tools/hnctl/app"
	"hardnode.dev/tools/hnctl/node"
	"hardnode.dev/tools/hnctl/share"
)

// Group is the commands on environments.
func Group(a *app.App) *cobra.Command {
	return app.Group("env", "Environments", envCreate(a), envApply(a), envExport(a), envList(a), envShow(a),
		envChange(a, "start", "Start an environment's nodes"), envChange(a, "stop", "Stop an environment's nodes; their data stays"),
		envRestart(a), envRedeploy(a), envUndo(a),
		envChange(a, "spread", "Spread its layers over hosts again, one node after the other: a new one runs before the old one goes"),
		envDelete(a), envTrash(a), envRename(a), envKeep(a), envGroup(a), domains(a), certificates(a), routes(a),
		accessLog(a), share.OfEnvironment(a), share.Transfer(a))
}

func envPath(name string) string { return "/environments/" + url.PathEscape(name) }

func envCreate(a *app.App) *cobra.Command {
	var file string
	var dry, undo, noWait bool
	c := &cobra.Command{
		Use: "create -f FILE", Short: "Create an environment from a YAML file; - is stdin", Args: cobra.NoArgs,
		Example: `  hnctl env create -f - <<END
  version: 1
  name: hello
  layers:
    - {name: cp, template: nginx, nodes: 2, cloudlets: {reserved: 1, dynamic: 4}}
  END`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			raw, err := a.ReadFile(cmd.Context(), file, document.MaxBytes)
			if err != nil {
				return err
			}
			spec, src, warnings, err := operator.DecodeEnvironment(file, raw)
			for _, w := range warnings {
				a.Say("warning: %s", w)
			}
			if err != nil {
				return err
			}
			if dry {
				return placed(src, envPlan(cmd.Context(), a, spec))
			}
			path := "/environments"
			if undo {
				path += "?undo=true"
			}
			return placed(src, envDo(cmd.Context(), a, http.MethodPost, path, string(spec.Name), spec, noWait, true))
		},
	}
	c.Flags().StringVarP(&file, "file", "f", "", "YAML file; - is stdin")
	c.Flags().BoolVar(&dry, "dry-run", false, "only say where the nodes would go")
	c.Flags().BoolVar(&undo, "undo", false, "if it fails, remove at once what was made; else it stays broken, with its logs, for a week")
	app.NoWaitFlag(c, &noWait)
	c.MarkFlagRequired("file")
	return c
}

// placed is what the server finds wrong with a document's fields, with their lines and columns; other errors are as they were.
func placed(src *document.Source, err error) error {
	var p *operator.Problem
	if !errors.As(err, &p) {
		return err
	}
	q := *p
	q.Errors = slices.Clone(p.Errors)
	at := func(object, reason string) (string, string) {
		f := src.Fault(object, reason)
		if f.Line == 0 {
			return object, reason
		}
		return fmt.Sprintf("%s:%d:%d", f.Name, f.Line, f.Column), f.Reason
	}
	q.Object, q.Reason = at(p.Object, p.Reason)
	for i, f := range p.Errors {
		q.Errors[i].Object, q.Errors[i].Reason = at(f.Object, f.Reason)
	}
	return &q
}

func envPlan(ctx context.Context, a *app.App, spec operator.EnvironmentSpec) error {
	var got operator.Accepted
	if err := a.Call(ctx, http.MethodPost, "/environments?dry_run=true", spec, &got); err != nil {
		return err
	}
	return a.Show(got.Plan, string(spec.Name), func(t *app.Table) {
		t.Head("LAYER", "TEMPLATE", "HOST", "WHY")
		for _, n := range got.Plan {
			t.Row(n.Layer, n.Template, n.HostName, n.Placed)
		}
	})
}

// envDo carries a change of an environment out and shows what became of it.
func envDo(ctx context.Context, a *app.App, method, path, name string, in any, noWait, lives bool) error {
	op, err := a.Long(ctx, method, path, in, noWait, operator.KnowsHeader, operator.Known)
	if err != nil {
		return err
	}
	if noWait || !lives {
		if !noWait {
			a.Say("%s: done", op.Kind)
		}
		return a.Show(op, string(op.ID), func(t *app.Table) { t.Head("OPERATION", "STATE"); t.Row(op.ID, op.State) })
	}
	e, err := app.Get[operator.Environment](ctx, a, envPath(name))
	if err != nil {
		return err
	}
	if err := showEnvironment(a, e); err != nil {
		return err
	}
	if e.State == operator.EnvRunning {
		a.Next("curl http://%s/", e.Domain)
	}
	return nil
}

func envList(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "All environments, but for those in the trash", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := app.Items[operator.Environment](cmd.Context(), a, "/environments")
			if err != nil {
				return err
			}
			if len(list) == 0 {
				a.Next("hnctl env create -f hello.yaml")
			}
			return a.Show(list, app.Joined(list, func(e operator.Environment) string { return string(e.Spec.Name) }), func(t *app.Table) {
				t.Head("NAME", "STATE", "NODES", "DOMAIN", "AGE", "NOTE")
				for _, e := range list {
					up := 0
					for _, n := range e.Nodes {
						if n.State == "running" {
							up++
						}
					}
					t.Row(e.Spec.Name, e.State, fmt.Sprintf("%d/%d", up, len(e.Nodes)), e.Domain, app.Ago(e.Created, time.Now()),
						cmp.Or(e.Reason, e.Spread, sharedBy(e)))
				}
			})
		},
	}
}

// sharedBy says that an environment is another account's; "": it isn't.
func sharedBy(e operator.Environment) string {
	if e.Shared == nil {
		return ""
	}
	return fmt.Sprintf("shared by account %s, as %s", e.Shared.By, e.Shared.Role)
}

func envShow(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "show ENV", Short: "One environment with its nodes", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			e, err := app.Get[operator.Environment](cmd.Context(), a, envPath(args[0]))
			if err != nil {
				return err
			}
			return showEnvironment(a, e)
		},
	}
}

func showEnvironment(a *app.App, e operator.Environment) error {
	return a.Show(e, string(e.Spec.Name), func(t *app.Table) {
		address := ""
		if e.Domain != "" && e.Spec.Name != "jelastic" {
			address = "http://" + e.Domain + "/"
		}
		t.Fields("environment", e.Spec.Name, "state", e.State, "reason", e.Reason, "spread", spreadLine(e), "address", address,
			"shared", sharedBy(e), "group", e.Group, "revision", e.Revision, "created", app.Stamp(e.Created))
		if e.Trash != nil {
			t.Fields("in the trash", app.Stamp(e.Trash.At), "by", e.Trash.By, "erased", app.Stamp(e.Trash.Until))
		}
		for layer, until := range undone(e) {
			t.Fields("redeploy of "+string(layer), fmt.Sprintf("can be undone until %s (hnctl env undo %s)", app.Stamp(until), e.Spec.Name))
		}
		if f := e.Failed; f != nil {
			removal := "never: it is kept"
			if !f.Kept {
				removal = app.Stamp(f.Removal)
			}
			t.Fields("failed", app.Stamp(f.At), "failure", f.Reason, "removed", removal)
		}
		if len(e.Nodes) > 0 {
			t.Gap()
			node.Table(t, e.Nodes)
		}
	})
}

// undone are the layers, in the order of the environment's nodes, whose last redeploy can be undone, and until when.
func undone(e operator.Environment) iter.Seq2[wire.LayerName, time.Time] {
	return func(yield func(wire.LayerName, time.Time) bool) {
		seen := map[wire.LayerName]bool{}
		for _, n := range e.Nodes {
			if n.UndoUntil.IsZero() || seen[n.Layer] {
				continue
			}
			if seen[n.Layer] = true; !yield(n.Layer, n.UndoUntil) {
				return
			}
		}
	}
}

func envKeep(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "keep ENV", Short: "Keep what a failed creation left; else it is removed after a week", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var e operator.Environment
			if err := a.Call(cmd.Context(), http.MethodPost, envPath(args[0])+"/keep", nil, &e); err != nil {
				return err
			}
			return showEnvironment(a, e)
		},
	}
}

func envRename(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "rename ENV NAME", Short: "Give an environment that is stopped another name", Args: cobra.ExactArgs(2),
		Long: "Numbers, addresses, data and host names of its own stay; the name that it has in the cluster's domain changes with it,\n" +
			"and the old one is free at once. Its nodes and what links give know the new name when they start.",
		RunE: func(cmd *cobra.Command, args []string) error {
			var e operator.Environment
			in := operator.RenameEnvironment{Name: wire.EnvName(args[1])}
			if err := a.Call(cmd.Context(), http.MethodPost, envPath(args[0])+"/rename", in, &e); err != nil {
				return err
			}
			a.Next("hnctl env start %s", args[1])
			return showEnvironment(a, e)
		},
	}
}

func envGroup(a *app.App) *cobra.Command {
	var none bool
	c := &cobra.Command{
		Use: "group ENV [NAME]", Short: "Have an environment talk to those of a group alone, or with --none to those that are in none",
		Args: cobra.RangeArgs(1, 2),
		Long: "Environments of one account talk to each other and know each other's names, but those of a group only to those of the " +
			"same\ngroup. Connections that are open to others end.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if none == (len(args) == 2) {
				return app.WithCode(app.ExitUsage, errors.New("give the name of a group, or --none"))
			}
			in := operator.EnvironmentGroup{}
			if !none {
				in.Group = wire.GroupName(args[1])
			}
			var e operator.Environment
			if err := a.Call(cmd.Context(), http.MethodPut, envPath(args[0])+"/group", in, &e); err != nil {
				return err
			}
			return showEnvironment(a, e)
		},
	}
	c.Flags().BoolVar(&none, "none", false, "in no group")
	return c
}

// spreadLine says which layer isn't spread over hosts, and what to do.
func spreadLine(e operator.Environment) string {
	if e.Spread == "" {
		return ""
	}
	return fmt.Sprintf("%s (hnctl env spread %s)", e.Spread, e.Spec.Name)
}

// envChange is start, stop or spread.
func envChange(a *app.App, verb, short string) *cobra.Command {
	var noWait bool
	c := &cobra.Command{
		Use: verb + " ENV", Short: short, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return envDo(cmd.Context(), a, http.MethodPost, envPath(args[0])+"/"+verb, args[0], nil, noWait, true)
		},
	}
	app.NoWaitFlag(c, &noWait)
	return c
}
