// Package cluster is hnctl's commands on the cluster as a whole and its licence.
//
// Owns: the making of a cluster's first files (by tools/hnctl/day0), its status, its licence.
// In: arguments and flags; an app.App.
// Out: files of a new cluster; requests to the API; tables.
// Never: knows the other nouns' commands, or decides what the orchestrator decides.
package cluster

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/license"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/tools/hnctl/app"
)

// Licence is the commands on the licence.
func Licence(a *app.App) *cobra.Command {
	return app.Group("licence", "The licence", licenceShow(a), licenceSet(a))
}

// Group is the commands on the cluster as a whole.
func Group(a *app.App) *cobra.Command {
	return app.Group("cluster", "The cluster as a whole", clusterInit(a), clusterStatus(a), clusterWebCA(a), clusterErrors(a),
		clusterRotateGossipKey(a),
		netboot(a), mails(a), providers(a), acmes(a), names(a))
}

func clusterErrors(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "errors", Short: "Errors of the platform's own programs on all hosts, the like ones together", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := app.Get[operator.ErrorGroups](cmd.Context(), a, "/errors")
			if err != nil {
				return err
			}
			id := func(g operator.ErrorGroup) string { return g.Fingerprint }
			return a.Show(all, app.Joined(all.Groups, id), func(t *app.Table) {
				t.Head("HOST", "COMPONENT", "VERSION", "KIND", "COUNT", "LAST", "MESSAGE")
				for _, g := range all.Groups {
					t.Row(g.HostName, g.Component, g.Version, g.Kind, g.Count, app.Stamp(g.Last), g.Message)
				}
			})
		},
	}
}

func clusterStatus(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "State of the cluster: hosts, environments, licence, alarms", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := app.Get[operator.Cluster](cmd.Context(), a, "/cluster")
			if err != nil {
				return err
			}
			cfg, err := a.Config()
			if err != nil {
				return err
			}
			err = a.Show(c, string(c.ID), func(t *app.Table) {
				t.Fields("cluster", fmt.Sprintf("%s (%s)", c.Name, c.ID), "domain", c.Domain, "version", c.Version, "CA pin", cfg.CAPin,
					"hosts", counts(c.Hosts), "environments", counts(c.Environments), "licence", licenceLine(c.License))
				if c.GossipKey != "" {
					t.Fields("gossip key", c.GossipKey)
				}
				for _, alarm := range c.Alarms {
					t.Fields("ALARM", alarm)
				}
				if skew := time.Since(c.Now); !c.Now.IsZero() && skew.Abs() > 2*time.Minute {
					t.Fields("clock", "differs from this machine's by "+skew.Abs().Round(time.Second).String())
				}
			})
			if len(c.Hosts) == 0 {
				a.Next("boot a host, then: hnctl host list")
			}
			return err
		},
	}
}

func clusterRotateGossipKey(a *app.App) *cobra.Command {
	var noWait bool
	c := &cobra.Command{
		Use: "rotate-gossip-key", Short: "Replace the key that hosts' gossip is encrypted with", Args: cobra.NoArgs,
		Long: `Replaces the gossip key: every host learns the new one, then every host uses it, then the old one is dropped. A host that is off gets
the new key when it is back. Nothing that runs is touched.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			before, err := app.Get[operator.Cluster](cmd.Context(), a, "/cluster")
			if err != nil {
				return err
			}
			if err := a.Call(cmd.Context(), http.MethodPost, "/cluster/rotate-gossip-key", nil, nil); err != nil {
				return err
			}
			if noWait {
				a.Next("hnctl cluster status")
				return nil
			}
			ctx, cancel := a.Limit(cmd.Context())
			defer cancel()
			for last := before.GossipKey; ; {
				c, err := app.Get[operator.Cluster](ctx, a, "/cluster")
				if err == nil && c.GossipKey != last {
					last = c.GossipKey
					a.Say("gossip key: %s", last)
				}
				if last != before.GossipKey && strings.HasPrefix(last, "rotated ") {
					return nil
				}
				if !run.Wait(ctx, time.Second) {
					return app.WithCode(app.ExitTimeout,
						errors.New("stopped waiting; the rotation goes on, see it with: hnctl cluster status"))
				}
			}
		},
	}
	app.NoWaitFlag(c, &noWait)
	return c
}

func counts(m map[string]int) string {
	if len(m) == 0 {
		return "none"
	}
	var out []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, fmt.Sprintf("%d %s", m[k], k))
	}
	return strings.Join(out, ", ")
}

func licenceLine(l operator.License) string {
	s := fmt.Sprintf("%s, %d of %d hosts", l.State, l.HostsUsed, l.Hosts)
	if !l.Expires.IsZero() {
		s += ", until " + l.Expires.Format(time.DateOnly)
	}
	if l.Reason != "" {
		s += ": " + l.Reason
	}
	return s
}

func licenceShow(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "show", Short: "The licence in force, and what is used of it", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := app.Get[operator.License](cmd.Context(), a, "/license")
			if err != nil {
				return err
			}
			return a.Show(l, l.ID, func(t *app.Table) { licenceFields(t, l) })
		},
	}
}

func licenceFields(t *app.Table, l operator.License) {
	t.Fields("licence", l.ID, "customer", l.Customer, "state", l.State, "reason", l.Reason,
		"hosts", fmt.Sprintf("%d of %d used", l.HostsUsed, l.Hosts), "expires", app.Stamp(l.Expires), "lease until", app.Stamp(l.Lease),
		"licence server", l.JLS)
}

func licenceSet(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "set FILE", Short: "Install another licence; - is stdin", Args: cobra.ExactArgs(1),
		Long: "FILE holds the licence as `jls licence issue` or `hnctl jls licence issue` printed it. One that doesn't verify, or has " +
			"ended, is refused\nand the one in force stays. Whatever the new one allows, nothing that runs is stopped.",
		Example: "  hnctl licence set demo.licence\n  hnctl jls licence issue --customer Demo --hosts 4 | hnctl licence set -",
		RunE: func(cmd *cobra.Command, args []string) error {
			raw, err := a.ReadFile(cmd.Context(), args[0], license.MaxToken)
			switch {
			case err != nil:
				return err
			case app.OneLine(raw) == "":
				return app.WithCode(app.ExitUsage, fmt.Errorf("%s: is empty; give the file that `jls licence issue` wrote", args[0]))
			}
			var l operator.License
			if err := a.Call(cmd.Context(), http.MethodPut, "/license", operator.LicenseText{Text: app.OneLine(raw)}, &l); err != nil {
				return err
			}
			a.Say("licence %s of %s is installed: %s", l.ID, l.Customer, licenceLine(l))
			return a.Show(l, l.ID, func(t *app.Table) { licenceFields(t, l) })
		},
	}
}
