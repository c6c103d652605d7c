// Package metering is hnctl's commands on what was used.
//
// Owns: how use is asked for, shown, and written as CSV.
// In: arguments and flags; an app.App.
// Out: requests to the API; tables; CSV.
// Never: knows the other nouns' commands, or counts anything.
package metering

import (
	"encoding/csv"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/wire/document"
	"hardnode.dev/internal/wire/metering"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/price"
	"hardnode.dev/tools/hnctl/app"
)

// Group is the commands on what was used.
func Group(a *app.App) *cobra.Command {
	return app.Group("usage", "What was used, for a year: cloudlet-hours, disk and traffic of environments, accounts, nodes and hosts",
		show(a), enable(a))
}

func show(a *app.App) *cobra.Command {
	var f flags
	c := &cobra.Command{
		Use: "show [ENV]", Short: "What environments, accounts, nodes or hosts have used, in cloudlet-hours",
		Args: cobra.MaximumNArgs(1),
		Long: "Shows what was used, of an environment or of all that you see, by the account that had it at the time. CLOUDLET-H sums, " +
			"node by\nnode and hour by hour, whichever is more: the highest sample of memory in the hour / 128 MiB, or the mean of CPU " +
			"/ 400 MHz, in\nwhole cloudlets. Memory is without page cache. RESERVED is what was reserved, BEYOND what was used beyond " +
			"that, hour by hour.\nA node that is stopped or frozen has disk alone. PEAK is the highest sample of one node, with its " +
			"time: `--by node --span hour`\nshows for each hour the sample that decided it, `hnctl node usage NODE` what is around it.\n" +
			"Hosts are read every five minutes; days and months are those of UTC.",
		Example: "  hnctl usage show                                 # a row for each environment, of the last day\n" +
			"  hnctl usage show shop --by node --span hour --since 48h\n" +
			"  hnctl usage show --by account --span month --since 2026-01-01 --csv\n" +
			"  hnctl usage show --by host --span all --since 30d\n" +
			"  hnctl usage show --span month --since 2026-01-01 --price prices.yaml  # what it would cost by these prices",
		RunE: func(cmd *cobra.Command, args []string) error { return f.show(cmd, a, args) },
	}
	f.add(c)
	return c
}

// flags are what is asked for, and how it is shown.
type flags struct {
	since, until, span, by, account, host string
	node                                  int
	csv                                   bool
	price                                 string // file
}

func (f *flags) add(c *cobra.Command) {
	fl := c.Flags()
	fl.StringVar(&f.since, "since", "24h", "from when on, as 48h or 30d ago, or a time; a year is kept")
	fl.StringVar(&f.until, "until", "", "up to when, likewise (default: now)")
	fl.StringVar(&f.span, "span", string(operator.SpanDay), "what a row is about: "+operator.Spans)
	fl.StringVar(&f.by, "by", string(operator.ByEnvironment), "what a row is of: "+operator.Wholes)
	fl.StringVar(&f.account, "account", "", "of this account alone")
	fl.StringVar(&f.host, "host", "", "on this host alone, by name or id")
	fl.IntVar(&f.node, "node", 0, "of this node alone, by number")
	fl.StringVar(&f.price, "price", "", "a price `file` (- is stdin): say also what it would cost by that, whatever is agreed on")
	fl.BoolVar(&f.csv, "csv", false, "write CSV: a line for each row, with all figures in whole units")
}

// query is what is asked for of the API.
func (f *flags) query(cmd *cobra.Command, args []string, now time.Time) (url.Values, error) {
	if !operator.Span(f.span).Known() {
		return nil, app.Usage(cmd, "--span %q: want %s", f.span, operator.Spans)
	}
	if !operator.Whole(f.by).Known() {
		return nil, app.Usage(cmd, "--by %q: want %s", f.by, operator.Wholes)
	}
	if f.node < 0 {
		return nil, app.Usage(cmd, "--node %d: want a node's number", f.node)
	}
	q := url.Values{"span": {f.span}, "by": {f.by}}
	from, err := operator.ParseSince(f.since, now)
	if err != nil {
		return nil, app.Usage(cmd, "--since %v", err)
	}
	q.Set("from", strconv.FormatInt(from.Unix(), 10))
	if f.until != "" {
		to, err := operator.ParseSince(f.until, now)
		if err != nil {
			return nil, app.Usage(cmd, "--until %v", err)
		}
		if !to.After(from) {
			return nil, app.Usage(cmd, "--until %s: want a time after --since, %s", app.Stamp(to), app.Stamp(from))
		}
		q.Set("to", strconv.FormatInt(to.Unix(), 10))
	}
	for name, value := range map[string]string{"account": f.account, "host": f.host} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if f.node != 0 {
		q.Set("node", strconv.Itoa(f.node))
	}
	if len(args) > 0 {
		q.Set("environment", args[0])
	}
	return q, nil
}

func (f *flags) show(cmd *cobra.Command, a *app.App, args []string) error {
	q, err := f.query(cmd, args, time.Now())
	if err != nil {
		return err
	}
	prices, err := f.prices(cmd, a)
	if err != nil {
		return err
	}
	got, err := app.Get[operator.Usage](cmd.Context(), a, "/usage?"+q.Encode())
	if err != nil {
		return err
	}
	for _, n := range got.Notes {
		a.Say("note: %s", n)
	}
	if f.csv {
		return write(a.Out, got.Items, prices)
	}
	if !got.Until.IsZero() {
		a.Next("hosts were read up to %s", app.Stamp(got.Until))
	}
	if prices == nil {
		return a.Show(got, app.Joined(got.Items, name), func(t *app.Table) { table(t, got.Items, nil) })
	}
	out := priced{Usage: got, Currency: prices.Currency, Costs: []price.Cost{}}
	for _, r := range got.Items {
		out.Costs = append(out.Costs, prices.Of(r))
		out.Sum = out.Sum.Add(prices.Of(r))
	}
	err = a.Show(out, app.Joined(got.Items, name), func(t *app.Table) { table(t, got.Items, prices) })
	if err == nil && a.Output == "table" {
		a.Say("together %s %s: %s reserved, %s beyond, %s disk, %s traffic", out.Sum.Total, out.Currency, out.Sum.Reserved, out.Sum.Dynamic,
			out.Sum.Disk, out.Sum.Traffic)
	}
	return err
}

// priced is what was used with what it would cost, row by row.
type priced struct {
	operator.Usage
	Currency string       `json:"currency"`
	Costs    []price.Cost `json:"costs"`
	Sum      price.Cost   `json:"sum"`
}

// prices reads the price list that a flag names; nil: none does.
func (f *flags) prices(cmd *cobra.Command, a *app.App) (*price.List, error) {
	if f.price == "" {
		return nil, nil
	}
	raw, err := a.ReadFile(cmd.Context(), f.price, document.MaxBytes)
	if err != nil {
		return nil, err
	}
	var l price.List
	src, err := document.Parse(f.price, raw, &l)
	if wrong := l.Validate(); err == nil && wrong != nil {
		err = src.Faults(wrong)
	}
	if err != nil {
		return nil, err
	}
	return &l, nil
}

// name is what a row is of.
func name(r operator.UsageRow) string {
	switch {
	case r.Host != "":
		return r.Host
	case r.Node != 0:
		return r.Node.String()
	case r.Environment != "":
		return string(r.Environment)
	}
	return string(r.Account)
}

func table(t *app.Table, list []operator.UsageRow, prices *price.List) {
	head := []string{"FROM", "ACCOUNT", "OF", "CLOUDLET-H", "BY RAM", "BY CPU", "RESERVED", "BEYOND", "PEAK", "PEAK AT", "PEAK NODE", "CPU",
		"DISK", "READ", "WRITTEN", "RECEIVED", "SENT"}
	if prices != nil {
		head = append(head, prices.Currency)
	}
	t.Head(head...)
	mib := func(n int64) string { return fmt.Sprintf("%d MiB", n>>20) }
	for _, r := range list {
		peak, node := "", ""
		if r.PeakNode != 0 {
			peak, node = mib(r.RAMPeak), r.PeakNode.String()
		}
		row := []any{app.Stamp(r.Start), string(r.Account), name(r), r.CloudletHours, r.ByRAM, r.ByCPU, r.ReservedHours, r.BeyondHours,
			peak, app.Stamp(r.RAMPeakAt), node, fmt.Sprintf("%.0f MHz", r.CPUMHz), fmt.Sprintf("%.2f GiB·h", r.DiskGiBHours), mib(r.Read),
			mib(r.Written), mib(r.NetIn), mib(r.NetOut)}
		if prices != nil {
			row = append(row, prices.Of(r).Total.String())
		}
		t.Row(row...)
	}
}

// write writes rows as CSV (RFC 4180), with the names that they have in the API.
func write(w io.Writer, list []operator.UsageRow, prices *price.List) error {
	out := csv.NewWriter(w)
	head := []string{"start", "account", "environment", "node", "host", "nodeHours", "cloudletHours", "byRAM", "byCPU", "reservedHours",
		"beyondHours", "ramPeak", "ramPeakAt", "peakNode", "cpuSeconds", "cpuMHz", "diskGiBHours", "read", "written", "netIn", "netOut"}
	if prices != nil {
		head = append(head, "currency", "cost")
	}
	out.Write(head)
	whole := func(n int64) string { return strconv.FormatInt(n, 10) }
	real := func(n float64) string { return strconv.FormatFloat(n, 'f', 6, 64) }
	some := func(n int64) string {
		if n == 0 {
			return ""
		}
		return whole(n)
	}
	for _, r := range list {
		at := ""
		if !r.RAMPeakAt.IsZero() {
			at = r.RAMPeakAt.UTC().Format(time.RFC3339)
		}
		row := []string{r.Start.UTC().Format(time.RFC3339), string(r.Account), string(r.Environment), some(int64(r.Node)), r.Host,
			whole(r.NodeHours), whole(r.CloudletHours), whole(r.ByRAM), whole(r.ByCPU), whole(r.ReservedHours), whole(r.BeyondHours),
			whole(r.RAMPeak), at, some(int64(r.PeakNode)), real(r.CPUSeconds), real(r.CPUMHz), real(r.DiskGiBHours), whole(r.Read),
			whole(r.Written), whole(r.NetIn), whole(r.NetOut)}
		if prices != nil {
			row = append(row, prices.Currency, prices.Of(r).Total.String())
		}
		out.Write(row)
	}
	out.Flush()
	return out.Error()
}

func enable(a *app.App) *cobra.Command {
	want := operator.NewComponent{Name: metering.Component}
	c := &cobra.Command{
		Use: "enable", Short: "Give the cluster the component that keeps what is used, for a year", Args: cobra.NoArgs,
		Long: "The component metering then runs on the infra host, as container 9. It begins with what hosts have kept: 35 days. A " +
			"cluster that\nhas one keeps it as it is.",
		Example: "  hnctl usage enable                  # its image comes with the infra host's boot medium\n" +
			"  hnctl usage enable --release 1.4.0  # or with a release that was imported",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var made operator.Component
			if err := a.Call(cmd.Context(), http.MethodPost, "/components", want, &made); err != nil {
				return err
			}
			a.Next("hnctl patch components; once it runs: hnctl usage show")
			return a.Show(made, made.Name, func(t *app.Table) {
				t.Fields("component", made.Name, "container", made.CTID.String(), "host", made.HostName, "state", made.State, "release",
					made.Release, "reason", made.Reason)
			})
		},
	}
	c.Flags().StringVar(&want.Release, "release", "", "an imported `version` that its image is of (default: the boot medium's)")
	return c
}
