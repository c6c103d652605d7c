// Package node is hnctl's commands on nodes.
//
// Owns: the table of nodes, sessions in them, logs of many at once.
// In: arguments and flags; an app.App.
// Out: requests to the API; sessions whose exit code is passed on.
// Never: knows the other nouns' commands, or decides what the orchestrator decides.
package node

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
	"hardnode.dev/tools/hnctl/app"
	"hardnode.dev/tools/hnctl/session"
)

// Group is the commands on nodes.
func Group(a *app.App) *cobra.Command {
	return app.Group("node", "Nodes (containers)", nodeList(a), nodeShow(a), nodeResize(a), nodeUsage(a), nodeExec(a), nodeLogs(a),
		nodeCopy(a), nodeRestart(a), nodeMove(a), nodeForward(a), nodeTop(a), nodeConsole(a), nodeAttach(a), JEM(a),
		nodeFirewall(a), nodePort(a), nodeAddress(a),
		nodeMount(a), volumeGroup(a), snapshotGroup(a), backupGroup(a))
}

func nodeList(a *app.App) *cobra.Command {
	var env, on string
	c := &cobra.Command{
		Use: "list", Short: "Nodes (containers)", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := errors.Join(app.ByEnv.Check(cmd, env), app.ByHost.Check(cmd, on)); err != nil {
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
			list, err := app.Items[operator.Node](cmd.Context(), a, path)
			if err == nil && len(list) == 0 {
				err = cmp.Or(app.ByEnv.Exists(cmd.Context(), a, env), app.ByHost.Exists(cmd.Context(), a, on))
			}
			if err != nil {
				return err
			}
			return a.Show(list, app.Joined(list, func(n operator.Node) string { return n.CTID.String() }), func(t *app.Table) {
				Table(t, list)
			})
		},
	}
	c.Flags().StringVar(&env, "env", "", "of this environment only")
	c.Flags().StringVar(&on, "host", "", "on this host only")
	return c
}

// nodeID takes a container number, or a component's name.
func nodeID(ctx context.Context, a *app.App, arg string) (wire.CTID, error) {
	id, err := wire.ParseCTID(arg)
	if err == nil {
		return id, nil
	}
	if wire.Label("component", arg, 40) != nil {
		return 0, app.WithCode(app.ExitUsage, err)
	}
	list, lerr := app.Items[operator.Node](ctx, a, "/nodes?env=jelastic")
	if lerr != nil {
		return 0, lerr
	}
	for _, n := range list {
		if n.Component == arg {
			return n.CTID, nil
		}
	}
	return 0, app.WithCode(app.ExitNotFound, fmt.Errorf("there is no component %q; give a container number, see hnctl node list", arg))
}

func nodeExec(a *app.App) *cobra.Command {
	var tty, noTTY bool
	var uid, gid int
	var user string
	c := &cobra.Command{
		Use: "exec NODE [flags] -- COMMAND [ARG…]", Short: "Run a command in a node; its exit code is passed on",
		Args: cobra.MinimumNArgs(2),
		Long: "Runs a command in a node, given by number or, for components of the platform, by name. The exit code is the command's " +
			"own;\n125 when the session broke before there was one.",
		Example: "  hnctl node exec 101 -- sh\n  hnctl node exec 101 -- cat /etc/os-release > os-release\n" +
			"  hnctl node exec --user postgres 101 -- psql",
		RunE: func(cmd *cobra.Command, args []string) error {
			useTTY := tty || !noTTY && app.IsTerminal(a.In) && app.IsTerminal(a.Out)
			q := url.Values{"argv": args[1:]}
			if useTTY {
				q.Set("tty", "true")
				setSize(a, q)
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
					return app.WithCode(app.ExitUsage, errors.New("--user: is empty; give a user of the node's /etc/passwd, e.g. postgres"))
				case uid > 0 || gid > 0:
					return app.WithCode(app.ExitUsage,
						errors.New("--user: is given beside --uid or --gid; give one or the other, --user 1000:1000 is both"))
				}
				q.Set("user", user)
			}
			return inNode(cmd.Context(), a, args[0], "exec", q, session.IO{In: a.In, Out: a.Out, Err: a.Talk, TTY: useTTY})
		},
	}
	c.Flags().BoolVarP(&tty, "tty", "t", false, "use a terminal even if stdin is none")
	c.Flags().BoolVarP(&noTTY, "no-tty", "T", false, "use no terminal")
	c.Flags().StringVarP(&user, "user", "u", "", "user inside the node by name or number, e.g. postgres, www-data:adm or 1000:1000")
	c.Flags().IntVar(&uid, "uid", 0, "user inside the node")
	c.Flags().IntVar(&gid, "gid", 0, "group inside the node")
	return c
}

// setSize says how large the person's terminal is, 0 if there is none.
func setSize(a *app.App, q url.Values) {
	rows, cols := 0, 0
	if f, ok := a.Out.(*os.File); ok {
		if w, h, err := term.GetSize(int(f.Fd())); err == nil {
			rows, cols = h, w
		}
	}
	q.Set("rows", strconv.Itoa(rows))
	q.Set("cols", strconv.Itoa(cols))
}

// inNode opens a session in a node, runs it to its end, and passes its exit code on.
func inNode(ctx context.Context, a *app.App, node, kind string, q url.Values, io session.IO) error {
	id, err := nodeID(ctx, a, node)
	if err != nil {
		return err
	}
	return nodeSession(ctx, a, id, kind, q, io)
}

// nodeSession is inNode of a node whose number is known.
func nodeSession(ctx context.Context, a *app.App, id wire.CTID, kind string, q url.Values, io session.IO) error {
	return OpenSession(ctx, a, "/nodes/"+id.String()+"/"+kind, fmt.Sprintf("%s in node %d", kind, id), q, io)
}

// OpenSession opens a session at a path, runs it to its end, and passes its exit code on. What names it in errors.
func OpenSession(ctx context.Context, a *app.App, path, what string, q url.Values, io session.IO) error {
	c, err := a.API()
	if err != nil {
		return err
	}
	conn, err := c.Dial(ctx, operator.Prefix+path, q)
	if err != nil {
		return err
	}
	exit, err := session.Run(ctx, conn, io)
	if err == nil && exit.Note != "" {
		fmt.Fprintf(a.Talk, "hnctl: %s: %s\n", what, exit.Note)
	}
	switch {
	case ctx.Err() != nil && (strings.HasSuffix(path, "/logs") || strings.HasSuffix(path, "/console") ||
		strings.HasSuffix(path, "/access-log")):
		return nil // Ctrl-C is how one leaves these
	case err != nil:
		return app.WithCode(session.Broken, err)
	case exit.Error != "":
		return app.WithCode(max(exit.Code, 1), fmt.Errorf("%s: %s", what, exit.Error))
	case exit.Code != 0:
		return app.WithCode(exit.Code, app.ErrSilent)
	}
	return nil
}
