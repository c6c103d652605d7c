package node

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/tools/hnctl/app"
)

// sizes are the flags of resize and the fields they set.
func sizes(r *operator.ResizeNode) []struct {
	flag, help string
	to         **int64
} {
	return []struct {
		flag, help string
		to         **int64
	}{
		{"memory", "memory in MiB", &r.MemoryMiB},
		{"cpu", "CPU in MHz; 0 is no ceiling", &r.CPUMHz},
		{"pids", "processes and threads", &r.PIDs},
		{"disk", "its own layer in MiB", &r.DiskMiB},
		{"io-read", "KiB a second from each disk; 0 is no limit", &r.ReadKiB},
		{"io-write", "KiB a second to each disk; 0 is no limit", &r.WriteKiB},
		{"io-read-ops", "reads a second from each disk; 0 is no limit", &r.ReadOps},
		{"io-write-ops", "writes a second to each disk; 0 is no limit", &r.WriteOps},
		{"net-in", "kilobits a second that it receives; 0 is no limit", &r.NetInKbit},
		{"net-out", "kilobits a second that it sends; 0 is no limit", &r.NetOutKbit},
		{"swap", "MiB of its memory that may be swapped out; 0 is half of its memory, -1 none", &r.SwapMiB},
	}
}

func nodeResize(a *app.App) *cobra.Command {
	var want operator.ResizeNode
	var cloudlets string
	var volumes map[string]int64
	values := make([]int, len(sizes(&want)))
	c := &cobra.Command{
		Use: "resize NODE", Short: "Change what a node may use, while it runs; without flags, show it", Args: cobra.ExactArgs(1),
		Long: "Changes what a node may use. It holds within a second, and nothing is restarted. What is not given stays. Memory that " +
			"is lowered\nbelow the use waits until the node uses less: hnctl node list says so. Its servers follow, as far as " +
			"its template\nsays so: without flags, the last line shows what they made of it. The size is the node's own: one that " +
			"is made in its\nplace has what its environment says.",
		Example: "  hnctl node resize 101 --cloudlets 2:8\n  hnctl node resize 101 --io-write 20480 --net-out 100000\n" +
			"  hnctl node resize 101",
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := nodeID(cmd.Context(), a, args[0])
			if err != nil {
				return err
			}
			for i, f := range sizes(&want) {
				if cmd.Flags().Changed(f.flag) {
					n := int64(values[i])
					*f.to = &n
				}
			}
			if cmd.Flags().Changed("cloudlets") {
				if want.Cloudlets, err = parseCloudlets(cloudlets); err != nil {
					return app.WithCode(app.ExitUsage, err)
				}
			}
			for _, name := range slices.Sorted(maps.Keys(volumes)) {
				want.Volumes = append(want.Volumes, operator.VolumeSize{Name: name, DiskMiB: volumes[name]})
			}
			var size operator.NodeSize
			method, body := http.MethodPut, any(want)
			if want.Empty() {
				method, body = http.MethodGet, nil
			}
			if err := a.Call(cmd.Context(), method, "/nodes/"+id.String()+"/size", body, &size); err != nil {
				return err
			}
			return a.Show(size, id.String(), func(t *app.Table) { sizeTable(t, size) })
		},
	}
	c.Flags().StringVar(&cloudlets, "cloudlets", "", "reserved and dynamic ones, as 2:8: 128 MiB and 400 MHz each")
	c.Flags().StringToInt64Var(&volumes, "volume", nil, "the quota of one of its volumes in MiB, as data=2048")
	for i, f := range sizes(&want) {
		c.Flags().IntVar(&values[i], f.flag, 0, f.help)
	}
	return c
}

// parseCloudlets reads "R:D".
func parseCloudlets(s string) (*wire.Cloudlets, error) {
	r, d, ok := strings.Cut(s, ":")
	reserved, rerr := strconv.Atoi(r)
	dynamic, derr := strconv.Atoi(d)
	if !ok || rerr != nil || derr != nil {
		return nil, fmt.Errorf("--cloudlets %q: want reserved and dynamic ones, as 2:8", s)
	}
	return &wire.Cloudlets{Reserved: reserved, Dynamic: dynamic}, nil
}

func sizeTable(t *app.Table, s operator.NodeSize) {
	t.Head("WHAT", "SIZE")
	limit := func(n *int64, unit string) string {
		if n == nil || *n == 0 {
			return "no limit"
		}
		return fmt.Sprintf("%d %s", *n, unit)
	}
	t.Row("cloudlets", fmt.Sprintf("%d reserved, %d dynamic", s.Cloudlets.Reserved, s.Cloudlets.Dynamic))
	t.Row("memory", fmt.Sprintf("%d MiB", s.MemoryMiB))
	swap := "half of its memory"
	switch {
	case s.SwapMiB != nil && *s.SwapMiB < 0:
		swap = "none"
	case s.SwapMiB != nil && *s.SwapMiB > 0:
		swap = limit(s.SwapMiB, "MiB")
	}
	t.Row("swap", swap)
	t.Row("cpu", limit(&s.CPUMHz, "MHz"))
	t.Row("pids", limit(&s.PIDs, "tasks"))
	t.Row("disk", limit(&s.DiskMiB, "MiB"))
	for _, v := range s.Volumes {
		t.Row("volume "+v.Name, limit(&v.DiskMiB, "MiB"))
	}
	t.Row("reads", limit(s.ReadKiB, "KiB/s")+", "+limit(s.ReadOps, "a second"))
	t.Row("writes", limit(s.WriteKiB, "KiB/s")+", "+limit(s.WriteOps, "a second"))
	t.Row("receives", limit(s.NetInKbit, "kbit/s"))
	t.Row("sends", limit(s.NetOutKbit, "kbit/s"))
	if s.Tuned.At != 0 {
		said := s.Tuned.Message
		if s.Tuned.Failed {
			said = "don't follow: " + said
		}
		t.Row("servers", fmt.Sprintf("%s (%s)", said, s.Tuned.Time().Format(time.DateTime)))
	}
}
