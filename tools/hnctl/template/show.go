package template

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/tools/hnctl/app"
)

func templateShow(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "show TEMPLATE", Short: "What a template runs, its volumes, its other names and who uses it",
		Args: cobra.ExactArgs(1),
		Long: "TEMPLATE is NAME:TAG, NAME (its tag is latest), or NAME@ and the first twelve digits of a digest that lists show. Of a " +
			"name that was\npushed and is no template it says how far its import is, or why it failed.",
		Example: "  hnctl template show nginx\n  hnctl template show team/web@4f53cda18c2b",
		RunE: func(cmd *cobra.Command, args []string) error {
			var d operator.TemplateDetail
			if err := a.Call(cmd.Context(), http.MethodGet, "/templates/"+url.PathEscape(args[0]), nil, &d); err != nil {
				return err
			}
			return a.Show(d, string(d.Name), func(t *app.Table) { details(t, d) })
		},
	}
}

func details(t *app.Table, d operator.TemplateDetail) {
	row := templateRow(d.Template)
	t.Fields("name", d.Name, "account", d.Account, "state", row[1], "reason", d.Reason, "size", row[2], "file", d.Digest, "image", d.OCI)
	if d.Digest == "" {
		return
	}
	t.Fields("imported", d.Imported.Format("2006-01-02 15:04:05"), "process", row[4], "user", d.User, "directory", cmp.Or(d.Directory, "/"),
		"stop", stop(d), "profile", d.Profile, "HTTP", row[3], "check", check(d))
	for _, v := range d.Volumes {
		how := ""
		if v.NoDataCOW {
			how = " written in place"
		}
		t.Fields("volume", v.Path+how)
	}
	t.Fields("other names", names(d.Others))
	for _, group := range []struct {
		name string
		of   []string
	}{{"used by", d.UsedBy}, {"note", d.Notes}, {"warning", d.Warnings}} {
		for _, text := range group.of {
			t.Fields(group.name, text)
		}
	}
}

// stop is how its process ends, where the template says so.
func stop(d operator.TemplateDetail) string {
	s := d.Stop
	if d.StopAfter > 0 {
		s = strings.TrimSpace(fmt.Sprintf("%s killed after %d s", s, d.StopAfter))
	}
	return s
}

// check is what is asked whether a node of it works.
func check(d operator.TemplateDetail) string {
	switch {
	case d.CheckPort == 0:
		return "none"
	case d.CheckPath == "":
		return fmt.Sprintf("TCP port %d", d.CheckPort)
	}
	return fmt.Sprintf("GET %s on port %d", d.CheckPath, d.CheckPort)
}

func names(list []wire.TemplateName) string {
	var out []string
	for _, n := range list {
		out = append(out, string(n))
	}
	return strings.Join(out, ", ")
}
