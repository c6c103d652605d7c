package env

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/tools/hnctl/app"
)

func envRedeploy(a *app.App) *cobra.Command {
	var dry, noWait bool
	c := &cobra.Command{
		Use: "redeploy ENV PART…", Short: "Make the nodes of layers anew from another image, one after the other",
		Args: cobra.MinimumNArgs(2),
		Long: "PART is LAYER or LAYER=TEMPLATE:TAG. Without a template nodes get the image that the layer's tag stands for by now.\n" +
			"Volumes, variables and the files that the template or /etc/jem/redeploy.conf names stay; other files of the nodes' own do\n" +
			"not. A node that does not come to run ends it, and all is as it was before.",
		Example: "  hnctl env redeploy shop cp=myapp:2 --dry-run\n  hnctl env redeploy shop cp bl=nginx:1.26",
		RunE: func(cmd *cobra.Command, args []string) error {
			in := operator.RedeployEnvironment{}
			for _, arg := range args[1:] {
				name, template, given := strings.Cut(arg, "=")
				l := operator.RedeployLayer{Name: wire.LayerName(name), Template: wire.TemplateName(template)}
				err := l.Name.Validate()
				if err == nil && given {
					err = l.Template.Validate()
				}
				if err != nil {
					return app.WithCode(app.ExitUsage, fmt.Errorf("%q: %v; want LAYER or LAYER=TEMPLATE:TAG", arg, err))
				}
				in.Layers = append(in.Layers, l)
			}
			return anew(cmd, a, args[0], envPath(args[0])+"/redeploy", in, dry, noWait)
		},
	}
	c.Flags().BoolVar(&dry, "dry-run", false, "only say what would be done to each node")
	app.NoWaitFlag(c, &noWait)
	return c
}

func envUndo(a *app.App) *cobra.Command {
	var dry, volumes, noWait bool
	c := &cobra.Command{
		Use: "undo ENV", Short: "Make nodes again what they were before the last redeploy of their layer", Args: cobra.ExactArgs(1),
		Long: "Images and nodes' own files are again as they were when the redeploy began, which is kept for a day; what was written\n" +
			"to these files since goes. Volumes stay as they are, or with --volumes are as they were, too; what they have now is then\n" +
			"a snapshot.",
		Example: "  hnctl env undo shop --dry-run\n  hnctl env undo shop --volumes",
		RunE: func(cmd *cobra.Command, args []string) error {
			return anew(cmd, a, args[0], envPath(args[0])+"/undo", operator.UndoRedeploy{Volumes: volumes}, dry, noWait)
		},
	}
	c.Flags().BoolVar(&dry, "dry-run", false, "only say what would be done to each node, and what would go")
	c.Flags().BoolVar(&volumes, "volumes", false, "what is in volumes, too")
	app.NoWaitFlag(c, &noWait)
	return c
}

// anew asks for an edit that has no file, or only for its plan.
func anew(cmd *cobra.Command, a *app.App, name, path string, in any, dry, noWait bool) error {
	if !dry {
		return envDo(cmd.Context(), a, http.MethodPost, path, name, in, noWait, true)
	}
	var got operator.Accepted
	if err := a.Call(cmd.Context(), http.MethodPost, path+"?dry_run=true", in, &got); err != nil {
		return err
	}
	return showEdit(a, name, planned(got))
}
