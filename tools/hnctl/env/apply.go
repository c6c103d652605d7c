package env

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/wire/document"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/tools/hnctl/app"
)

func envApply(a *app.App) *cobra.Command {
	var file string
	var dry, diff, data, noWait bool
	c := &cobra.Command{
		Use: "apply -f FILE", Short: "Make an environment what a YAML file says, or create it; - is stdin", Args: cobra.NoArgs,
		Long: "The file is the whole environment. Cloudlets, disk and sizes change while nodes run; other variables restart a layer's " +
			"nodes, and\nanother template makes them anew with their volumes, one after the other. Nodes that are too many go last. What " +
			"fails is undone.\n" +
			"--diff ends with 0 when nothing would change, with 1 when something would, and with more than 1 when it can't be told.",
		Example: "  hnctl env apply -f hello.yaml --diff\n  hnctl env apply -f hello.yaml",
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
			path := envPath(string(spec.Name)) + "?remove_data=false"
			if data {
				path = envPath(string(spec.Name)) + "?remove_data=true"
			}
			if diff {
				return showDiff(cmd, a, src, spec, path)
			}
			if !dry {
				return placed(src, envDo(cmd.Context(), a, http.MethodPut, path, string(spec.Name), spec, noWait, true))
			}
			var got operator.Accepted
			err = a.Call(cmd.Context(), http.MethodPut, path+"&dry_run=true", spec, &got, operator.KnowsHeader, operator.Known)
			if err != nil {
				return placed(src, err)
			}
			plan := planned(got)
			if len(plan.Steps) == 0 {
				a.Say("environment %s is as the file says: nothing is to be done", spec.Name)
			}
			return showEdit(a, string(spec.Name), plan)
		},
	}
	c.Flags().StringVarP(&file, "file", "f", "", "YAML file; - is stdin")
	c.Flags().BoolVar(&dry, "dry-run", false, "only say what would be done to each node")
	c.Flags().BoolVar(&diff, "diff", false, "only show where the file differs from what the environment is made of, as a unified diff, "+
		"and what would be done to each node; exit code 1 if anything")
	c.Flags().BoolVar(&data, "remove-data", false, "nodes with volumes, and volumes, may go with their data")
	app.NoWaitFlag(c, &noWait)
	c.MarkFlagRequired("file")
	return c
}

// planned is what an edit would do; of a new environment where its nodes would go.
func planned(got operator.Accepted) *operator.EditPlan {
	if got.Edit != nil {
		return got.Edit
	}
	plan := &operator.EditPlan{Steps: []operator.EditStep{}, Nodes: len(got.Plan)}
	for i, n := range got.Plan {
		plan.Steps = append(plan.Steps, operator.EditStep{Kind: operator.EditAdd, Layer: n.Layer, Node: i + 1,
			Detail: string(n.Template) + " on " + n.HostName, Outage: operator.OutageNone})
	}
	return plan
}

func showEdit(a *app.App, name string, plan *operator.EditPlan) error {
	return a.Show(plan, name, func(t *app.Table) {
		t.Head("LAYER", "NODE", "CTID", "WHAT", "OUTAGE", "DETAIL", "FIELD")
		for _, s := range plan.Steps {
			node, id := strconv.Itoa(s.Node), "new"
			switch {
			case s.Node == 0:
				node, id = "all", ""
			case s.CTID != 0:
				id = s.CTID.String()
			}
			t.Row(s.Layer, node, id, s.Kind, s.Outage, s.Detail, strings.Join(s.Fields, " "))
		}
	})
}
