package cluster

import (
	"fmt"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/tools/hnctl/app"
)

func clusterWebCA(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "web-ca", Short: "Print who signs the certificates of the cluster's own domain, PEM, for browsers to import",
		Args: cobra.NoArgs,
		Long: "The cluster signs for its own domain by itself. Browsers and curl (--cacert) believe that once they are told to; " +
			"this CA is\ngood for names in the cluster's domain and no others. Compare the SHA-256 on both sides.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			ca, err := app.Get[operator.WebCA](cmd.Context(), a, "/web-ca")
			if err != nil {
				return err
			}
			a.Say("for names in %s, until %s, SHA-256 %s", ca.Domain, app.Stamp(ca.Ends), ca.SHA256)
			fmt.Fprint(a.Out, ca.PEM)
			return nil
		},
	}
}
