package host

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/tools/hnctl/app"
)

func hostWaiting(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "waiting", Short: "Machines without a join token that ask to be let in", Args: cobra.NoArgs,
		Long: "Lists the machines that booted with a configuration without a join token. Each shows a code on its console. What else " +
			"they say of\nthemselves is a hint: anybody who reaches the host API can make up a MAC or a serial number.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := app.Items[operator.WaitingHost](cmd.Context(), a, "/waiting-hosts")
			if err != nil {
				return err
			}
			return a.Show(list, app.Joined(list, func(w operator.WaitingHost) string { return w.Code }), func(t *app.Table) {
				t.Head("CODE", "ADDRESS", "MAC", "SERIAL", "MODEL", "DISKS", "VERSION", "SINCE", "NOTE")
				for _, w := range list {
					t.Row(w.Code, w.Address, strings.Join(w.MACs, " "), w.Serial, w.Model, strings.Join(w.Disks, ", "), w.Version,
						app.Ago(w.Since, time.Now()), note(w))
				}
			})
		},
	}
}

func note(w operator.WaitingHost) string {
	if w.Twice {
		return "two machines have this key: wipe the disk of one"
	}
	return ""
}

// waiting is what of the machines that wait is shown among the hosts: nothing, where the caller may not see them, or the orchestrator is of
// version 0.1 and knows none.
func waiting(ctx context.Context, a *app.App) ([]operator.WaitingHost, error) {
	list, err := app.Items[operator.WaitingHost](ctx, a, "/waiting-hosts")
	var p *operator.Problem
	if errors.As(err, &p) && (p.Code == operator.NotFound || p.Code == operator.Denied) {
		return nil, nil
	}
	return list, err
}

func hostAdmit(a *app.App) *cobra.Command {
	var want operator.AdmitHost
	c := &cobra.Command{
		Use: "admit CODE", Short: "Let a waiting machine join, by the code on its console", Args: cobra.ExactArgs(1),
		Long: "Lets the machine join whose console shows the code. The code is of the machine's key and of the CA that it was told to " +
			"trust: if the\nconsole shows a code that hnctl host waiting does not, somebody else answered when the machine booted. Don't " +
			"admit it then.",
		Example: "  hnctl host waiting\n  hnctl host admit K7QX-3MPA-W2ZD --name host-3",
		RunE: func(cmd *cobra.Command, args []string) error {
			var made operator.AdmittedHost
			if err := a.Call(cmd.Context(), http.MethodPost, "/waiting-hosts/"+url.PathEscape(args[0])+"/admit", want, &made); err != nil {
				return err
			}
			a.Say("machine %s may join as a host of role %s until %s; it asks every few seconds", made.Code, made.Role,
				app.Stamp(made.Expires))
			if a.Output == "table" {
				return nil
			}
			return a.Show(made, made.Code, nil)
		},
	}
	c.Flags().StringVar(&want.Name, "name", "", "name the host gets; empty makes one up")
	c.Flags().StringVar(&want.Role, "role", "user", "user, infra or hypervisor")
	return c
}
