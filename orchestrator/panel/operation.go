package panel

import (
	"net/http"

	"github.com/a-h/templ"

	"hardnode.dev/internal/wire"
	"hardnode.dev/orchestrator/world"
)

func (p *Panel) operation(r *http.Request, pg *page, v world.World) templ.Component {
	id := r.PathValue("op")
	pg.Title, pg.Tab = id, "operations"
	op, ok := v.Operation(wire.OperationID(id))
	if !ok {
		pg.Missing = true
		why := "There has been none, or it ended so long ago that it is no longer kept."
		return missing(absent{"Operation " + id + " is not there", why, "/panel/operations", "All operations"})
	}
	pg.Title = op.Kind + " " + object(op)
	return operationPage(pg.Cluster, op)
}
