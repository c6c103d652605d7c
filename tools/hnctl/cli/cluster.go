package cli

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
)

func (a *app) clusterStatus() *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "State of the cluster: hosts, environments, licence, alarms", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := get[operator.Cluster](cmd.Context(), a, "/cluster")
			if err != nil {
				return err
			}
			cfg, err := a.config()
			if err != nil {
				return err
			}
			err = a.show(c, string(c.ID), func(t *table) {
				t.fields("cluster", fmt.Sprintf("%s (%s)", c.Name, c.ID), "domain", c.Domain, "version", c.Version, "CA pin", cfg.CAPin,
					"hosts", counts(c.Hosts), "environments", counts(c.Environments), "licence", licenceLine(c.License))
				if c.GossipKey != "" {
					t.fields("gossip key", c.GossipKey)
				}
				for _, alarm := range c.Alarms {
					t.fields("ALARM", alarm)
				}
				if skew := time.Since(c.Now); !c.Now.IsZero() && skew.Abs() > 2*time.Minute {
					t.fields("clock", "differs from this machine's by "+skew.Abs().Round(time.Second).String())
				}
			})
			if len(c.Hosts) == 0 {
				a.next("boot a host, then: hnctl host list")
			}
			return err
		},
	}
}

func (a *app) clusterRotateGossipKey() *cobra.Command {
	var noWait bool
	c := &cobra.Command{
		Use: "rotate-gossip-key", Short: "Replace the key that hosts' gossip is encrypted with", Args: cobra.NoArgs,
		Long: `Replaces the gossip key: every host learns the new one, then every host uses it, then the old one is dropped. A host that is off gets
the new key when it is back. Nothing that runs is touched.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			before, err := get[operator.Cluster](cmd.Context(), a, "/cluster")
			if err != nil {
				return err
			}
			if err := a.call(cmd.Context(), http.MethodPost, "/cluster/rotate-gossip-key", nil, nil); err != nil {
				return err
			}
			if noWait {
				a.next("hnctl cluster status")
				return nil
			}
			ctx, cancel := a.limit(cmd.Context())
			defer cancel()
			for last := before.GossipKey; ; {
				c, err := get[operator.Cluster](ctx, a, "/cluster")
				if err == nil && c.GossipKey != last {
					last = c.GossipKey
					a.say("gossip key: %s", last)
				}
				if last != before.GossipKey && strings.HasPrefix(last, "rotated ") {
					return nil
				}
				if !run.Wait(ctx, time.Second) {
					return withCode(exitTimeout, errors.New("stopped waiting; the rotation goes on, see it with: hnctl cluster status"))
				}
			}
		},
	}
	noWaitFlag(c, &noWait)
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

func (a *app) licenceShow() *cobra.Command {
	return &cobra.Command{
		Use: "show", Short: "The licence in force, and what is used of it", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := get[operator.License](cmd.Context(), a, "/license")
			if err != nil {
				return err
			}
			return a.show(l, l.ID, func(t *table) { licenceFields(t, l) })
		},
	}
}

func licenceFields(t *table, l operator.License) {
	t.fields("licence", l.ID, "customer", l.Customer, "state", l.State, "reason", l.Reason, "hosts", fmt.Sprintf("%d of %d used", l.HostsUsed, l.Hosts),
		"expires", stamp(l.Expires), "lease until", stamp(l.Lease), "licence server", l.JLS)
}

func (a *app) licenceSet() *cobra.Command {
	return &cobra.Command{
		Use: "set FILE", Short: "Install another licence; - is stdin", Args: cobra.ExactArgs(1),
		Long: "FILE holds the licence as `jls licence issue` or `hnctl jls licence issue` printed it. One that doesn't verify, or has ended, is refused\n" +
			"and the one in force stays. Whatever the new one allows, nothing that runs is stopped.",
		Example: "  hnctl licence set demo.licence\n  hnctl jls licence issue --customer Demo --hosts 4 | hnctl licence set -",
		RunE: func(cmd *cobra.Command, args []string) error {
			raw, err := a.readFile(args[0], license.MaxToken+1)
			switch {
			case err != nil:
				return err
			case len(raw) > license.MaxToken:
				return withCode(exitUsage, fmt.Errorf("%s: is longer than %d bytes, so it is no licence; give the file that `jls licence issue` wrote", args[0], license.MaxToken))
			case oneLine(raw) == "":
				return withCode(exitUsage, fmt.Errorf("%s: is empty; give the file that `jls licence issue` wrote", args[0]))
			}
			var l operator.License
			if err := a.call(cmd.Context(), http.MethodPut, "/license", operator.LicenseText{Text: oneLine(raw)}, &l); err != nil {
				return err
			}
			a.say("licence %s of %s is installed: %s", l.ID, l.Customer, licenceLine(l))
			return a.show(l, l.ID, func(t *table) { licenceFields(t, l) })
		},
	}
}

func short(hex string) string { return hex[:min(12, len(hex))] }
