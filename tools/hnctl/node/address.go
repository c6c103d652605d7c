package node

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/wire/address"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/tools/hnctl/app"
)

func nodeAddress(a *app.App) *cobra.Command {
	return app.Group("address", "Public addresses of a node", addressList(a), addressAdd(a), addressDelete(a))
}

func readAddresses(ctx context.Context, a *app.App, node string) (n operator.NodeAddresses, err error) {
	id, err := nodeID(ctx, a, node)
	if err != nil {
		return n, err
	}
	return app.Get[operator.NodeAddresses](ctx, a, "/nodes/"+url.PathEscape(id.String())+"/addresses")
}

func showAddresses(a *app.App, n operator.NodeAddresses) error {
	name := func(p operator.PublicAddress) string { return p.Address.String() }
	return a.Show(n, app.Joined(n.Addresses, name), func(t *app.Table) {
		t.Head("ADDRESS", "HOST", "NOTE")
		for _, p := range n.Addresses {
			note := ""
			if p.Problem != "" {
				note = "not in force: " + p.Problem
			}
			t.Row(p.Address, n.HostName, note)
		}
	})
}

func parseAddress(text string) (a netip.Addr, err error) {
	if a, err = netip.ParseAddr(text); err != nil {
		err = fmt.Errorf("address %q: want an IPv4 or IPv6 address, as 203.0.113.10 or 2001:db8::10", text)
	} else {
		err = address.Check(a)
	}
	if err != nil {
		err = app.WithCode(app.ExitUsage, err)
	}
	return a, err
}

func addressList(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "list NODE", Short: "The public addresses of a node", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := readAddresses(cmd.Context(), a, args[0])
			if err != nil {
				return err
			}
			return showAddresses(a, n)
		},
	}
}

// changeAddresses changes the public addresses of a node, args being NODE ADDRESS, and shows what is so now.
func changeAddresses(ctx context.Context, a *app.App, args []string,
	change func(have []netip.Addr, one netip.Addr) ([]netip.Addr, error)) error {
	one, err := parseAddress(args[1])
	if err != nil {
		return err
	}
	n, err := app.Change(func() (out operator.NodeAddresses, err error) {
		n, err := readAddresses(ctx, a, args[0])
		if err != nil {
			return n, err
		}
		addrs, err := change(bare(n.Addresses), one)
		if err != nil {
			return n, err
		}
		err = a.Call(ctx, http.MethodPut, "/nodes/"+n.CTID.String()+"/addresses", operator.PublicAddresses{Addresses: addrs}, &out,
			"If-Match", fmt.Sprintf("%q", n.Revision.String()))
		return out, err
	})
	if err != nil {
		return err
	}
	return showAddresses(a, n)
}

// bare are the addresses without what is said of them.
func bare(list []operator.PublicAddress) []netip.Addr {
	out := []netip.Addr{}
	for _, p := range list {
		out = append(out, p.Address)
	}
	return out
}

func addressAdd(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "add NODE ADDRESS", Short: "Give a node a public address", Args: cobra.ExactArgs(2),
		Long: "The node's host answers for the address on its own network, and all that comes to it goes to the node, as far as its " +
			"firewall lets\nin. The first of a family is what the world sees the node by. An address stays where the node is replaced. " +
			"It is for those\nwho run the cluster. The host asks its network first: one that another machine answers for is not in force.",
		Example: "  hnctl node address add 101 203.0.113.10\n  hnctl node address add 101 2001:db8::10",
		RunE: func(cmd *cobra.Command, args []string) error {
			return changeAddresses(cmd.Context(), a, args, func(have []netip.Addr, want netip.Addr) ([]netip.Addr, error) {
				if !slices.Contains(have, want) {
					have = append(have, want)
				}
				return have, nil
			})
		},
	}
}

func addressDelete(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "delete NODE ADDRESS", Short: "Take a public address from a node", Args: cobra.ExactArgs(2),
		Example: "  hnctl node address delete 101 203.0.113.10",
		RunE: func(cmd *cobra.Command, args []string) error {
			return changeAddresses(cmd.Context(), a, args, func(have []netip.Addr, gone netip.Addr) ([]netip.Addr, error) {
				if !slices.Contains(have, gone) {
					err := fmt.Errorf("node %s does not have address %s; see hnctl node address list %s", args[0], gone, args[0])
					return nil, app.WithCode(app.ExitNotFound, err)
				}
				return slices.DeleteFunc(have, func(o netip.Addr) bool { return o == gone }), nil
			})
		},
	}
}
