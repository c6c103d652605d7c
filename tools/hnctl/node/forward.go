package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
	"hardnode.dev/tools/hnctl/app"
	"hardnode.dev/tools/hnctl/session"
)

func nodeForward(a *app.App) *cobra.Command {
	var address string
	c := &cobra.Command{
		Use: "port-forward NODE LOCAL:REMOTE…", Short: "Reach TCP ports of a node at ports of this machine", Args: cobra.MinimumNArgs(2),
		Long: "Listens at LOCAL on this machine and carries each connection to port REMOTE inside the node, on its loopback or its own\n" +
			"address, until Ctrl-C. REMOTE alone is the same port here; :REMOTE is any that is free.",
		Example: "  hnctl node port-forward 101 8080:80\n  hnctl node port-forward 102 5432",
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			var ports [][2]uint16
			for _, arg := range args[1:] {
				p, err := portsOf(arg)
				if err != nil {
					return app.Usage(cmd, "%v", err)
				}
				ports = append(ports, p)
			}
			if net.ParseIP(address) == nil {
				return app.Usage(cmd, "--address %q: is no address of this machine, such as 127.0.0.1", address)
			}
			id, err := nodeID(ctx, a, args[0])
			if err != nil {
				return err
			}
			return forward(ctx, a, id, address, ports)
		},
	}
	c.Flags().StringVar(&address, "address", "127.0.0.1", "address of this machine to listen at")
	return c
}

// portsOf takes LOCAL:REMOTE apart.
func portsOf(arg string) (p [2]uint16, err error) {
	local, remote, ok := strings.Cut(arg, ":")
	if !ok {
		remote = local
	}
	for i, s := range []string{local, remote} {
		n, err := strconv.ParseUint(s, 10, 16)
		switch {
		case i == 0 && ok && s == "":
		case err != nil || n == 0 && i == 1:
			return p, fmt.Errorf("%q: want LOCAL:REMOTE, two ports from 1 to 65535, or one", arg)
		}
		p[i] = uint16(n)
	}
	return p, nil
}

// forward listens at all ports until ctx ends. A connection that can't be carried is said, and does not end the others.
func forward(ctx context.Context, a *app.App, id wire.CTID, address string, ports [][2]uint16) error {
	var all sync.WaitGroup
	defer all.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, p := range ports {
		l, err := net.Listen("tcp", net.JoinHostPort(address, strconv.Itoa(int(p[0]))))
		if err != nil {
			return fmt.Errorf("listen at port %d: %v", p[0], errors.Unwrap(err))
		}
		defer l.Close()
		a.Say("%s goes to port %d of node %s", l.Addr(), p[1], id)
		all.Go(func() {
			stop := context.AfterFunc(ctx, func() { l.Close() })
			defer stop()
			run.Accept(ctx, l.Accept, func(err error) { a.Say("hnctl: accept: %v", err) }, func(c net.Conn) {
				defer c.Close()
				defer context.AfterFunc(ctx, func() { c.Close() })()
				q := url.Values{"port": {strconv.Itoa(int(p[1]))}}
				if err := nodeSession(ctx, a, id, "forward", q, session.IO{In: c, Out: c, Err: a.Talk}); err != nil && ctx.Err() == nil {
					a.Say("hnctl: %s: %s", c.RemoteAddr(), app.Explain(err))
				}
			})
		})
	}
	<-ctx.Done()
	return nil
}
