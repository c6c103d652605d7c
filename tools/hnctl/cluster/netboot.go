package cluster

import (
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/tools/hnctl/app"
)

const netbootPath = "/cluster/netboot"

func netboot(a *app.App) *cobra.Command {
	return app.Group("netboot", "Machines that boot from the network", netbootShow(a), netbootEnable(a), netbootDisable(a))
}

func netbootShow(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "show", Short: "Whether the infra host boots machines over the network, which and with what", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			n, err := app.Get[operator.Netboot](cmd.Context(), a, netbootPath)
			if err != nil {
				return err
			}
			return a.Show(n, n.Interface, func(t *app.Table) { netbootFields(t, n) })
		}}
}

func netbootFields(t *app.Table, n operator.Netboot) {
	if !n.Enabled {
		t.Fields("netboot", "off", "component", n.State)
		return
	}
	machines := "all that ask on that network"
	if !n.All {
		machines = strings.Join(n.For, " ")
	}
	t.Fields("netboot", "on, by "+n.By+" at "+app.Stamp(n.At), "network card", n.Interface, "machines", machines, "image for", n.Target,
		"gives addresses", n.Addresses, "with router", n.Router, "with DNS", strings.Join(n.DNS, " "), "wanted release", n.Release,
		"serves release", n.Serves, "component", n.State, "reason", n.Reason)
	for _, x := range n.Troubles {
		t.Fields("trouble", x.What+", since "+app.Stamp(x.Since)+": "+x.Text)
	}
}

func netbootEnable(a *app.App) *cobra.Command {
	var want operator.NewNetboot
	var only string
	c := &cobra.Command{
		Use: "enable --interface CARD --for all|MAC,…", Short: "Have the infra host boot machines over the network", Args: cobra.NoArgs,
		Long: `The infra host then answers machines that ask how to boot on the network of one of its cards, beside the network's own DHCP server,
which is left as it is; where there is none, --dhcp-range has addresses given out too: to those machines, and none while another DHCP
server answers. They boot a release that was imported (hnctl release import), wait, show a code on their console, and join after
hnctl host admit CODE. An enrolled host boots the release that its assignment names, or is not answered. What is served holds no secret.
Given again, the command changes what was said before.`,
		Example: "  hnctl cluster netboot enable --interface underlay --for all\n" +
			"  hnctl cluster netboot enable --interface underlay --for 52:54:00:12:34:56,52:54:00:12:34:57 --release 1.4.0",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if want.All = only == "all"; !want.All {
				want.For = strings.Split(only, ",")
			}
			var n operator.Netboot
			if err := a.Call(cmd.Context(), http.MethodPut, netbootPath, want, &n); err != nil {
				return err
			}
			a.Next("hnctl cluster netboot show; then boot a machine from the network, and: hnctl host waiting")
			return a.Show(n, n.Interface, func(t *app.Table) { netbootFields(t, n) })
		},
	}
	f := c.Flags()
	f.StringVar(&want.Interface, "interface", "", "network `card` of the infra host, as its configuration names it")
	f.StringVar(&only, "for", "", "`all`, or the MACs of the machines that are answered, with commas between them")
	f.StringVar(&want.Release, "release", "", "the `version` that machines boot (default: the newest that was imported)")
	f.StringVar(&want.Addresses, "dhcp-range", "",
		"`addresses` that are given out where no other DHCP server answers, as 10.77.0.100-10.77.0.150/24")
	f.StringVar(&want.Router, "dhcp-router", "", "`address` of the router that machines are told with theirs")
	f.StringSliceVar(&want.DNS, "dhcp-dns", nil, "`addresses` of the resolvers that they are told, with commas between them")
	f.StringVar(&want.Target, "target", "metal", "kind of machine that the image is for: metal or vm")
	c.MarkFlagRequired("interface")
	c.MarkFlagRequired("for")
	c.RegisterFlagCompletionFunc("for", cobra.FixedCompletions([]string{"all"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

func netbootDisable(a *app.App) *cobra.Command {
	return &cobra.Command{Use: "disable", Short: "Boot no machines over the network any more; those that run go on", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.Call(cmd.Context(), http.MethodDelete, netbootPath, nil, nil); err != nil {
				return err
			}
			a.Say("netboot is switched off; its ports are closed once the infra host has removed the component")
			return nil
		}}
}
