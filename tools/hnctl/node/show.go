package node

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/tools/hnctl/app"
)

func nodeShow(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "show NODE", Short: "One node: where it is and why, its addresses, what it uses and lacks", Args: cobra.ExactArgs(1),
		Example: "  hnctl node show 101",
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := nodeID(cmd.Context(), a, args[0])
			if err != nil {
				return err
			}
			n, err := app.Get[operator.Node](cmd.Context(), a, "/nodes/"+id.String())
			if err != nil {
				return err
			}
			return a.Show(n, n.CTID.String(), func(t *app.Table) { showTable(t, n, time.Now()) })
		},
	}
}

func showTable(t *app.Table, n operator.Node, now time.Time) {
	of := fmt.Sprintf("%s/%s", n.Env, n.Layer)
	if n.Component != "" {
		of += ", component " + n.Component
	}
	addresses := slices.DeleteFunc([]string{n.InternalIP, n.InternalIPv6}, func(s string) bool { return s == "" })
	for _, p := range n.Addresses {
		addresses = append(addresses, p.String()+" (public)")
	}
	if n.ExternalIP != "" {
		addresses = append(addresses, n.ExternalIP+" (its host's: what it publishes)")
	}
	t.Fields("node", fmt.Sprintf("%s of %s", n.CTID, of), "account", n.Account, "state", n.State, "reason", strings.TrimSpace(n.Note(now)),
		"halted", n.Halted, "template", fmt.Sprintf("%s %s", n.Template, n.Digest), "host", n.HostName, "placed", n.Placed,
		"addresses", strings.Join(addresses, ", "),
		"cloudlets", fmt.Sprintf("%d reserved, %d at most", n.Cloudlets.Reserved, n.Cloudlets.Dynamic),
		"started", app.Stamp(n.Started), "restarts", fmt.Sprint(n.Restarts),
		"uses", fmt.Sprintf("%d MiB of memory, %d MiB of disk; %.1f s of a processor", n.MemoryMiB, n.DiskMiB, n.CPUSeconds),
		"lacks", cmp.Or(strings.Join(n.Strain.Words(), ", "), "nothing"))
	for _, v := range n.Volumes {
		limit := ""
		if v.Limit > 0 {
			limit = fmt.Sprintf(" of %d MiB (%d %%)", v.Limit>>20, v.Percent())
		}
		t.Fields("volume", strings.TrimSpace(fmt.Sprintf("%s: %d MiB%s %s", v.Name, v.Bytes>>20, limit, v.Note)))
	}
	if n.Tuned.Message != "" {
		t.Fields("tuned", fmt.Sprintf("%s %s", app.Stamp(n.Tuned.Time()), n.Tuned.Message))
	}
}
