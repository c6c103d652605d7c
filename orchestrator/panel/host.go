package panel

import (
	"net/http"

	"github.com/a-h/templ"

	"hardnode.dev/orchestrator/world"
)

func (p *Panel) host(r *http.Request, pg *page, v world.World) templ.Component {
	name := r.PathValue("host")
	pg.Title, pg.Tab = name, "hosts"
	h, ok := v.Host(name)
	if !ok || h.Name != name {
		pg.Missing = true
		why := "No host of that name has joined this cluster, or it has been removed from it."
		return missing(absent{"Host " + name + " is not there", why, "/panel/", "All hosts"})
	}
	return hostPage(pg.Cluster, h, v.Nodes("", name).All())
}
