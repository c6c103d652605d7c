package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/tools/hnctl/session"
)

func (a *app) nodeList() *cobra.Command {
	var env, on string
	c := &cobra.Command{
		Use: "list", Short: "Nodes (containers)", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := errors.Join(byEnv.check(cmd, env), byHost.check(cmd, on)); err != nil {
				return err
			}
			q := url.Values{}
			if env != "" {
				q.Set("env", env)
			}
			if on != "" {
				q.Set("host", on)
			}
			path := "/nodes"
			if len(q) > 0 {
				path += "?" + q.Encode()
			}
			list, err := items[operator.Node](cmd.Context(), a, path)
			if err == nil && len(list) == 0 {
				err = cmp.Or(byEnv.exists(cmd.Context(), a, env), byHost.exists(cmd.Context(), a, on))
			}
			if err != nil {
				return err
			}
			return a.show(list, joined(list, func(n operator.Node) string { return n.CTID.String() }), func(t *table) { nodeTable(t, list) })
		},
	}
	c.Flags().StringVar(&env, "env", "", "of this environment only")
	c.Flags().StringVar(&on, "host", "", "on this host only")
	return c
}

// nodeID takes a container number, or a component's name.
func (a *app) nodeID(ctx context.Context, arg string) (wire.CTID, error) {
	id, err := wire.ParseCTID(arg)
	if err == nil {
		return id, nil
	}
	if wire.Label("component", arg, 40) != nil {
		return 0, withCode(exitUsage, err)
	}
	list, lerr := items[operator.Node](ctx, a, "/nodes?env=jelastic")
	if lerr != nil {
		return 0, lerr
	}
	for _, n := range list {
		if n.Component == arg {
			return n.CTID, nil
		}
	}
	return 0, withCode(exitNotFound, fmt.Errorf("there is no component %q; give a container number, see hnctl node list", arg))
}

func (a *app) nodeExec() *cobra.Command {
	var tty, noTTY bool
	var uid, gid int
	var user string
	c := &cobra.Command{
		Use: "exec NODE [flags] -- COMMAND [ARG…]", Short: "Run a command in a node; its exit code is passed on", Args: cobra.MinimumNArgs(2),
		Long:    "Runs a command in a node, given by number or, for components of the platform, by name. The exit code is the command's own;\n125 when the session broke before there was one.",
		Example: "  hnctl node exec 101 -- sh\n  hnctl node exec 101 -- cat /etc/os-release > os-release\n  hnctl node exec --user postgres 101 -- psql",
		RunE: func(cmd *cobra.Command, args []string) error {
			rows, cols := 0, 0
			useTTY := tty || !noTTY && isTerminal(a.in) && isTerminal(a.out)
			q := url.Values{"argv": args[1:]}
			if useTTY {
				q.Set("tty", "true")
				if f, ok := a.out.(*os.File); ok {
					if w, h, err := term.GetSize(int(f.Fd())); err == nil {
						rows, cols = h, w
					}
				}
				q.Set("rows", strconv.Itoa(rows))
				q.Set("cols", strconv.Itoa(cols))
			}
			if uid > 0 {
				q.Set("uid", strconv.Itoa(uid))
			}
			if gid > 0 {
				q.Set("gid", strconv.Itoa(gid))
			}
			if cmd.Flags().Changed("user") {
				switch {
				case user == "":
					return withCode(exitUsage, errors.New("--user: is empty; give a user of the node's /etc/passwd, e.g. postgres"))
				case uid > 0 || gid > 0:
					return withCode(exitUsage, errors.New("--user: is given beside --uid or --gid; give one or the other, --user 1000:1000 is both"))
				}
				q.Set("user", user)
			}
			return a.session(cmd.Context(), args[0], "exec", q, session.IO{In: a.in, Out: a.out, Err: a.talk, TTY: useTTY})
		},
	}
	c.Flags().BoolVarP(&tty, "tty", "t", false, "use a terminal even if stdin is none")
	c.Flags().BoolVarP(&noTTY, "no-tty", "T", false, "use no terminal")
	c.Flags().StringVarP(&user, "user", "u", "", "user inside the node by name or number, e.g. postgres, www-data:adm or 1000:1000")
	c.Flags().IntVar(&uid, "uid", 0, "user inside the node")
	c.Flags().IntVar(&gid, "gid", 0, "group inside the node")
	return c
}

func (a *app) nodeJEM() *cobra.Command {
	return &cobra.Command{
		Use: "jem NODE MODULE ACTION [ARG…]", Short: "Run a life-cycle action in a node", Args: cobra.MinimumNArgs(3),
		Example: "  hnctl node jem 101 service status",
		RunE: func(cmd *cobra.Command, args []string) error {
			q := url.Values{"module": {args[1]}, "action": {args[2]}, "arg": args[3:]}
			return a.session(cmd.Context(), args[0], "jem", q, session.IO{Out: a.out, Err: a.talk})
		},
	}
}

// session opens one, runs it to its end, and passes its exit code on.
func (a *app) session(ctx context.Context, node, kind string, q url.Values, io session.IO) error {
	id, err := a.nodeID(ctx, node)
	if err != nil {
		return err
	}
	return a.nodeSession(ctx, id, kind, q, io)
}

// nodeSession is session of a node whose number is known.
func (a *app) nodeSession(ctx context.Context, id wire.CTID, kind string, q url.Values, io session.IO) error {
	return a.openSession(ctx, "/nodes/"+id.String()+"/"+kind, fmt.Sprintf("%s in node %d", kind, id), q, io)
}

// openSession opens a session at a path, runs it to its end, and passes its exit code on. What names it in errors.
func (a *app) openSession(ctx context.Context, path, what string, q url.Values, io session.IO) error {
	c, err := a.api()
	if err != nil {
		return err
	}
	conn, err := c.Dial(ctx, operator.Prefix+path, q)
	if err != nil {
		return err
	}
	exit, err := session.Run(ctx, conn, io)
	if err == nil && exit.Note != "" {
		fmt.Fprintf(a.talk, "hnctl: %s: %s\n", what, exit.Note)
	}
	switch {
	case ctx.Err() != nil && strings.HasSuffix(path, "/logs"):
		return nil // Ctrl-C is how one leaves a log
	case err != nil:
		return withCode(session.Broken, err)
	case exit.Error != "":
		return withCode(max(exit.Code, 1), fmt.Errorf("%s: %s", what, exit.Error))
	case exit.Code != 0:
		return withCode(exit.Code, errSilent)
	}
	return nil
}
