package panel

import (
	"net/http"

	"github.com/a-h/templ"

	"hardnode.dev/orchestrator/world"
)

func (p *Panel) hosts(_ *http.Request, pg *page, v world.World) templ.Component {
	pg.Title, pg.Tab = "Hosts", "hosts"
	return hostsPage(pg.Cluster, v.Hosts().All())
}
