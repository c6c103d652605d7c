package panel

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/a-h/templ"

	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/world"
)

func (p *Panel) environments(_ *http.Request, pg *page, v world.World) templ.Component {
	pg.Title, pg.Tab = "Environments", "environments"
	return environmentsPage(pg.Cluster, v.Environments().All(), v.Served)
}

// layers is what an environment is made of, in one line.
func layers(e operator.Environment) string {
	var out []string
	for _, l := range e.Spec.Layers {
		s := string(l.Name)
		if e.Spec.Name != "jelastic" {
			s += fmt.Sprintf(": %d × %s", l.Nodes, l.Template)
		}
		out = append(out, s)
	}
	return strings.Join(out, ", ")
}
