package node

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/usage"
	"hardnode.dev/tools/hnctl/app"
)

func nodeUsage(a *app.App) *cobra.Command {
	var since, step, host string
	c := &cobra.Command{
		Use: "usage NODE", Short: "What a node has used: memory, CPU, disk and network", Args: cobra.ExactArgs(1),
		Long: "Shows what a node has used, as its host counted it: by samples of 5 seconds (kept for 10 minutes), by minutes (24 hours) " +
			"or by\nhours (35 days). MEMORY is the mean and PEAK the peak of all its memory; RAM is the peak of what counts: page cache " +
			"is left out,\nwhat is swapped out is in. CPU is in percent of one processor; the rest is what was read, written, received " +
			"and sent in that\ntime, and what it has on disk at its end. What a node used before it moved is at the host that it left: " +
			"--host.",
		Example: "  hnctl node usage 101\n  hnctl node usage 101 --since 24h --step hour\n  hnctl node usage 101 --output json",
		RunE: func(cmd *cobra.Command, args []string) error {
			if s := usage.Step(step); !slices.Contains([]usage.Step{usage.Sample, usage.Minute, usage.Hour}, s) {
				return app.Usage(cmd, "--step %q: want %s, %s or %s", step, usage.Sample, usage.Minute, usage.Hour)
			}
			from, err := operator.ParseSince(since, time.Now())
			if err != nil {
				return app.Usage(cmd, "--since %v", err)
			}
			id, err := nodeID(cmd.Context(), a, args[0])
			if err != nil {
				return err
			}
			list := []usage.Record{}
			q := url.Values{"step": {step}, "from": {strconv.FormatInt(from.Unix(), 10)}}
			if host != "" {
				q.Set("host", host)
			}
			for more := true; more; {
				page, err := app.Get[usage.Answer](cmd.Context(), a, "/nodes/"+id.String()+"/usage?"+q.Encode())
				if err != nil {
					return err
				}
				list, more = append(list, page.Records...), page.More
				q.Set("since", page.Next.String())
			}
			return a.Show(list, id.String(), func(t *app.Table) { usageTable(t, list) })
		},
	}
	c.Flags().StringVar(&since, "since", "1h", "how far back, as 10m, 24h or 7d, or a time")
	c.Flags().StringVar(&step, "step", string(usage.Minute), "sample, minute or hour")
	c.Flags().StringVar(&host, "host", "", "ask this host, which the node was on, instead of the one that it is on")
	return c
}

func usageTable(t *app.Table, list []usage.Record) {
	t.Head("UNTIL", "SECONDS", "MEMORY", "PEAK", "RAM", "CPU", "READ", "WRITTEN", "RECEIVED", "SENT", "DISK")
	kib := func(n int64) string { return fmt.Sprintf("%d KiB", n>>10) }
	for _, r := range list {
		cpu := 0.0
		if r.Seconds > 0 {
			cpu = float64(r.CPUMicros) / r.Seconds / 1e4
		}
		t.Row(app.Stamp(time.Unix(r.End, 0)), fmt.Sprintf("%.0f", r.Seconds), kib(r.MemoryMean), kib(r.MemoryPeak), kib(r.RAMPeak),
			fmt.Sprintf("%.1f %%", cpu), kib(r.Read), kib(r.Written), kib(r.NetIn), kib(r.NetOut), kib(r.Disk))
	}
}
