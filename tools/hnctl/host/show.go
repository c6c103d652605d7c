package host

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/upkeep"
	"hardnode.dev/tools/hnctl/app"
	"hardnode.dev/tools/hnctl/node"
	"hardnode.dev/tools/hnctl/session"
)

func hostDmesg(a *app.App) *cobra.Command {
	var since string
	var tail int
	var follow, crash bool
	c := &cobra.Command{
		Use: "dmesg HOST", Short: "All of a host's kernel log, whoever wrote it; needs a token with scope platform",
		Args: cobra.ExactArgs(1),
		Long: "Writes the ring of the host's kernel: its own lines, those of init and of the programs init keeps. It begins anew " +
			"with each boot.\nWith --crash it writes what a kernel of this host said last before it panicked: the last 16 KiB, if " +
			"they were kept.",
		Example: "  hnctl host dmesg host-1 --since 10m\n  hnctl host dmesg host-1 --crash",
		RunE: func(cmd *cobra.Command, args []string) error {
			unit := host.UnitDmesg
			switch {
			case tail < 0:
				return app.Usage(cmd, "--tail %d: want 0, which is all that is kept, or more", tail)
			case crash && follow:
				return app.Usage(cmd, "--crash and --follow: what a kernel said last does not grow; give one of them")
			case crash:
				unit = host.UnitCrash
			}
			q := url.Values{"unit": {string(unit)}, "tail": {strconv.Itoa(tail)}}
			if follow {
				q.Set("follow", "true")
			}
			if cmd.Flags().Changed("since") {
				if _, err := operator.ParseSince(since, time.Now()); err != nil {
					return app.Usage(cmd, "--since %v", err)
				}
				q.Set("since", since)
			}
			return node.OpenSession(cmd.Context(), a, "/hosts/"+url.PathEscape(args[0])+"/logs", "kernel log of host "+args[0], q,
				session.IO{Out: a.Out, Err: a.Talk})
		},
	}
	c.Flags().BoolVar(&crash, "crash", false, "what a kernel of this host said last before it panicked")
	c.Flags().BoolVarP(&follow, "follow", "f", false, "go on until Ctrl-C")
	c.Flags().IntVar(&tail, "tail", 0, "lines from the end; 0 is all that is kept")
	c.Flags().StringVar(&since, "since", "", "only what was written since: how long ago (90s, 15m, 2h, 7d), or a time (RFC 3339)")
	return c
}

func hostSupport(a *app.App) *cobra.Command {
	var to string
	c := &cobra.Command{
		Use: "support HOST", Short: "A host's support bundle, into a file; needs a token with scope platform", Args: cobra.ExactArgs(1),
		Long: "Writes a tar.gz of the host's state: versions, configuration, logs, kernel log, mounts, disks, cgroups, network, what it " +
			"sees of the\nothers, and why it was booted. Secrets are left out or replaced; look through it all the same before you give " +
			"it away.",
		Example: "  hnctl host support host-1\n  hnctl host support host-1 --file - | tar -tz",
		RunE: func(cmd *cobra.Command, args []string) error {
			path := "/hosts/" + url.PathEscape(args[0]) + "/" + string(upkeep.ShowSupport)
			take := func(w io.Writer) error {
				return node.OpenSession(cmd.Context(), a, path, "support bundle of host "+args[0], nil, session.IO{Out: w, Err: a.Talk})
			}
			if to == "-" {
				return take(a.Out)
			}
			if to == "" {
				to = fmt.Sprintf("support-%s-%s.tar.gz", url.PathEscape(args[0]), time.Now().UTC().Format("20060102T150405Z"))
			}
			size, err := app.WriteWhole(to, take)
			if err == nil {
				a.Say("%s: %d KiB; secrets are left out, but look through it before you give it away", to, (size+1023)>>10)
			}
			return err
		},
	}
	c.Flags().StringVar(&to, "file", "", "where to write it; - is stdout, empty is support-HOST-TIME.tar.gz here")
	return c
}

func hostConfigShow(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "show HOST", Short: "The configuration a host runs with, without its secrets, and where it was found",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var out bytes.Buffer
			if err := node.OpenSession(cmd.Context(), a, "/hosts/"+url.PathEscape(args[0])+"/"+string(upkeep.ShowConfig),
				"configuration of host "+args[0], nil, session.IO{Out: &out, Err: a.Talk}); err != nil {
				return err
			}
			var c upkeep.Config
			if err := json.Unmarshal(out.Bytes(), &c); err != nil {
				return fmt.Errorf("read the configuration of host %s: %v", args[0], err)
			}
			if a.Output != "table" {
				return a.Show(c, args[0], nil)
			}
			text, err := yaml.JSONToYAML(c.Config)
			if err != nil {
				return fmt.Errorf("show the configuration of host %s: %v", args[0], err)
			}
			_, err = fmt.Fprintf(a.Out, "# found in: %s\n%s", app.Clean(c.Source), text)
			return err
		},
	}
}
