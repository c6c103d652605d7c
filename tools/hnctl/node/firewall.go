package node

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/wire/document"
	"hardnode.dev/internal/wire/firewall"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/tools/hnctl/app"
)

// ofLayer is the flag by which a command is about the rules of a node's whole layer.
const ofLayer = "of-layer"

func nodeFirewall(a *app.App) *cobra.Command {
	return app.Group("firewall", "What may come to a node and leave it", firewallList(a), firewallAdd(a), firewallDelete(a), firewallSet(a))
}

func firewallPath(id string, layer bool) string {
	path := "/nodes/" + url.PathEscape(id) + "/firewall"
	if layer {
		path += "?layer=true"
	}
	return path
}

func readFirewall(ctx context.Context, a *app.App, node string) (f operator.Firewall, err error) {
	id, err := nodeID(ctx, a, node)
	if err != nil {
		return f, err
	}
	return f, a.Call(ctx, http.MethodGet, firewallPath(id.String(), false), nil, &f)
}

func showFirewall(a *app.App, f operator.Firewall) error {
	return a.Show(f, app.Joined(f.InForce, func(r firewall.PacketRule) string { return r.Name }), func(t *app.Table) {
		t.Head("PRIORITY", "NAME", "OF", "DIRECTION", "ACTION", "PROTOCOL", "PORTS", "PEER", "RATE")
		for _, r := range f.InForce {
			of, rate := "layer", ""
			if slices.ContainsFunc(f.OfNode, func(o firewall.PacketRule) bool { return o.Name == r.Name }) {
				of = "node"
			}
			if r.Rate > 0 {
				rate = fmt.Sprintf("%d/s", r.Rate)
			}
			ports := make([]string, len(r.Ports))
			for i, p := range r.Ports {
				ports[i] = string(p)
			}
			t.Row(r.Priority, r.Name, of, r.Direction, r.Action, r.Protocol, strings.Join(ports, ","), r.Peer, rate)
		}
	})
}

func firewallList(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "list NODE", Short: "A node's rules, in the order in which they are looked at", Args: cobra.ExactArgs(1),
		Long: "The first rule that a new connection matches says what becomes of it. What none is about passes: in, from nodes of the " +
			"same\naccount and to published ports; out, everywhere. Other accounts' nodes are kept out whatever rules say; the platform " +
			"comes in.",
		RunE: func(cmd *cobra.Command, args []string) error {
			f, err := readFirewall(cmd.Context(), a, args[0])
			if err != nil {
				return err
			}
			return showFirewall(a, f)
		},
	}
}

// changeFirewall changes one of a node's two lists and shows what is so now.
func changeFirewall(ctx context.Context, a *app.App, node string, layer bool,
	change func([]firewall.PacketRule) ([]firewall.PacketRule, error)) error {
	f, err := app.Change(func() (out operator.Firewall, err error) {
		f, err := readFirewall(ctx, a, node)
		if err != nil {
			return f, err
		}
		was := f.OfNode
		if layer {
			was = f.OfLayer
		}
		rules, err := change(was)
		if err != nil {
			return f, err
		}
		err = a.Call(ctx, http.MethodPut, firewallPath(f.CTID.String(), layer), operator.FirewallRules{Rules: rules}, &out,
			"If-Match", fmt.Sprintf("%q", f.Revision.String()))
		return out, err
	})
	if err != nil {
		return err
	}
	return showFirewall(a, f)
}

func firewallAdd(a *app.App) *cobra.Command {
	var layer bool
	var direction, action string
	var ports []string
	r := firewall.PacketRule{}
	c := &cobra.Command{
		Use: "add NODE NAME", Short: "Add a rule to a node, or change the one of that name", Args: cobra.ExactArgs(2),
		Example: "  hnctl node firewall add 101 web --action allow --protocol tcp --port 80,443 --peer bl.shop.internal\n" +
			"  hnctl node firewall add 101 rest --action deny --priority 1000\n" +
			"  hnctl node firewall add 101 mail --direction out --action deny --protocol tcp --port 25 --of-layer",
		RunE: func(cmd *cobra.Command, args []string) error {
			r.Name, r.Direction, r.Action = args[1], firewall.Direction(direction), firewall.Action(action)
			for _, p := range ports {
				r.Ports = append(r.Ports, firewall.Port(p))
			}
			if err := r.Validate(); err != nil {
				return app.WithCode(app.ExitUsage, err)
			}
			return changeFirewall(cmd.Context(), a, args[0], layer, func(was []firewall.PacketRule) ([]firewall.PacketRule, error) {
				return append(slices.DeleteFunc(slices.Clone(was), func(o firewall.PacketRule) bool { return o.Name == r.Name }), r), nil
			})
		},
	}
	c.Flags().BoolVar(&layer, ofLayer, false, "to all nodes of its layer")
	c.Flags().StringVar(&direction, "direction", "in", "in: to the node; out: from it")
	c.Flags().StringVar(&action, "action", "", "allow or deny")
	c.Flags().IntVar(&r.Priority, "priority", 100, "1 to 1000: rules with lower ones are looked at earlier")
	c.Flags().StringVar(&r.Protocol, "protocol", "", "tcp, udp or icmp; all if left out")
	c.Flags().StringSliceVar(&ports, "port", nil, "ports, e.g. 80 or 8000-8100; all if left out")
	c.Flags().StringVar(&r.Peer, "peer", "",
		"who is at the other end: an address, a prefix, or a name such as shop.internal; anybody if left out")
	c.Flags().IntVar(&r.Rate, "rate", 0, "of allow: new connections a second")
	return c
}

func firewallDelete(a *app.App) *cobra.Command {
	var layer bool
	c := &cobra.Command{
		Use: "delete NODE NAME", Short: "Delete a rule of a node", Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return changeFirewall(cmd.Context(), a, args[0], layer, func(was []firewall.PacketRule) ([]firewall.PacketRule, error) {
				rules := slices.DeleteFunc(slices.Clone(was), func(r firewall.PacketRule) bool { return r.Name == args[1] })
				if len(rules) == len(was) {
					of, next := "node "+args[0], "give --"+ofLayer+" if it is its layer's"
					if layer {
						of, next = "the layer of "+of, "leave --"+ofLayer+" out if it is its own"
					}
					return nil, app.WithCode(app.ExitNotFound, fmt.Errorf("%s has no rule %q; %s: hnctl node firewall list %s", of, args[1],
						next, args[0]))
				}
				return rules, nil
			})
		},
	}
	c.Flags().BoolVar(&layer, ofLayer, false, "of all nodes of its layer")
	return c
}

func firewallSet(a *app.App) *cobra.Command {
	var layer bool
	c := &cobra.Command{
		Use: "set NODE FILE", Short: "Replace a node's rules by those of a YAML file; - is stdin", Args: cobra.ExactArgs(2),
		Example: `  hnctl node firewall set 101 - <<END
  rules:
    - {name: web, direction: in, action: allow, priority: 100, protocol: tcp, ports: ["80"], peer: bl.shop.internal}
    - {name: rest, direction: in, action: deny, priority: 1000}
  END`,
		RunE: func(cmd *cobra.Command, args []string) error {
			raw, err := a.ReadFile(cmd.Context(), args[1], document.MaxBytes)
			if err != nil {
				return err
			}
			var doc operator.FirewallRules
			src, err := document.Parse(args[1], raw, &doc)
			if err != nil {
				return err
			}
			var faults []*document.Error
			for i, r := range doc.Rules {
				if err := r.Validate(); err != nil {
					faults = append(faults, src.Fault(fmt.Sprintf("rules[%d]", i), err.Error()))
				}
			}
			if err := document.Join(faults); err != nil {
				return app.WithCode(app.ExitUsage, err)
			}
			if err := firewall.Validate(doc.Rules, firewall.MaxRules); err != nil {
				return app.WithCode(app.ExitUsage, errors.New(args[1]+": "+err.Error()))
			}
			return changeFirewall(cmd.Context(), a, args[0], layer, func([]firewall.PacketRule) ([]firewall.PacketRule, error) {
				return append([]firewall.PacketRule{}, doc.Rules...), nil
			})
		},
	}
	c.Flags().BoolVar(&layer, ofLayer, false, "of all nodes of its layer")
	return c
}
