package panel

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/a-h/templ"

	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/world"
)

func (p *Panel) environments(r *http.Request, pg *page, v world.World) templ.Component {
	pg.Title, pg.Tab = "Environments", "environments"
	envs, at, ok := shown(r, v.Environments())
	if !ok {
		return noPart(pg, at)
	}
	pg.Cluster.Environments = v.EnvironmentStates()
	return environmentsPage(pg.Cluster, envs, at, v.Served)
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
