package env

import (
	"cmp"
	"errors"
	"net/http"
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

// compared is where the present file of an environment and another one differ, and what the other would do to its nodes.
type compared struct {
	Diff string             `json:"diff"`
	Edit *operator.EditPlan `json:"edit"`
}

// showDiff writes how the present file of an environment and another differ, in the unified form (of one that is not there all of it), and
// behind it what the other would do to its nodes; path is where that is asked for. What differs, be it the value of a secret variable
// alone, ends with app.ExitDiffers, and what goes wrong with another code than that, as with diff(1) and kubectl diff.
func showDiff(cmd *cobra.Command, a *app.App, src *document.Source, spec operator.EnvironmentSpec, path string) error {
	trouble := func(err error) error {
		if err != nil && app.ExitCode(err) == app.ExitDiffers {
			return app.WithCode(app.ExitTrouble, err)
		}
		return err
	}
	diff, err := differences(cmd, a, spec)
	if err != nil {
		return trouble(err)
	}
	plain := a.Output == "" || a.Output == "table"
	if plain {
		if _, err := a.Out.Write(diff); err != nil {
			return trouble(err)
		}
	}
	var got operator.Accepted
	if err := a.Call(cmd.Context(), http.MethodPut, path+"&dry_run=true", spec, &got, operator.KnowsHeader, operator.Known); err != nil {
		return trouble(placed(src, err))
	}
	plan := planned(got)
	switch {
	case !plain:
		err = a.Show(compared{string(diff), plan}, string(spec.Name), nil)
	case len(plan.Steps) > 0:
		if len(diff) > 0 {
			_, err = a.Out.Write([]byte("\n"))
		}
		if err == nil {
			err = showEdit(a, string(spec.Name), plan)
		}
	case len(diff) > 0:
		a.Say("it is written in another way: nothing is to be done to a node")
	default:
		a.Say("environment %s is as the file says", spec.Name)
	}
	if err != nil {
		return trouble(err)
	}
	if len(diff) > 0 || len(plan.Steps) > 0 {
		return app.WithCode(app.ExitDiffers, app.ErrSilent)
	}
	return nil
}

// differences are those of an environment's present file and another one, without the values of secret variables.
func differences(cmd *cobra.Command, a *app.App, spec operator.EnvironmentSpec) ([]byte, error) {
	name, present := string(spec.Name), []byte(nil)
	e, err := app.Get[operator.Environment](cmd.Context(), a, envPath(name))
	var p *operator.Problem
	switch {
	case err == nil:
		present = document.Write(e.Spec)
	case !errors.As(err, &p) || p.Code != operator.NotFound:
		return nil, err
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
		a.Say("the file has values of %d secret variables: they are in no diff, and nodes whose value is another one are restarted", given)
	}
	return diff.Diff(name+" (present)", present, name+" (wanted)", document.Write(spec)), nil
}
