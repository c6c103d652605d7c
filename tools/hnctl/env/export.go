package env

import (
	"cmp"
	"errors"
	"slices"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/spf13/cobra"

	"hardnode.dev/internal/wire/document"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/tools/hnctl/app"
)

func envExport(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "export ENV", Short: "Write the file an environment is made of, for hnctl env apply", Args: cobra.ExactArgs(1),
		Long: "The file is what is wanted of the environment: applied again it changes nothing, and on another cluster with the\n" +
			"same templates it makes the same layers and nodes. Secret variables have no value in it; data, domains, and what\n" +
			"belongs to single nodes are not in it.",
		Example: "  hnctl env export hello > hello.yaml\n  hnctl --context other env apply -f hello.yaml",
		RunE: func(cmd *cobra.Command, args []string) error {
			e, err := app.Get[operator.Environment](cmd.Context(), a, envPath(args[0]))
			if err != nil {
				return err
			}
			if len(e.Spec.Layers) == 0 {
				return operator.NewProblem(operator.Conflict, "environments/"+args[0], "it is not made of a file: the platform is made by "+
					"hnctl cluster init", "see hnctl env list")
			}
			if a.Output != "" && a.Output != "table" {
				return a.Show(e.Spec, string(e.Spec.Name), nil)
			}
			_, err = a.Out.Write(document.Write(e.Spec))
			return err
		},
	}
}

// showDiff writes how the present file of an environment and another differ, in the unified form; of one that is not there all of it.
func showDiff(cmd *cobra.Command, a *app.App, spec operator.EnvironmentSpec) error {
	name, present := string(spec.Name), []byte(nil)
	e, err := app.Get[operator.Environment](cmd.Context(), a, envPath(name))
	var p *operator.Problem
	switch {
	case err == nil:
		present = document.Write(e.Spec)
	case !errors.As(err, &p) || p.Code != operator.NotFound:
		return err
	}
	spec.Layers = slices.Clone(spec.Layers)
	given := 0
	for i := range spec.Layers { // the orchestrator shows no value either
		names := slices.Clone(spec.Layers[i].Secrets)
		for j := range names {
			if names[j].Value != nil {
				given++
			}
			names[j].Value = nil
		}
		slices.SortFunc(names, func(a, b operator.SecretSpec) int { return cmp.Compare(a.Name, b.Name) })
		spec.Layers[i].Secrets = names
	}
	if given > 0 {
		a.Say("the file has values of %d secret variables: whether those are other ones is not shown", given)
	}
	changes := diff.Diff(name+" (present)", present, name+" (wanted)", document.Write(spec))
	if len(changes) == 0 {
		a.Say("environment %s is as the file says", name)
	}
	_, err = a.Out.Write(changes)
	return err
}
