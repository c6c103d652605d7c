package host

import (
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/tools/hnctl/app"
)

func cordonPath(host string) string { return "/hosts/" + url.PathEscape(host) + "/cordon" }

func hostCordon(a *app.App) *cobra.Command {
	var want operator.CordonHost
	c := &cobra.Command{
		Use: "cordon HOST", Short: "Keep new nodes off a host; what runs on it goes on", Args: cobra.ExactArgs(1),
		Long: "Keeps new nodes off a host, whether they are asked for, replace others or spread a layer, until it is uncordoned: " +
			"restarts of the host\nand of the orchestrator change nothing. What runs on it goes on. Given again, it changes the reason.",
		Example: "  hnctl host cordon host-1 --reason 'memory module fails'",
		RunE: func(cmd *cobra.Command, args []string) error {
			var h operator.Host
			if err := a.Call(cmd.Context(), http.MethodPut, cordonPath(args[0]), want, &h); err != nil {
				return err
			}
			a.Say("host %s takes no new nodes (state %s); let it take them again with: hnctl host uncordon %s", h.Name, h.State, h.Name)
			return nil
		},
	}
	c.Flags().StringVar(&want.Reason, "reason", "", "why, in one line: it is recorded, and shown where it keeps a node away")
	return c
}

func hostUncordon(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "uncordon HOST", Short: "Let a host take new nodes again", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var h operator.Host
			if err := a.Call(cmd.Context(), http.MethodDelete, cordonPath(args[0]), nil, &h); err != nil {
				return err
			}
			a.Say("host %s takes new nodes again (state %s)", h.Name, h.State)
			return nil
		},
	}
}

// cordoned says since when a host takes no new nodes, "" if it does.
func cordoned(h operator.Host) string {
	if h.Cordon == nil {
		return ""
	}
	return app.Stamp(h.Cordon.At) + ", by " + h.Cordon.By
}
