package env

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/wire/front"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/tools/hnctl/app"
	"hardnode.dev/tools/hnctl/node"
	"hardnode.dev/tools/hnctl/session"
)

func routePath(env string) string { return envPath(env) + "/route" }

// routes is the commands on how the resolver serves an environment.
func routes(a *app.App) *cobra.Command {
	return app.Group("route", "How the resolver serves an environment's site", routeShow(a), routeSet(a), routeBypass(a))
}

func routeShow(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "show ENV", Short: "Show how an environment's site is served", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			out, err := app.Get[front.Settings](cmd.Context(), a, routePath(args[0]))
			if err != nil {
				return err
			}
			return showRoute(a, args[0], out)
		},
	}
}

func showRoute(a *app.App, env string, s front.Settings) error {
	return a.Show(s, env, func(t *app.Table) {
		yes := map[bool]string{true: "on", false: "off"}
		t.Head("SETTING", "VALUE")
		t.Row("maintenance", yes[s.Maintenance])
		t.Row("sticky", yes[s.Sticky])
		t.Row("access log", yes[s.AccessLog])
		if s.PerSource > 0 {
			t.Row("requests at once of one address", strconv.Itoa(s.PerSource))
		} else {
			t.Row("requests at once of one address", "as many as the resolver lets all have")
		}
		for _, n := range slices.Sorted(maps.Keys(s.Weights)) {
			t.Row("share of node "+n, strconv.Itoa(s.Weights[n]))
		}
		for _, p := range s.Pages {
			t.Row("page "+p.Name, fmt.Sprintf("%d bytes", len(p.HTML)))
		}
	})
}

// routeFlags are what `route set` is told.
type routeFlags struct {
	maintenance, sticky, accessLog bool
	perSource                      int
	pages, weights                 []string
}

func routeSet(a *app.App) *cobra.Command {
	var f routeFlags
	c := &cobra.Command{
		Use: "set ENV", Short: "Change how an environment's site is served; what no flag names stays", Args: cobra.ExactArgs(1),
		Example: "  hnctl env route set shop --maintenance --page maintenance=soon.html\n  hnctl env route set shop --maintenance=false\n" +
			"  hnctl env route set shop --weight 2=10 --sticky",
		RunE: func(cmd *cobra.Command, args []string) error {
			pages, err := f.read(a, cmd)
			if err != nil {
				return err
			}
			out, err := app.Change(func() (out front.Settings, err error) {
				s, tag, err := app.GetTagged[front.Settings](cmd.Context(), a, routePath(args[0]))
				if err != nil {
					return s, err
				}
				if err := f.apply(cmd, pages, &s); err != nil {
					return s, err
				}
				var match []string // none: an orchestrator that gives no ETag
				if tag != "" {
					match = []string{"If-Match", tag}
				}
				err = a.Call(cmd.Context(), http.MethodPut, routePath(args[0]), s, &out, match...)
				return out, err
			})
			if err != nil {
				return err
			}
			return showRoute(a, args[0], out)
		},
	}
	c.Flags().BoolVar(&f.maintenance, "maintenance", false, "answer everybody with 503; see hnctl env route bypass")
	c.Flags().BoolVar(&f.sticky, "sticky", false, "a client stays with the node that answered it first, by a cookie")
	c.Flags().BoolVar(&f.accessLog, "access-log", false, "keep a line of each request: hnctl env access-log")
	c.Flags().IntVar(&f.perSource, "per-source", 0, "requests that one address may have under way; 0: as the resolver lets all have")
	c.Flags().StringArrayVar(&f.pages, "page", nil,
		"`NAME=FILE`, HTML to show instead of the resolver's page: maintenance, down or error; NAME= takes it away; may be repeated")
	c.Flags().StringArrayVar(&f.weights, "weight", nil,
		"`NODE=SHARE` of the layer that serves, by the node's number in it from 1: 0 to 100, what others have; NODE= takes it away")
	return c
}

// read reads the pages that flags name; one that is taken away is empty.
func (f routeFlags) read(a *app.App, cmd *cobra.Command) (out []front.Page, err error) {
	for _, p := range f.pages {
		name, file, ok := strings.Cut(p, "=")
		if !ok || !slices.Contains(front.PageNames, name) {
			return nil, app.Usage(cmd, "--page %q: want NAME=FILE, NAME being one of %s", p, strings.Join(front.PageNames, ", "))
		}
		var raw []byte
		if file != "" {
			if raw, err = a.ReadFile(cmd.Context(), file, front.MaxPage); err != nil {
				return nil, fmt.Errorf("read page %s: %w", file, err)
			}
			if len(raw) == 0 {
				return nil, app.Usage(cmd, "--page %q: the file is empty; to take the page away say %s=", p, name)
			}
		}
		out = append(out, front.Page{Name: name, HTML: string(raw)})
	}
	return out, nil
}

// apply changes what flags name.
func (f routeFlags) apply(cmd *cobra.Command, pages []front.Page, s *front.Settings) error {
	set := cmd.Flags().Changed
	if set("maintenance") {
		s.Maintenance = f.maintenance
	}
	if set("sticky") {
		s.Sticky = f.sticky
	}
	if set("access-log") {
		s.AccessLog = f.accessLog
	}
	if set("per-source") {
		s.PerSource = f.perSource
	}
	for _, p := range pages {
		s.Pages = slices.DeleteFunc(s.Pages, func(had front.Page) bool { return had.Name == p.Name })
		if p.HTML != "" {
			s.Pages = append(s.Pages, p)
		}
	}
	for _, w := range f.weights {
		name, share, ok := strings.Cut(w, "=")
		n, err := strconv.Atoi(share)
		if !ok || share != "" && err != nil {
			return app.Usage(cmd, "--weight %q: want NODE=SHARE, both numbers", w)
		}
		if share == "" {
			delete(s.Weights, name)
			continue
		}
		if s.Weights == nil {
			s.Weights = map[string]int{}
		}
		s.Weights[name] = n
	}
	if err := s.Validate(); err != nil {
		return app.WithCode(app.ExitUsage, err)
	}
	return nil
}

func routeBypass(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "bypass ENV", Short: "Make an address that lets a browser in while the environment is in maintenance",
		Args: cobra.ExactArgs(1),
		Long: "The browser that opens it is given a cookie and let in until maintenance is over, or until another bypass is made. Nobody " +
			"is shown\nthe address again.",
		RunE: func(cmd *cobra.Command, args []string) error {
			var out operator.Bypass
			if err := a.Call(cmd.Context(), http.MethodPost, routePath(args[0])+"/bypass", struct{}{}, &out); err != nil {
				return err
			}
			at := "https://" + out.Name + out.Path.Reveal()
			return a.Show(out, at, func(t *app.Table) { t.Row(at) })
		},
	}
}

func accessLog(a *app.App) *cobra.Command {
	var tail int
	var follow bool
	c := &cobra.Command{
		Use: "access-log ENV", Short: "The requests that the resolver took for an environment, a line of JSON each",
		Args: cobra.ExactArgs(1),
		Long: "The last 4 to 8 MiB of lines, without query strings, bodies and cookies: method, path, status, bytes, time and node. It " +
			"is kept while\n`hnctl env route set ENV --access-log` is on.",
		Example: "  hnctl env access-log shop --follow",
		RunE: func(cmd *cobra.Command, args []string) error {
			if tail < 0 {
				return app.WithCode(app.ExitUsage, errors.New("--tail: want 0, which is all that is kept, or more"))
			}
			q := url.Values{"tail": {strconv.Itoa(tail)}}
			if follow {
				q.Set("follow", "true")
			}
			return node.OpenSession(cmd.Context(), a, envPath(args[0])+"/access-log", "access log of "+args[0], q,
				session.IO{Out: a.Out, Err: a.Talk})
		},
	}
	c.Flags().BoolVarP(&follow, "follow", "f", false, "go on until Ctrl-C")
	c.Flags().IntVar(&tail, "tail", 0, "lines from the end; 0 is all that is kept")
	return c
}
