package panel

import (
	"net/http"

	"github.com/a-h/templ"

	"hardnode.dev/orchestrator/world"
)

func (p *Panel) operations(r *http.Request, pg *page, v world.World) templ.Component {
	pg.Title, pg.Tab = "Operations", "operations"
	ops, at, ok := shown(r, v.Operations())
	if !ok {
		return noPart(pg, at)
	}
	return operationsPage(pg.Cluster, ops, at)
}
