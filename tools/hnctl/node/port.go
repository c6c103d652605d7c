package node

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/tools/hnctl/app"
)

func nodePort(a *app.App) *cobra.Command {
	return app.Group("port", "Ports of a node that are reached at its host's addresses", portList(a), portAdd(a), portDelete(a))
}

func readPorts(ctx context.Context, a *app.App, node string) (p operator.NodePorts, err error) {
	id, err := nodeID(ctx, a, node)
	if err != nil {
		return p, err
	}
	return app.Get[operator.NodePorts](ctx, a, "/nodes/"+url.PathEscape(id.String())+"/ports")
}

func showPorts(a *app.App, p operator.NodePorts) error {
	return a.Show(p, app.Joined(p.Ports, portName), func(t *app.Table) {
		t.Head("PORT", "NODE'S", "HOST")
		for _, o := range p.Ports {
			t.Row(portName(o), o.Node, p.HostName)
		}
	})
}

func portName(p operator.PublishedPort) string { return fmt.Sprintf("%s/%d", p.Protocol, p.Host) }

// parsePort reads "tcp/20080", the node's port being the same, or "tcp/20080:80".
func parsePort(text string) (p operator.PublishedPort, err error) {
	proto, rest, ok := strings.Cut(text, "/")
	at, of, two := strings.Cut(rest, ":")
	if !two {
		of = at
	}
	h, err1 := strconv.ParseUint(at, 10, 16)
	n, err2 := strconv.ParseUint(of, 10, 16)
	if !ok || proto != "tcp" && proto != "udp" || err1 != nil || err2 != nil || h == 0 || n == 0 {
		return p, app.WithCode(app.ExitUsage,
			fmt.Errorf("port %q: want the protocol, the host's port and the node's, as tcp/20080:80", text))
	}
	return operator.PublishedPort{Protocol: proto, Host: uint16(h), Node: uint16(n)}, nil
}

func portList(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "list NODE", Short: "The ports of a node that are published", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := readPorts(cmd.Context(), a, args[0])
			if err != nil {
				return err
			}
			return showPorts(a, p)
		},
	}
}

// changePorts changes the ports of a node that are published, and shows what is so now.
func changePorts(ctx context.Context, a *app.App, node string,
	change func([]operator.PublishedPort) ([]operator.PublishedPort, error)) error {
	p, err := app.Change(func() (out operator.NodePorts, err error) {
		p, err := readPorts(ctx, a, node)
		if err != nil {
			return p, err
		}
		ports, err := change(p.Ports)
		if err != nil {
			return p, err
		}
		err = a.Call(ctx, http.MethodPut, "/nodes/"+p.CTID.String()+"/ports", operator.PublishedPorts{Ports: ports}, &out, "If-Match",
			fmt.Sprintf("%q", p.Revision.String()))
		return out, err
	})
	if err != nil {
		return err
	}
	return showPorts(a, p)
}

func portAdd(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "add NODE PORT", Short: "Publish a port of a node at its host's addresses", Args: cobra.ExactArgs(2),
		Long: "A port of the host leads to one of the node, for everybody whom the node's firewall lets in. In the whole cluster it is " +
			"one\nnode's, and stays that where the node is replaced on another host.",
		Example: "  hnctl node port add 101 tcp/25432:5432\n  hnctl node port add 101 udp/20053:53",
		RunE: func(cmd *cobra.Command, args []string) error {
			want, err := parsePort(args[1])
			if err != nil {
				return err
			}
			same := func(o operator.PublishedPort) bool { return portName(o) == portName(want) }
			return changePorts(cmd.Context(), a, args[0], func(was []operator.PublishedPort) ([]operator.PublishedPort, error) {
				return append(slices.DeleteFunc(slices.Clone(was), same), want), nil
			})
		},
	}
}

func portDelete(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "delete NODE PORT", Short: "Publish a port of a node no more", Args: cobra.ExactArgs(2),
		Example: "  hnctl node port delete 101 tcp/25432",
		RunE: func(cmd *cobra.Command, args []string) error {
			gone, err := parsePort(args[1])
			if err != nil {
				return err
			}
			return changePorts(cmd.Context(), a, args[0], func(was []operator.PublishedPort) ([]operator.PublishedPort, error) {
				left := slices.DeleteFunc(slices.Clone(was), func(o operator.PublishedPort) bool { return portName(o) == portName(gone) })
				if len(left) == len(was) {
					err := fmt.Errorf("node %s does not publish %s; see hnctl node port list %s", args[0], portName(gone), args[0])
					return nil, app.WithCode(app.ExitNotFound, err)
				}
				return left, nil
			})
		},
	}
}
