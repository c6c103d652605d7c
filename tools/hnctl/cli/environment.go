package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/wire/document"
	"hardnode.dev/internal/wire/operator"
)

func envPath(name string) string { return "/environments/" + url.PathEscape(name) }

func (a *app) envCreate() *cobra.Command {
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
			raw, err := a.readFile(file, document.MaxBytes+1)
			if err != nil {
				return err
			}
			spec, src, warnings, err := operator.DecodeEnvironment(file, raw)
			for _, w := range warnings {
				a.say("warning: %s", w)
			}
			if err != nil {
				return err
			}
			if dry {
				return placed(src, a.envPlan(cmd.Context(), spec))
			}
			path := "/environments"
			if undo {
				path += "?undo=true"
			}
			return placed(src, a.envDo(cmd.Context(), http.MethodPost, path, string(spec.Name), spec, noWait, true))
		},
	}
	c.Flags().StringVarP(&file, "file", "f", "", "YAML file; - is stdin")
	c.Flags().BoolVar(&dry, "dry-run", false, "only say where the nodes would go")
	c.Flags().BoolVar(&undo, "undo", false, "if it fails, remove at once what was made; else it stays broken, with its logs, for a week")
	noWaitFlag(c, &noWait)
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

func noWaitFlag(c *cobra.Command, v *bool) {
	c.Flags().BoolVar(v, "no-wait", false, "return as soon as the request is accepted")
}

func (a *app) envPlan(ctx context.Context, spec operator.EnvironmentSpec) error {
	var got operator.Accepted
	if err := a.call(ctx, http.MethodPost, "/environments?dry_run=true", spec, &got); err != nil {
		return err
	}
	return a.show(got.Plan, string(spec.Name), func(t *table) {
		t.head("LAYER", "TEMPLATE", "HOST", "WHY")
		for _, n := range got.Plan {
			t.row(n.Layer, n.Template, n.HostName, n.Placed)
		}
	})
}

// envDo carries a change of an environment out and shows what became of it.
func (a *app) envDo(ctx context.Context, method, path, name string, in any, noWait, lives bool) error {
	op, err := a.long(ctx, method, path, in, noWait)
	if err != nil {
		return err
	}
	if noWait || !lives {
		if !noWait {
			a.say("%s: done", op.Kind)
		}
		return a.show(op, string(op.ID), func(t *table) { t.head("OPERATION", "STATE"); t.row(op.ID, op.State) })
	}
	e, err := get[operator.Environment](ctx, a, envPath(name))
	if err != nil {
		return err
	}
	if err := a.showEnvironment(e); err != nil {
		return err
	}
	if e.State == operator.EnvRunning {
		a.next("curl http://%s/", e.Domain)
	}
	return nil
}

func (a *app) envList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "All environments", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := items[operator.Environment](cmd.Context(), a, "/environments")
			if err != nil {
				return err
			}
			if len(list) == 0 {
				a.next("hnctl env create -f hello.yaml")
			}
			return a.show(list, joined(list, func(e operator.Environment) string { return string(e.Spec.Name) }), func(t *table) {
				t.head("NAME", "STATE", "NODES", "DOMAIN", "AGE", "NOTE")
				for _, e := range list {
					up := 0
					for _, n := range e.Nodes {
						if n.State == "running" {
							up++
						}
					}
					t.row(e.Spec.Name, e.State, fmt.Sprintf("%d/%d", up, len(e.Nodes)), e.Domain, ago(e.Created, time.Now()), cmp.Or(e.Reason, e.Spread))
				}
			})
		},
	}
}

func (a *app) envShow() *cobra.Command {
	return &cobra.Command{
		Use: "show ENV", Short: "One environment with its nodes", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			e, err := get[operator.Environment](cmd.Context(), a, envPath(args[0]))
			if err != nil {
				return err
			}
			return a.showEnvironment(e)
		},
	}
}

func (a *app) showEnvironment(e operator.Environment) error {
	return a.show(e, string(e.Spec.Name), func(t *table) {
		address := ""
		if e.Domain != "" && e.Spec.Name != "jelastic" {
			address = "http://" + e.Domain + "/"
		}
		t.fields("environment", e.Spec.Name, "state", e.State, "reason", e.Reason, "spread", spreadLine(e), "address", address, "revision", e.Revision, "created", stamp(e.Created))
		if f := e.Failed; f != nil {
			removal := "never: it is kept"
			if !f.Kept {
				removal = stamp(f.Removal)
			}
			t.fields("failed", stamp(f.At), "failure", f.Reason, "removed", removal)
		}
		if len(e.Nodes) > 0 {
			t.gap()
			nodeTable(t, e.Nodes)
		}
	})
}

func (a *app) envKeep() *cobra.Command {
	return &cobra.Command{
		Use: "keep ENV", Short: "Keep what a failed creation left; else it is removed after a week", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var e operator.Environment
			if err := a.call(cmd.Context(), http.MethodPost, envPath(args[0])+"/keep", nil, &e); err != nil {
				return err
			}
			return a.showEnvironment(e)
		},
	}
}

// spreadLine says which layer isn't spread over hosts, and what to do.
func spreadLine(e operator.Environment) string {
	if e.Spread == "" {
		return ""
	}
	return fmt.Sprintf("%s (hnctl env spread %s)", e.Spread, e.Spec.Name)
}

// envChange is start, stop, spread or delete.
func (a *app) envChange(verb, short string) *cobra.Command {
	var noWait bool
	c := &cobra.Command{
		Use: verb + " ENV", Short: short, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if verb == "delete" {
				if err := a.confirm(fmt.Sprintf("delete environment %s with all its data", args[0])); err != nil {
					return err
				}
				return a.envDo(cmd.Context(), http.MethodDelete, envPath(args[0]), args[0], nil, noWait, false)
			}
			return a.envDo(cmd.Context(), http.MethodPost, envPath(args[0])+"/"+verb, args[0], nil, noWait, true)
		},
	}
	noWaitFlag(c, &noWait)
	if verb == "delete" {
		c.Flags().BoolVarP(&a.yes, "yes", "y", false, "don't ask")
	}
	return c
}

func nodeTable(t *table, nodes []operator.Node) {
	t.head("CTID", "ENV", "LAYER", "TEMPLATE", "STATE", "HOST", "INTERNAL IP", "EXTERNAL IP", "CLOUDLETS", "MEMORY", "RESTARTS", "NOTE")
	for _, n := range nodes {
		t.row(n.CTID, n.Env, n.Layer, n.Template, n.State, n.HostName, n.InternalIP, n.ExternalIP, fmt.Sprintf("%d-%d", n.Cloudlets.Reserved, n.Cloudlets.Dynamic),
			fmt.Sprintf("%d MiB", n.MemoryMiB), n.Restarts, strings.TrimSpace(n.Note(time.Now())))
	}
}
