package panel

import (
	"net/http"

	"github.com/a-h/templ"

	"hardnode.dev/orchestrator/world"
)

func (p *Panel) hosts(r *http.Request, pg *page, v world.World) templ.Component {
	pg.Title, pg.Tab = "Hosts", "hosts"
	hosts, at, ok := shown(r, v.Hosts())
	if !ok {
		return noPart(pg, at)
	}
	pg.Cluster.Hosts = v.HostStates()
	return hostsPage(pg.Cluster, hosts, at)
}
