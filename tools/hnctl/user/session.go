package user

import (
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/wire/user"
	"hardnode.dev/tools/hnctl/app"
)

// Sessions is the commands on sessions.
func Sessions(a *app.App) *cobra.Command {
	return app.Group("session", "Sessions: sign-ins that have not ended", sessionList(a), sessionEnd(a))
}

func sessionList(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "One's own sessions, the newest first", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			items, err := app.Items[user.UserSession](cmd.Context(), a, "/sessions")
			if err != nil {
				return err
			}
			return a.Show(items, app.Joined(items, func(s user.UserSession) string { return s.ID }), func(t *app.Table) {
				t.Head("SESSION", "ACCOUNT", "ROLE", "KIND", "FROM", "BEGUN", "USED", "ENDS", "")
				for _, s := range items {
					mark := ""
					switch {
					case s.Acting != nil:
						mark = "acted as by " + s.Acting.By + ": " + s.Acting.Reason
					case s.Current:
						mark = "this one"
					}
					t.Row(s.ID, s.Account, s.Role, s.Kind, s.From, app.Stamp(s.Begun), app.Stamp(s.Used), app.Stamp(s.Ends), mark)
				}
			})
		},
	}
}

func sessionEnd(a *app.App) *cobra.Command {
	var all bool
	var of string
	c := &cobra.Command{
		Use: "end [SESSION]", Args: cobra.MaximumNArgs(1),
		Short:   "End a session of one's own at once, all of one's own, or all of another user's (for those who run the cluster)",
		Example: "  hnctl session end 1f2e3d4c\n  hnctl session end --all\n  hnctl session end --whose ada@acme.example",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := app.EmptyFlag(cmd, "whose"); err != nil {
				return err
			}
			at, said := "", ""
			switch {
			case len(args) == 1 && !all && of == "":
				at, said = "/sessions/"+url.PathEscape(args[0]), "session "+args[0]+" has ended"
			case len(args) == 0 && all && of == "":
				at, said = "/sessions", "all your sessions have ended, also this one"
			case len(args) == 0 && !all && of != "":
				at, said = path(of)+"/sessions", "all sessions of "+of+" have ended"
			default:
				return app.Usage(cmd, "say one of: a SESSION, --all, --whose USER")
			}
			if err := a.Call(cmd.Context(), http.MethodDelete, at, nil, nil); err != nil {
				return err
			}
			a.Say("%s", said)
			return nil
		},
	}
	c.Flags().BoolVar(&all, "all", false, "all of one's own")
	c.Flags().StringVar(&of, "whose", "", "all of this user")
	return c
}
