package cli

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/wire/operator"
)

func (a *app) templateList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "Templates in the registry, and what was pushed and is none (yet)", Args: cobra.NoArgs,
		Long: "STATE is ready; or, of what was pushed last under that name, waiting, importing or failed: NOTE says why. The template of an earlier\n" +
			"push goes on to count until the new one is ready.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := items[operator.Template](cmd.Context(), a, "/templates")
			if err != nil {
				return err
			}
			return a.show(list, joined(list, func(x operator.Template) string { return string(x.Name) }), func(t *table) {
				t.head("NAME", "STATE", "SIZE", "HTTP", "PROCESS", "DIGEST", "NOTE")
				for _, x := range list {
					t.row(templateRow(x)...)
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
	return []any{x.Name, state, size, port, strings.Join(x.Process, " "), short(x.Digest.Hex()), cmp.Or(x.Reason, note)}
}
