package cli

import (
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/tools/hnctl/app"
)

func audit(a *app.App) *cobra.Command {
	var since, who string
	var limit int
	c := &cobra.Command{
		Use: "audit", Short: "Who did what in the cluster, newest first; needs a token with scope admin", Args: cobra.NoArgs,
		Example: "  hnctl audit --since 24h --who ci\n  hnctl audit --limit 0 -o json > audit.json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			q := url.Values{}
			if cmd.Flags().Changed("since") {
				if _, err := operator.ParseSince(since, time.Now()); err != nil {
					return app.Usage(cmd, "--since %v", err)
				}
				q.Set("since", since)
			}
			if err := app.EmptyFlag(cmd, "who"); err != nil {
				return err
			}
			if who != "" {
				q.Set("who", who)
			}
			if limit < 0 {
				return app.Usage(cmd, "--limit %d: want 0, which is all, or more", limit)
			}
			list, more, err := auditRecords(a, cmd, q, limit)
			if err != nil {
				return err
			}
			if err := a.Show(list, app.Joined(list, func(x operator.Audit) string {
				return strconv.FormatInt(x.Seq, 10)
			}), func(t *app.Table) {
				t.Head("NUMBER", "TIME", "WHO", "FROM", "WHAT", "OBJECT", "RESULT")
				for _, x := range list {
					t.Row(x.Seq, app.Stamp(x.At), names(x), x.From, x.What, x.Object, x.Result)
				}
			}); err != nil {
				return err
			}
			if more {
				a.Say("there is more: --limit 0 gives all, --since 24h what is new")
			}
			return nil
		},
	}
	c.Flags().StringVar(&since, "since", "", "only what was done since: how long ago (90s, 15m, 2h, 7d), or a time (RFC 3339)")
	c.Flags().StringVar(&who, "who", "", "only what was done with the token of this name")
	c.Flags().IntVar(&limit, "limit", 100, "the most records; 0 is all")
	return c
}

// names are who did it, and who acted as them.
func names(x operator.Audit) string {
	if x.By == "" {
		return x.Who
	}
	return x.Who + ", acted as by " + x.By
}

// auditRecords reads up to limit records (0: all), and tells whether there are more.
func auditRecords(a *app.App, cmd *cobra.Command, q url.Values, limit int) (list []operator.Audit, more bool, err error) {
	list = []operator.Audit{}
	for {
		part := 1000
		if limit > 0 {
			part = min(part, limit-len(list))
		}
		q.Set("limit", strconv.Itoa(part))
		l, err := app.Get[operator.List[operator.Audit]](cmd.Context(), a, "/audit?"+q.Encode())
		if err != nil {
			return nil, false, err
		}
		list = append(list, l.Items...)
		switch {
		case l.Next == "" || limit > 0 && len(list) >= limit:
			return list, l.Next != "", nil
		case l.Next == q.Get("cursor"):
			return nil, false, fmt.Errorf("read the audit record: the server gives the same part again")
		}
		q.Set("cursor", l.Next)
	}
}
