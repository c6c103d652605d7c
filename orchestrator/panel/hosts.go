package panel

import (
	"net/http"

	"github.com/a-h/templ"

	"hardnode.dev/orchestrator/world"
)

func (p *Panel) hosts(_ *http.Request, pg *page, v world.World) templ.Component {
	pg.Title, pg.Tab = "Hosts", "hosts"
	hosts := v.Hosts().All()
	for _, h := range hosts {
		pg.Cluster.Hosts[string(h.State)]++
	}
	return hostsPage(pg.Cluster, hosts)
}
