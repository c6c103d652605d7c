package panel

import (
	"net/http"

	"github.com/a-h/templ"

	"hardnode.dev/orchestrator/world"
)

func (p *Panel) operations(_ *http.Request, pg *page, v world.World) templ.Component {
	pg.Title, pg.Tab = "Operations", "operations"
	return operationsPage(pg.Cluster, v.Operations().All())
}
