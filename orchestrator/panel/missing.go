package panel

import (
	"net/http"

	"github.com/a-h/templ"

	"hardnode.dev/orchestrator/world"
)

func (p *Panel) nothing(_ *http.Request, pg *page, _ world.World) templ.Component {
	pg.Title, pg.Missing = "Not found", true
	why := "The address may be mistyped, or the page belongs to another version of Hardnode."
	return missing(absent{"There is no such page", why, front, "All hosts"})
}

// absent says that something is not there, why that may be, and where to look instead.
type absent struct{ What, Why, Href, Link string }
