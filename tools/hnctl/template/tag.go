package template

import (
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/tools/hnctl/app"
)

func templateTag(a *app.App) *cobra.Command {
	var q operator.TagTemplate
	c := &cobra.Command{
		Use: "tag TEMPLATE TAG", Short: "Give a template another tag: a second name of the same image", Args: cobra.ExactArgs(2),
		Long: "TEMPLATE is NAME:TAG, NAME (its tag is latest), or NAME@ and the first twelve digits of a digest that lists show. The " +
			"image is not copied.\nA tag that is another image's is refused without --move. Nodes go on with the image they have; what " +
			"is created then gets\nthe new one.",
		Example: "  hnctl template tag app:1.4 stable\n  hnctl template tag app:1.3 stable --move",
		RunE: func(cmd *cobra.Command, args []string) error {
			q.Tag = args[1]
			var d operator.TemplateDetail
			if err := a.Call(cmd.Context(), http.MethodPost, "/templates/"+url.PathEscape(args[0])+"/tags", q, &d); err != nil {
				return err
			}
			a.Say("%s is %s too", d.Name, args[0])
			return a.Show(d, string(d.Name), func(t *app.Table) { details(t, d) })
		},
	}
	c.Flags().BoolVar(&q.Move, "move", false, "take the tag away from another image that has it")
	return c
}
