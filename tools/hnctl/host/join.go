package host

import (
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/tools/hnctl/app"
)

func hostToken(a *app.App) *cobra.Command {
	var want operator.NewJoinToken
	var lasts time.Duration
	c := &cobra.Command{
		Use: "token", Short: "Make a one-time join token for a new host; its text is printed this once", Args: cobra.NoArgs,
		Example: "  hnctl host token --name host-3 > token   # goes into join.token of the host's configuration",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if want.Seconds = int64(lasts / time.Second); lasts < time.Second {
				return app.WithCode(app.ExitUsage,
					fmt.Errorf("--for %s: a token must last a second at least; give for example 30m or 24h", lasts))
			}
			var made operator.JoinToken
			if err := a.Call(cmd.Context(), http.MethodPost, "/join-tokens", want, &made); err != nil {
				return err
			}
			a.Say("it admits one host of role %s until %s; put it into join.token of that host's configuration", made.Role,
				app.Stamp(made.Expires))
			if a.Output == "table" {
				_, err := fmt.Fprintln(a.Out, made.Text)
				return err
			}
			return a.Show(made, made.Text, nil)
		},
	}
	c.Flags().StringVar(&want.Name, "name", "", "name the host gets; empty takes the one it asks for")
	c.Flags().StringVar(&want.Role, "role", "user", "user, infra or hypervisor")
	c.Flags().DurationVar(&lasts, "for", 24*time.Hour, "how long it is good for")
	return c
}

func hostRemove(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "remove HOST", Short: "Forget a host that is off for good; its nodes are made anew elsewhere", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.Call(cmd.Context(), http.MethodDelete, "/hosts/"+url.PathEscape(args[0]), nil, nil); err != nil {
				return err
			}
			a.Say("host %s is removed; it needs a new join token to come back (hnctl host token)", args[0])
			return nil
		},
	}
}
