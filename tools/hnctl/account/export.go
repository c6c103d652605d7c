package account

import (
	"fmt"
	"io"
	"os"

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
			if args[1] == "-" {
				return a.SignInAgain(api.Download(cmd.Context(), at, a.Out))
			}
			return written(args[1], func(w io.Writer) error {
				if err := a.SignInAgain(api.Download(cmd.Context(), at, w)); err != nil {
					return err
				}
				a.Say("account %s is written to %s", args[0], args[1])
				return nil
			})
		},
	}
	c.Flags().BoolVar(&secrets, "secrets", false, "with the values of secret variables, for the account's owners, signed in: keep the "+
		"file from others")
	return c
}

// written makes a file that is for its owner alone; one that does not become whole is removed.
func written(name string, f func(io.Writer) error) (err error) {
	file, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("write the export: %v", err)
	}
	defer func() {
		if cerr := file.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			os.Remove(name)
		}
	}()
	if err = f(file); err == nil {
		err = file.Sync()
	}
	return err
}
