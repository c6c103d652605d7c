package host

import (
	"github.com/spf13/cobra"

	"hardnode.dev/internal/wire/document"
	"hardnode.dev/tools/hnctl/app"
)

func hostConfigSchema(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "schema", Short: "Print the JSON Schema of host configurations, for editors; validate knows more than it", Args: cobra.NoArgs,
		Example: "  hnctl host config schema > host.schema.json    # in a file: # yaml-language-server: $schema=host.schema.json",
		RunE: func(*cobra.Command, []string) error {
			_, err := a.Out.Write(document.HostSchema())
			return err
		},
	}
}
