package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/tools/hnctl/app"
	"hardnode.dev/tools/hnctl/session"
)

// maxFollowed is how many logs are followed at once: each is a connection, and a token may hold a hundred.
const maxFollowed = 50

// logFlags are what `node logs` is told.
type logFlags struct {
	follow, times, prefix bool
	tail                  int
	since                 string
	component, env, layer string
}

func nodeLogs(a *app.App) *cobra.Command {
	var f logFlags
	c := &cobra.Command{
		Use: "logs [NODE…]", Short: "The log of a node, or of several",
		Long: "Writes what nodes have written: their stdout to stdout, their stderr to stderr. Nodes are given by number or, for " +
			"components of the\nplatform, by name; --env, with --layer if wanted, is all nodes of an environment. Several nodes come " +
			"one after the other, or mixed\nwith --follow, and each line then says whose it is.",
		Example: "  hnctl node logs 101 --since 10m --timestamps\n  hnctl node logs --env hello --follow\n" +
			"  hnctl node logs orchestrator --tail 100",
		RunE: func(cmd *cobra.Command, args []string) error {
			return readLogs(a, cmd, args, f)
		},
	}
	c.Flags().BoolVarP(&f.follow, "follow", "f", false, "go on until Ctrl-C")
	c.Flags().IntVar(&f.tail, "tail", 0, "lines from the end of each; 0 is all that is kept")
	c.Flags().StringVar(&f.since, "since", "", "only what was written since: how long ago (90s, 15m, 2h, 7d), or a time (RFC 3339)")
	c.Flags().BoolVar(&f.times, "timestamps", false, "begin each line with the time it was written, in UTC")
	c.Flags().BoolVar(&f.prefix, "prefix", false, "begin each line with the node it is from; --prefix=false leaves it out for several")
	c.Flags().StringVar(&f.component, "component", "", "a component of the platform instead of a node")
	c.Flags().StringVar(&f.env, "env", "", "all nodes of this environment")
	c.Flags().StringVar(&f.layer, "layer", "", "of the environment, only the nodes of this layer")
	return c
}

// query checks the flags and makes a session's parameters of them.
func (f logFlags) query(c *cobra.Command) (url.Values, error) {
	if f.tail < 0 {
		return nil, app.Usage(c, "--tail %d: want 0, which is all that is kept, or more", f.tail)
	}
	q := url.Values{"tail": {strconv.Itoa(f.tail)}}
	if f.follow {
		q.Set("follow", "true")
	}
	if f.times {
		q.Set("timestamps", "true")
	}
	if c.Flags().Changed("since") {
		if _, err := operator.ParseSince(f.since, time.Now()); err != nil {
			return nil, app.Usage(c, "--since %v", err)
		}
		q.Set("since", f.since)
	}
	return q, nil
}

// logged is a node whose log is read.
type logged struct {
	id   wire.CTID
	name string // as --prefix says it
}

func readLogs(a *app.App, c *cobra.Command, args []string, f logFlags) error {
	q, err := f.query(c)
	if err != nil {
		return err
	}
	if err := errors.Join(app.ByEnv.Check(c, f.env), app.EmptyFlag(c, "component"), app.EmptyFlag(c, "layer")); err != nil {
		return err
	}
	ways := 0
	for _, given := range []bool{len(args) > 0, f.component != "", f.env != ""} {
		if given {
			ways++
		}
	}
	switch {
	case ways != 1:
		return app.Misused(c, "give nodes, --env or --component")
	case f.layer != "" && f.env == "":
		return app.Misused(c, "--layer goes with --env")
	}
	ctx := c.Context()
	nodes, err := loggedNodes(ctx, a, args, f)
	if err != nil {
		return err
	}
	if f.follow && len(nodes) > maxFollowed {
		return app.WithCode(app.ExitUsage,
			fmt.Errorf("%d nodes are too many to follow at once, at most %d: choose a layer with --layer, or nodes", len(nodes),
				maxFollowed))
	}
	prefix := f.prefix || len(nodes) > 1 && !c.Flags().Changed("prefix")
	var mu sync.Mutex
	return each(ctx, a, nodes, f.follow, func(n logged) error {
		if !prefix {
			return nodeSession(ctx, a, n.id, "logs", q, session.IO{Out: a.Out, Err: a.Talk})
		}
		out, errs := &prefixed{to: a.Out, mu: &mu, head: "[" + n.name + "] "}, &prefixed{to: a.Talk, mu: &mu, head: "[" + n.name + "] "}
		err := nodeSession(ctx, a, n.id, "logs", q, session.IO{Out: out, Err: errs})
		return errors.Join(err, out.flush(), errs.flush())
	})
}

// loggedNodes are the nodes that were asked for, in the order given or by number.
func loggedNodes(ctx context.Context, a *app.App, args []string, f logFlags) (out []logged, err error) {
	if f.component != "" {
		args = []string{f.component}
	}
	seen := map[wire.CTID]bool{}
	for _, arg := range args {
		id, err := nodeID(ctx, a, arg)
		if err != nil {
			return nil, err
		}
		if !seen[id] {
			seen[id] = true
			out = append(out, logged{id, arg})
		}
	}
	if f.env == "" {
		return out, nil
	}
	list, err := app.Items[operator.Node](ctx, a, "/nodes?env="+url.QueryEscape(f.env))
	if err == nil && len(list) == 0 {
		err = app.ByEnv.Exists(ctx, a, f.env)
	}
	if err != nil {
		return nil, err
	}
	var layers []string
	for _, n := range list {
		layers = append(layers, string(n.Layer))
		if f.layer == "" || string(n.Layer) == f.layer {
			out = append(out, logged{n.CTID, fmt.Sprintf("%s/%s/%d", n.Env, n.Layer, n.CTID)})
		}
	}
	switch {
	case len(out) > 0:
		return out, nil
	case f.layer != "":
		return nil, app.WithCode(app.ExitNotFound,
			fmt.Errorf("environment %s has no nodes in a layer %q%s", f.env, f.layer, app.Nearest(f.layer, layers)))
	}
	return nil, app.WithCode(app.ExitNotFound, fmt.Errorf("environment %s has no nodes", f.env))
}

// each reads all logs: one after the other, or all at once. What fails is said and does not hold up the rest.
func each(ctx context.Context, a *app.App, nodes []logged, atOnce bool, read func(logged) error) error {
	if len(nodes) == 1 {
		return read(nodes[0])
	}
	failed := make([]error, len(nodes))
	var wg sync.WaitGroup
	for i, n := range nodes {
		if ctx.Err() != nil {
			break
		}
		wg.Go(func() {
			if failed[i] = read(n); failed[i] != nil && ctx.Err() == nil {
				a.Say("hnctl: %s: %s", n.name, app.Explain(failed[i]))
			}
		})
		if !atOnce {
			wg.Wait()
		}
	}
	wg.Wait()
	bad, code := 0, 0
	for _, err := range failed {
		if err != nil {
			bad++
			code = app.ExitCode(err)
		}
	}
	switch {
	case bad == 0 || ctx.Err() != nil:
		return nil // Ctrl-C is how one leaves logs
	case bad < len(nodes):
		code = app.ExitPartly
	}
	return app.WithCode(code, app.ErrSilent)
}

// prefixed writes whole lines with a head; mu keeps lines of several writers apart.
type prefixed struct {
	to   io.Writer
	mu   *sync.Mutex
	head string
	rest []byte
}

// Write writes the lines that are complete.
func (p *prefixed) Write(b []byte) (int, error) {
	p.rest = append(p.rest, b...)
	var out []byte
	for {
		i := bytes.IndexByte(p.rest, '\n')
		if i < 0 {
			break
		}
		out = append(append(out, p.head...), p.rest[:i+1]...)
		p.rest = p.rest[i+1:]
	}
	if len(out) == 0 {
		return len(b), nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, err := p.to.Write(out); err != nil {
		return 0, err
	}
	return len(b), nil
}

// flush writes what never got its end.
func (p *prefixed) flush() error {
	if len(p.rest) == 0 {
		return nil
	}
	_, err := p.Write([]byte("\n"))
	return err
}
