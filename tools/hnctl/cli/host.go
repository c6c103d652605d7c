package cli

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/wire/document"
	"hardnode.dev/internal/wire/operator"
)

func (a *app) hostList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "All hosts", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := items[operator.Host](cmd.Context(), a, "/hosts")
			if err != nil {
				return err
			}
			return a.show(list, joined(list, func(h operator.Host) string { return h.Name }), func(t *table) {
				t.head("NAME", "STATE", "ROLE", "UNDERLAY", "BLOCK", "NODES", "MEMORY", "LOAD", "VERSION", "SEEN", "NOTE")
				for _, h := range list {
					note := strings.Join(append(nonEmpty(h.Reason, h.Unlicensed), h.Problems...), "; ")
					t.row(h.Name, h.State, h.Role, h.Underlay, h.Block, h.Containers, fmt.Sprintf("%d/%d MiB", h.MemoryUsed, h.MemoryMiB), fmt.Sprintf("%.2f", h.Load1), h.Version, ago(h.Seen, time.Now()), note)
				}
			})
		},
	}
}

func (a *app) hostShow() *cobra.Command {
	return &cobra.Command{
		Use: "show HOST", Short: "One host, by name or id", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			h, err := get[operator.Host](cmd.Context(), a, "/hosts/"+url.PathEscape(args[0]))
			if err != nil {
				return err
			}
			nodes, err := items[operator.Node](cmd.Context(), a, "/nodes?host="+url.QueryEscape(string(h.ID)))
			if err != nil {
				return err
			}
			if a.output != "table" {
				return a.show(h, h.Name, nil)
			}
			return a.show(h, h.Name, func(t *table) {
				t.fields("host", fmt.Sprintf("%s (%s)", h.Name, h.ID), "state", h.State, "reason", h.Reason, "unlicensed", h.Unlicensed, "role", h.Role, "short code", h.Code,
					"underlay", h.Underlay, "block", h.Block, "version", h.Version, "boot", h.Boot, "joined", stamp(h.Joined), "last report", ago(h.Seen, time.Now())+" ago",
					"up", (time.Duration(h.UptimeSec) * time.Second).String(), "processors", fmt.Sprintf("%d at %d MHz, load %.2f", h.CPUs, h.MHz, h.Load1),
					"memory", fmt.Sprintf("%d of %d MiB used", h.MemoryUsed, h.MemoryMiB), "disk", fmt.Sprintf("%d of %d MiB used", h.DiskUsed, h.DiskMiB))
				for _, p := range h.Problems {
					t.fields("problem", p)
				}
				if len(nodes) > 0 {
					t.gap()
					nodeTable(t, nodes)
				}
			})
		},
	}
}

func (a *app) hostConfigValidate() *cobra.Command {
	return &cobra.Command{
		Use: "validate FILE", Short: "Check a host configuration; - is stdin", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			raw, err := a.readFile(args[0], document.MaxBytes+1)
			if err != nil {
				return err
			}
			c, err := document.HostConfig(args[0], raw)
			if err != nil {
				return err
			}
			if c.Join == nil {
				a.say("note: %s has no join: the host will wait unconfigured", args[0])
			}
			a.say("%s: valid, host %s, role %s, %d links", args[0], c.Name, c.Role, len(c.Network.Links))
			return nil
		},
	}
}

func nonEmpty(texts ...string) (out []string) {
	for _, s := range texts {
		if s != "" {
			out = append(out, s)
		}
	}
	return out
}
