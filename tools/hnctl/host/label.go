package host

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/tools/hnctl/app"
)

func hostLabel(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "label HOST [NAME=VALUE | NAME-]…", Short: "Say something of a host for placing, or no more; without labels: show them",
		Args: cobra.MinimumNArgs(1),
		Long: "Layers ask for hosts by their labels (place in an environment's file). zone is the host's zone, what fails together:\n" +
			"nodes of a layer are spread over zones first. Nodes that are there stay where they are until they move.",
		Example: "  hnctl host label host-1 disk=ssd zone=a\n  hnctl host label host-1 disk-",
		RunE: func(cmd *cobra.Command, args []string) error {
			set, gone, err := parseLabels(args[1:])
			if err != nil {
				return app.WithCode(app.ExitUsage, err)
			}
			path := "/hosts/" + url.PathEscape(args[0]) + "/labels"
			if len(args) == 1 {
				now, err := app.Get[operator.HostLabels](cmd.Context(), a, path)
				if err != nil {
					return err
				}
				return showLabels(a, now)
			}
			now, err := app.Change(func() (now operator.HostLabels, err error) {
				return changeLabels(cmd.Context(), a, path, args[0], set, gone)
			})
			if err != nil {
				return err
			}
			return showLabels(a, now)
		},
	}
}

// parseLabels reads NAME=VALUE and NAME-.
func parseLabels(args []string) (set map[string]string, gone []string, err error) {
	set = map[string]string{}
	seen := map[string]bool{}
	for _, arg := range args {
		name, value, sets := strings.Cut(arg, "=")
		if !sets {
			var goes bool
			if name, goes = strings.CutSuffix(arg, "-"); !goes {
				return nil, nil, fmt.Errorf("%q: want NAME=VALUE, or NAME- for a label that goes", arg)
			}
			gone = append(gone, name)
			err = operator.LabelName(name)
		} else {
			set[name] = value
			err = operator.Label(name, value)
		}
		if err == nil && seen[name] {
			err = fmt.Errorf("label %s is given twice", name)
		}
		if err != nil {
			return nil, nil, err
		}
		seen[name] = true
	}
	return set, gone, nil
}

// changeLabels reads a host's labels, changes them, and writes them back if nobody changed them meanwhile.
func changeLabels(ctx context.Context, a *app.App, path, name string, set map[string]string, gone []string) (operator.HostLabels, error) {
	now, err := app.Get[operator.HostLabels](ctx, a, path)
	if err != nil {
		return now, err
	}
	labels := map[string]string{}
	maps.Copy(labels, now.Labels)
	for _, label := range gone {
		if _, there := labels[label]; !there {
			return now, app.WithCode(app.ExitNotFound, fmt.Errorf("host %s has no label %s; see hnctl host label %s", name, label, name))
		}
		delete(labels, label)
	}
	maps.Copy(labels, set)
	var out operator.HostLabels
	err = a.Call(ctx, http.MethodPut, path, operator.SetHostLabels{Labels: labels}, &out, "If-Match",
		fmt.Sprintf("%q", now.Revision.String()))
	return out, err
}

func showLabels(a *app.App, now operator.HostLabels) error {
	names := slices.Sorted(maps.Keys(now.Labels))
	return a.Show(now, strings.Join(names, "\n"), func(t *app.Table) {
		t.Head("LABEL", "VALUE")
		for _, name := range names {
			t.Row(name, now.Labels[name])
		}
	})
}
