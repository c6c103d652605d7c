package user

import (
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/wire/user"
	"hardnode.dev/tools/hnctl/app"
)

// Factors is the commands on second factors.
func Factors(a *app.App) *cobra.Command {
	return app.Group("factor", "Second factors: codes of an authenticator app beside the password", factorAdd(a), factorConfirm(a),
		factorCodes(a), factorRemove(a), factorReset(a))
}

func factorAdd(a *app.App) *cobra.Command {
	var file string
	c := &cobra.Command{
		Use: "add", Args: cobra.NoArgs,
		Short: "Make a second factor of one's own (TOTP, RFC 6238); it is in force after: hnctl factor confirm",
		RunE: func(cmd *cobra.Command, _ []string) error {
			got, err := secrets(cmd.Context(), cmd, a, file, password, maybe)
			if err != nil {
				return err
			}
			var n user.NewSecondFactor
			if err := a.Call(cmd.Context(), http.MethodPost, "/user/second-factor", user.BeginSecondFactor{Password: got[0], Code: got[1]},
				&n); err != nil {
				return err
			}
			a.Say("put the secret into an authenticator app, then send a code of it by %s: hnctl factor confirm", app.Stamp(n.Until))
			return a.Show(shownFactor{n.Secret.Reveal(), n.URI.Reveal()}, n.Secret.Reveal(), func(t *app.Table) {
				t.Fields("secret", n.Secret.Reveal(), "address", n.URI.Reveal())
			})
		},
	}
	secretsFlag(c, &file, "the password, and the code of the second factor that it takes the place of, if there is one")
	return c
}

// shownFactor is a second factor on its one way to the person: nothing else of hnctl writes a secret.
type shownFactor struct {
	Secret string `json:"secret"`
	URI    string `json:"uri"`
}

func factorConfirm(a *app.App) *cobra.Command {
	var file string
	c := &cobra.Command{
		Use: "confirm", Args: cobra.NoArgs,
		Short: "Put one's second factor in force by a code of it; its recovery codes are printed this once",
		RunE: func(cmd *cobra.Command, _ []string) error {
			got, err := secrets(cmd.Context(), cmd, a, file, question{prompt: "code that the authenticator app shows"})
			if err != nil {
				return err
			}
			var codes user.RecoveryCodes
			if err := a.Call(cmd.Context(), http.MethodPut, "/user/second-factor", user.ConfirmSecondFactor{Code: got[0]},
				&codes); err != nil {
				return err
			}
			a.Say("the second factor is in force")
			return recovery(a, codes)
		},
	}
	secretsFlag(c, &file, "the code")
	return c
}

// recovery prints recovery codes, a line each.
func recovery(a *app.App, codes user.RecoveryCodes) error {
	a.Say("each of these codes signs in once without the app; keep them apart from the password, they are not shown again")
	texts := make([]string, len(codes.Codes))
	for i, c := range codes.Codes {
		texts[i] = c.Reveal()
	}
	if a.Output != "table" {
		return a.Show(texts, "", nil)
	}
	for _, t := range texts {
		if _, err := fmt.Fprintln(a.Out, t); err != nil {
			return err
		}
	}
	return nil
}

func factorCodes(a *app.App) *cobra.Command {
	var file string
	c := &cobra.Command{
		Use: "codes", Short: "Make new recovery codes in place of those that are left; they are printed this once", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			got, err := secrets(cmd.Context(), cmd, a, file, password, code)
			if err != nil {
				return err
			}
			var codes user.RecoveryCodes
			if err := a.Call(cmd.Context(), http.MethodPost, "/user/second-factor/recovery-codes",
				user.RenewRecovery{Password: got[0], Code: got[1]}, &codes); err != nil {
				return err
			}
			return recovery(a, codes)
		},
	}
	secretsFlag(c, &file, "the password, and a code")
	return c
}

func factorRemove(a *app.App) *cobra.Command {
	var file string
	c := &cobra.Command{
		Use: "remove", Short: "Take one's own second factor away", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			got, err := secrets(cmd.Context(), cmd, a, file, password, code)
			if err != nil {
				return err
			}
			if err := a.Call(cmd.Context(), http.MethodPost, "/user/second-factor/remove",
				user.EndSecondFactor{Password: got[0], Code: got[1]}, nil); err != nil {
				return err
			}
			a.Say("there is no second factor any more: the password alone signs in")
			return nil
		},
	}
	secretsFlag(c, &file, "the password, and a code")
	return c
}

func factorReset(a *app.App) *cobra.Command {
	c := &cobra.Command{
		Use: "reset USER", Args: cobra.ExactArgs(1),
		Short: "Take away the second factor of a user who lost it, with their sessions; for those who run the cluster",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.Confirm("take away the second factor of " + args[0] + ": their password alone will sign in"); err != nil {
				return err
			}
			if err := a.Call(cmd.Context(), http.MethodDelete, path(args[0])+"/second-factor", nil, nil); err != nil {
				return err
			}
			a.Say("%s has no second factor any more, and is signed out everywhere", args[0])
			return nil
		},
	}
	c.Flags().BoolVarP(&a.Yes, "yes", "y", false, "don't ask")
	return c
}
