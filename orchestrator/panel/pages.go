package panel

import (
	"net/http"
	"slices"

	"github.com/a-h/templ"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/show"
	"hardnode.dev/orchestrator/store"
)

// Each page fills in what the frame shows of it and returns its part that changes.

func (p *Panel) hosts(_ *http.Request, pg *page, v show.World) templ.Component {
	pg.Title, pg.Tab = "Hosts", "hosts"
	return hostsPage(pg.Cluster, v.Hosts())
}

func (p *Panel) host(r *http.Request, pg *page, v show.World) templ.Component {
	name := r.PathValue("host")
	pg.Title, pg.Tab = name, "hosts"
	all := v.Hosts()
	i := slices.IndexFunc(all, func(h operator.Host) bool { return h.Name == name })
	if i < 0 {
		pg.Missing = true
		return missing(absent{"Host " + name + " is not there", "No host of that name has joined this cluster, or it has been removed from it.", "/panel/", "All hosts"})
	}
	return hostPage(pg.Cluster, all[i], slices.DeleteFunc(v.Nodes(""), func(n operator.Node) bool { return n.Host != all[i].ID }))
}

func (p *Panel) environments(_ *http.Request, pg *page, v show.World) templ.Component {
	pg.Title, pg.Tab = "Environments", "environments"
	return environmentsPage(pg.Cluster, v.Environments(), served(v))
}

func (p *Panel) environment(r *http.Request, pg *page, v show.World) templ.Component {
	name := r.PathValue("env")
	pg.Title, pg.Tab = name, "environments"
	ops := of(p.Operations(), "environments/"+name)
	e, ok := store.Envs.Get(v.View, name)
	if !ok {
		pg.Missing = true
		why := "No environment of that name has been created, or it was deleted too long ago to tell."
		if len(ops) > 0 {
			why = "It was deleted, or its creation was undone."
		}
		return missingEnvironment(absent{"Environment " + name + " is not there", why, "/panel/environments", "All environments"}, ops)
	}
	return environmentPage(pg.Cluster, v.Environment(e), served(v)[e.Spec.Name], ops)
}

func (p *Panel) operations(_ *http.Request, pg *page, _ show.World) templ.Component {
	pg.Title, pg.Tab = "Operations", "operations"
	return operationsPage(pg.Cluster, p.Operations())
}

func (p *Panel) operation(r *http.Request, pg *page, _ show.World) templ.Component {
	id := r.PathValue("op")
	pg.Title, pg.Tab = id, "operations"
	all := p.Operations()
	i := slices.IndexFunc(all, func(o operator.Operation) bool { return string(o.ID) == id })
	if i < 0 {
		pg.Missing = true
		return missing(absent{"Operation " + id + " is not there", "There has been none, or it ended so long ago that it is no longer kept.", "/panel/operations", "All operations"})
	}
	pg.Title = all[i].Kind + " " + object(all[i])
	return operationPage(pg.Cluster, all[i])
}

func (p *Panel) nothing(_ *http.Request, pg *page, _ show.World) templ.Component {
	pg.Title, pg.Missing = "Not found", true
	return missing(absent{"There is no such page", "The address may be mistyped, or the page belongs to another version of Hardnode.", front, "All hosts"})
}

// absent says that something is not there, why that may be, and where to look instead.
type absent struct{ What, Why, Href, Link string }

// served are the environments that have an address: those with nodes that serve HTTP.
func served(v show.World) map[wire.EnvName]bool {
	out := map[wire.EnvName]bool{}
	for n := range store.Nodes.Rows(v.View) {
		if n.HTTP != 0 && !n.Gone {
			out[n.Env] = true
		}
	}
	return out
}

// of are the operations on one object, newest first as they come.
func of(ops []operator.Operation, object string) []operator.Operation {
	return slices.DeleteFunc(slices.Clone(ops), func(o operator.Operation) bool { return o.Object != object })
}
