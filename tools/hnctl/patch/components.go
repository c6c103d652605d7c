package patch

import (
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/patch"
	"hardnode.dev/tools/hnctl/app"
)

func components(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "components", Args: cobra.NoArgs,
		Short: "The platform's components: addresses, health, the release that each runs, and what is tried",
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := app.Items[operator.Component](cmd.Context(), a, "/components")
			if err != nil {
				return err
			}
			return a.Show(list, app.Joined(list, func(c operator.Component) string { return c.Name }), func(t *app.Table) {
				t.Head("COMPONENT", "CTID", "HOST", "INTERNAL", "EXTERNAL", "STATE", "RELEASE", "IMAGE", "NOTE")
				for _, c := range list {
					image, _ := strings.CutPrefix(string(c.Image), "sha256:")
					t.Row(c.Name, c.CTID, c.HostName, c.InternalIP, c.ExternalIP, c.State, c.Release, image[:min(12, len(image))],
						noteOf(c))
				}
			})
		},
	}
}

// noteOf is what of a component is not usual.
func noteOf(c operator.Component) string {
	var notes []string
	if t := c.Trial; t != nil {
		notes = append(notes, "tries "+t.Release+" until "+t.ConfirmBy.Format(time.RFC3339))
	}
	if len(c.Snapshots) > 0 {
		notes = append(notes, "snapshot "+c.Snapshots[0])
	}
	if f := c.Failed; f != nil {
		notes = append(notes, f.Release+" did not stay: "+f.Reason)
	}
	return strings.Join(app.NonEmpty(append(notes, c.Reason)...), "; ")
}

func enable(a *app.App) *cobra.Command {
	want := operator.NewComponent{Name: patch.Component}
	c := &cobra.Command{
		Use: "enable", Short: "Give a cluster that was made before there was a Patcher one", Args: cobra.NoArgs,
		Long: "The Patcher then runs on the infra host, as container 5, with a token of its own. A cluster that has one keeps it as it is.",
		Example: "  hnctl patch enable                  # its image comes with the infra host's boot medium\n" +
			"  hnctl patch enable --release 1.4.0  # or with a release that was imported",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var made operator.Component
			if err := a.Call(cmd.Context(), http.MethodPost, "/components", want, &made); err != nil {
				return err
			}
			a.Next("hnctl patch components; once it runs: hnctl patch plan RELEASE")
			return a.Show(made, made.Name, func(t *app.Table) {
				t.Fields("component", made.Name, "container", made.CTID.String(), "host", made.HostName, "state", made.State, "release",
					made.Release, "reason", made.Reason)
			})
		},
	}
	c.Flags().StringVar(&want.Release, "release", "", "an imported `version` that its image is of (default: the boot medium's)")
	return c
}
