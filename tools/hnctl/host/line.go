package host

import (
	"encoding/base64"
	"fmt"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/wire/console"
	"hardnode.dev/internal/wire/document"
	"hardnode.dev/tools/hnctl/app"
)

func hostConfigLine(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "line FILE", Short: "Make the line that gives a host its configuration at its terminal: activate LINE; - is stdin",
		Args:    cobra.ExactArgs(1),
		Example: "  hnctl host config line host-3.yaml    # it holds the join token, as the file does",
		RunE: func(cmd *cobra.Command, args []string) error {
			raw, err := a.ReadFile(cmd.Context(), args[0], document.MaxBytes)
			if err != nil {
				return err
			}
			if _, err := document.HostConfig(args[0], raw); err != nil {
				return err
			}
			line := console.ActivationPrefix + base64.RawURLEncoding.EncodeToString(raw)
			if len(line) > mostLine {
				return app.WithCode(app.ExitUsage, fmt.Errorf("%s: the line would have %d characters, a terminal takes %d; leave "+
					"comments out", args[0], len(line), mostLine))
			}
			_, err = fmt.Fprintln(a.Out, line)
			return err
		},
	}
}

// mostLine is what a host's terminal takes as one line, less the command.
const mostLine = 16<<10 - 100
