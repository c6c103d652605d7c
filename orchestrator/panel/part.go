package panel

import (
	"net/http"
	"net/url"

	"github.com/a-h/templ"

	"hardnode.dev/orchestrator/world"
)

// pageSize is how many rows of a list a page shows.
const pageSize = 100

// part is where a page of a list is in it.
type part struct {
	At    string // the list's address
	First bool   // nothing is before it
	Next  string // cursor of the page after it; "" if it is the last
}

// Whole tells whether the page shows all of the list.
func (p part) Whole() bool { return p.First && p.Next == "" }

func (p part) first() templ.SafeURL { return templ.SafeURL(p.At) }

func (p part) next() templ.SafeURL { return templ.SafeURL(p.At + "?cursor=" + url.QueryEscape(p.Next)) }

// shown are the things of a list that a request asks for; false when it asks for a part that the list never had.
func shown[T any](r *http.Request, list world.List[T]) (things []T, at part, ok bool) {
	cursor := r.URL.Query().Get("cursor")
	things, next, err := list.Page(cursor, pageSize)
	return things, part{r.URL.Path, cursor == "", next}, err == nil
}

// noPart is what is shown in place of a part of a list that it never had.
func noPart(pg *page, at part) templ.Component {
	pg.Missing = true
	return missing(absent{"There is no such part of the list", "The address may be mistyped.", at.At, "The list from its beginning"})
}
