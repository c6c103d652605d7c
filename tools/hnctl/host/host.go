// Package host is hnctl's commands on hosts.
//
// Owns: how hosts are listed and shown, their join tokens, their logs, how they are labelled, cordoned, drained, booted anew and
// switched off, the check of their configuration files.
// In: arguments and flags; an app.App.
// Out: requests to the API; tables.
// Never: knows the other nouns' commands, or decides what the orchestrator decides.
package host

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/wire/document"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/tools/hnctl/app"
	"hardnode.dev/tools/hnctl/node"
)

// Group is the commands on hosts.
func Group(a *app.App) *cobra.Command {
	return app.Group("host", "Hosts", hostList(a), hostShow(a), hostToken(a), hostWaiting(a), hostAdmit(a), hostRemove(a),
		hostLabel(a),
		hostCordon(a), hostUncordon(a), hostDrain(a), hostLogs(a), hostDmesg(a), hostSupport(a), hostLeave(a, false), hostLeave(a, true),
		hostInstall(a), hostDisk(a), hostSlots(a), hostUpdate(a), hostConsoleAnswer(a),
		app.Group("config", "Host configurations", hostConfigValidate(a), hostConfigShow(a), hostConfigPassword(a),
			hostConfigConsoleKey(a), hostConfigLine(a), hostConfigSchema(a)))
}

func hostList(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "All hosts", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := app.Items[operator.Host](cmd.Context(), a, "/hosts")
			if err != nil {
				return err
			}
			var strangers []operator.WaitingHost
			if a.Output == "table" {
				if strangers, err = waiting(cmd.Context(), a); err != nil {
					return err
				}
			}
			return a.Show(list, app.Joined(list, func(h operator.Host) string { return h.Name }), func(t *app.Table) {
				head := []string{"NAME", "STATE", "ROLE", "UNDERLAY", "BLOCK", "NODES", "MEMORY", "LOAD", "VERSION", "SEEN", "NOTE"}
				row := func(labels map[string]string, cells ...any) {
					if a.Wide {
						cells = slices.Insert(cells, len(cells)-1, any(strings.Join(operator.LabelWords(labels), " ")))
					}
					t.Row(cells...)
				}
				if a.Wide {
					head = slices.Insert(head, len(head)-1, "LABELS")
				}
				t.Head(head...)
				for _, h := range list {
					note := strings.Join(append(app.NonEmpty(h.Reason, h.Unlicensed), h.Problems...), "; ")
					row(h.Labels, h.Name, h.State, h.Role, h.Underlay, h.Block, h.Containers,
						fmt.Sprintf("%d/%d MiB", h.MemoryUsed, h.MemoryMiB), fmt.Sprintf("%.2f", h.Load1), h.Version,
						app.Ago(h.Seen, time.Now()), note)
				}
				for _, w := range strangers {
					says := append(app.NonEmpty(strings.Join(w.MACs, " "), w.Serial), w.Disks...)
					row(nil, "-", "WAITING", "", w.Address, "", "", "", "", w.Version, app.Ago(w.Asked, time.Now()),
						"code "+w.Code+": "+strings.Join(says, ", "))
				}
			})
		},
	}
}

func hostShow(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "show HOST", Short: "One host, by name or id", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			h, err := app.Get[operator.Host](cmd.Context(), a, "/hosts/"+url.PathEscape(args[0]))
			if err != nil {
				return err
			}
			nodes, err := app.Items[operator.Node](cmd.Context(), a, "/nodes?host="+url.QueryEscape(string(h.ID)))
			if err != nil {
				return err
			}
			if a.Output != "table" {
				return a.Show(h, h.Name, nil)
			}
			is, err := app.Get[operator.HostSystem](cmd.Context(), a, "/hosts/"+url.PathEscape(string(h.ID))+"/system")
			var missing *operator.Problem
			if err != nil && (!errors.As(err, &missing) || missing.Code != operator.NotFound) { // an earlier orchestrator doesn't say it
				return err
			}
			return a.Show(h, h.Name, func(t *app.Table) {
				t.Fields("host", fmt.Sprintf("%s (%s)", h.Name, h.ID), "state", h.State, "reason", h.Reason, "cordoned", cordoned(h),
					"unlicensed", h.Unlicensed, "labels", strings.Join(operator.LabelWords(h.Labels), " "),
					"role", h.Role, "short code", h.Code, "underlay", h.Underlay,
					"block", strings.Join(append([]string{h.Block}, h.MoreBlocks...), ", "), "version", h.Version, "boot", h.Boot,
					"joined", app.Stamp(h.Joined), "last report", app.Ago(h.Seen, time.Now())+" ago",
					"up", (time.Duration(h.UptimeSec) * time.Second).String(),
					"processors", fmt.Sprintf("%d at %d MHz, load %.2f", h.CPUs, h.MHz, h.Load1), "memory", fmt.Sprintf("%d of %d MiB used",
						h.MemoryUsed, h.MemoryMiB), "disk", fmt.Sprintf("%d of %d MiB used", h.DiskUsed, h.DiskMiB))
				t.Fields("protection", host.Protection{SecureBoot: h.SecureBoot, Lockdown: h.Lockdown}.String())
				systemFields(t, is)
				for i, b := range h.Boots {
					name := "booted"
					if i > 0 {
						name = "before"
					}
					t.Fields(name, app.Stamp(b.At)+" "+b.Words())
					for _, e := range b.Evidence[:min(len(b.Evidence), max(0, 6-6*i))] { // of the newest one
						t.Fields("", "  "+e)
					}
				}
				for _, p := range h.Problems {
					t.Fields("problem", p)
				}
				for _, d := range h.Disks {
					t.Fields("disk "+d.Path, health(d.Health))
				}
				if len(nodes) > 0 {
					t.Gap()
					node.Table(t, nodes)
				}
			})
		},
	}
}

func hostConfigValidate(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "validate FILE", Short: "Check a host configuration; - is stdin", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			raw, err := a.ReadFile(cmd.Context(), args[0], document.MaxBytes)
			if err != nil {
				return err
			}
			c, err := document.HostConfig(args[0], raw)
			if err != nil {
				return err
			}
			switch {
			case c.Join == nil:
				a.Say("note: %s has no join: the host will wait unconfigured", args[0])
			case c.Join.Token == "":
				a.Say("note: %s has no join token: the host will wait until it is admitted (hnctl host admit)", args[0])
			}
			a.Say("%s: valid, host %s, role %s, %d links", args[0], cmp.Or(c.Name, "without a name"), c.Role, len(c.Network.Links))
			return nil
		},
	}
}
