// Package template is hnctl's commands on templates.
//
// Owns: how an OCI image is read, checked and pushed.
// In: arguments and flags; an app.App.
// Out: an image in the cluster's registry; requests to the API; tables.
// Never: knows the other nouns' commands, or decides what the orchestrator decides.
package template

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/tools/hnctl/app"
)

// Group is the commands on templates.
func Group(a *app.App) *cobra.Command {
	return app.Group("template", "Templates",
		templateList(a), templateShow(a), templatePush(a), templateTag(a), templateRemove(a), templateCollect(a))
}

func templateList(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "Templates in the registry, and what was pushed and is none (yet)", Args: cobra.NoArgs,
		Long: "STATE is ready; or, of what was pushed last under that name, waiting, importing or failed: NOTE says why. The template " +
			"of an earlier\npush goes on to count until the new one is ready.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := app.Items[operator.Template](cmd.Context(), a, "/templates")
			if err != nil {
				return err
			}
			return a.Show(list, app.Joined(list, func(x operator.Template) string { return string(x.Name) }), func(t *app.Table) {
				t.Head("NAME", "STATE", "SIZE", "HTTP", "PROCESS", "DIGEST", "NOTE")
				for _, x := range list {
					t.Row(templateRow(x)...)
				}
			})
		},
	}
}

func templateRow(x operator.Template) []any {
	var state, size, port, note = cmp.Or(x.State, "ready"), "", "", strings.Join(x.Warnings, "; ")
	if x.Percent > 0 {
		state += fmt.Sprintf(" %d %%", x.Percent)
	}
	if x.Digest != "" {
		size = fmt.Sprintf("%.1f MiB", float64(x.Bytes)/(1<<20))
	}
	if x.Port > 0 {
		port = fmt.Sprint(x.Port)
	}
	return []any{x.Name, state, size, port, strings.Join(x.Process, " "), app.Short(x.Digest.Hex()), cmp.Or(x.Reason, note)}
}

func templateRemove(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "rm NAME[:TAG|@DIGEST]...", Aliases: []string{"delete", "remove"}, Short: "Delete templates that nothing uses",
		Args: cobra.MinimumNArgs(1),
		Long: "Without a tag the tag is latest. DIGEST, or the first twelve digits of it that lists show, deletes all tags of that " +
			"image in the repository.\nA template is refused while an environment, or a node until its host has removed it, uses it.",
		Example: "  hnctl template rm app:1.3\n  hnctl template rm team/web@4f53cda18c2b",
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, n := range args {
				var f operator.Freed
				if err := a.Call(cmd.Context(), http.MethodDelete, "/templates/"+url.PathEscape(n), nil, &f); err != nil {
					return err
				}
				a.Say("deleted %s: %s", n, freed(f))
			}
			return nil
		},
	}
}

func templateCollect(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "gc", Short: "Remove what no template needs from the registry, now", Args: cobra.NoArgs,
		Long: "The registry does so by itself from time to time, and when a template is deleted. What a push under way may need is kept " +
			"for a day.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var f operator.Freed
			if err := a.Call(cmd.Context(), http.MethodPost, "/registry/collect", nil, &f); err != nil {
				return err
			}
			return a.Show(f, "", func(t *app.Table) { t.Fields("freed", size(f.Bytes), "kept for now", size(f.Later)) })
		},
	}
}

func freed(f operator.Freed) string {
	s := size(f.Bytes) + " freed"
	if f.Later > 0 {
		s += ", " + size(f.Later) + " more that nothing needs are kept for now"
	}
	return s
}

// size is a number of bytes as people read it.
func size(n int64) string {
	switch {
	case n < 1<<10:
		return fmt.Sprintf("%d bytes", n)
	case n < 1<<20:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}
