package account

import (
	"io"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/tools/hnctl/app"
)

// export is the command that takes an account's things along before it is erased, or at any time.
func export(a *app.App) *cobra.Command {
	var secrets bool
	c := &cobra.Command{
		Use: "export ACCOUNT FILE", Short: "Write what an account has to a tar.gz, for its owners; - is stdout", Args: cobra.ExactArgs(2),
		Long: "Write what an account has to a tar.gz, for its owners, also while it is suspended or closing: the files of its\n" +
			"environments, its people, services, tokens (without their text) and shares, and its record. Of secret variables only the\n" +
			"names are in it; with --secrets the values are too. The data of nodes is not in it: hnctl node backup keeps that.",
		Example: "  hnctl account export acme acme.tar.gz",
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := a.API()
			if err != nil {
				return err
			}
			at := operator.Prefix + path(args[0]) + "/export"
			if secrets {
				at += "?secrets=true"
			}
			take := func(w io.Writer) error { return a.SignInAgain(api.Download(cmd.Context(), at, w)) }
			if args[1] == "-" {
				return take(a.Out)
			}
			if _, err = app.WriteWhole(args[1], take); err == nil {
				a.Say("account %s is written to %s", args[0], args[1])
			}
			return err
		},
	}
	c.Flags().BoolVar(&secrets, "secrets", false, "with the values of secret variables, for the account's owners, signed in: keep the "+
		"file from others")
	return c
}
