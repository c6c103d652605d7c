package panel

import (
	"net/http"

	"github.com/a-h/templ"

	"hardnode.dev/internal/wire"
	"hardnode.dev/orchestrator/world"
)

// Each page fills in what the frame shows of it and returns its part that changes.

func (p *Panel) hosts(_ *http.Request, pg *page, v world.World) templ.Component {
	pg.Title, pg.Tab = "Hosts", "hosts"
	return hostsPage(pg.Cluster, v.Hosts().All())
}

func (p *Panel) host(r *http.Request, pg *page, v world.World) templ.Component {
	name := r.PathValue("host")
	pg.Title, pg.Tab = name, "hosts"
	h, ok := v.Host(name)
	if !ok || h.Name != name {
		pg.Missing = true
		return missing(absent{"Host " + name + " is not there", "No host of that name has joined this cluster, or it has been removed from it.", "/panel/", "All hosts"})
	}
	return hostPage(pg.Cluster, h, v.Nodes("", name).All())
}

func (p *Panel) environments(_ *http.Request, pg *page, v world.World) templ.Component {
	pg.Title, pg.Tab = "Environments", "environments"
	return environmentsPage(pg.Cluster, v.Environments().All(), v.Served)
}

func (p *Panel) environment(r *http.Request, pg *page, v world.World) templ.Component {
	name := r.PathValue("env")
	pg.Title, pg.Tab = name, "environments"
	ops := v.OperationsOn(wire.EnvName(name)).All()
	e, ok := v.Environment(wire.EnvName(name))
	if !ok {
		pg.Missing = true
		why := "No environment of that name has been created, or it was deleted too long ago to tell."
		if len(ops) > 0 {
			why = "It was deleted, or its creation was undone."
		}
		return missingEnvironment(absent{"Environment " + name + " is not there", why, "/panel/environments", "All environments"}, ops)
	}
	return environmentPage(pg.Cluster, e, v.Served(e.Spec.Name), ops)
}

func (p *Panel) operations(_ *http.Request, pg *page, v world.World) templ.Component {
	pg.Title, pg.Tab = "Operations", "operations"
	return operationsPage(pg.Cluster, v.Operations().All())
}

func (p *Panel) operation(r *http.Request, pg *page, v world.World) templ.Component {
	id := r.PathValue("op")
	pg.Title, pg.Tab = id, "operations"
	op, ok := v.Operation(wire.OperationID(id))
	if !ok {
		pg.Missing = true
		return missing(absent{"Operation " + id + " is not there", "There has been none, or it ended so long ago that it is no longer kept.", "/panel/operations", "All operations"})
	}
	pg.Title = op.Kind + " " + object(op)
	return operationPage(pg.Cluster, op)
}

func (p *Panel) nothing(_ *http.Request, pg *page, _ world.World) templ.Component {
	pg.Title, pg.Missing = "Not found", true
	return missing(absent{"There is no such page", "The address may be mistyped, or the page belongs to another version of Hardnode.", front, "All hosts"})
}

// absent says that something is not there, why that may be, and where to look instead.
type absent struct{ What, Why, Href, Link string }
