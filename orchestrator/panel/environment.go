package panel

import (
	"net/http"
	"slices"
	"strings"

	"github.com/a-h/templ"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/world"
)

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

// failure is the newest operation that failed, "" if there is none.
func failure(ops []operator.Operation) string {
	for _, o := range ops {
		if o.State == operator.OpFailed {
			return string(o.ID)
		}
	}
	return ""
}

// firstNode is the number of a node to look into.
func firstNode(e operator.Environment) string {
	for _, n := range e.Nodes {
		if n.State != "running" {
			return n.CTID.String()
		}
	}
	if len(e.Nodes) > 0 {
		return e.Nodes[0].CTID.String()
	}
	return "CTID"
}

// spreading tells whether what is said of an environment's spread is that it is being mended.
func spreading(s string) bool { return strings.Contains(s, " is being spread") }

// without is c without the alarms about one environment: its page says them in its own words.
func without(c operator.Cluster, env string) operator.Cluster {
	c.Alarms = slices.DeleteFunc(slices.Clone(c.Alarms), func(a string) bool { return strings.HasPrefix(a, "environment "+env+": ") })
	return c
}
