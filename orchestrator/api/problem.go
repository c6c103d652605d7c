package api

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"hardnode.dev/internal/wire/operator"
)

// huma has one hook for all its APIs; this program has one API.
func init() { huma.NewError = newError }

// newError is how huma's own refusals (validation, unknown fields, bodies too large) look: like all others.
func newError(status int, msg string, errs ...error) huma.StatusError {
	p := operator.NewProblem(operator.CodeOf(status), "", msg, "see /openapi.json")
	p.Status, p.Title = status, http.StatusText(status)
	if status >= 500 {
		return operator.AsProblem(fmt.Errorf("%s", msg))
	}
	details := make([]*huma.ErrorDetail, 0, len(errs))
	for _, e := range errs {
		if d, ok := e.(huma.ErrorDetailer); ok {
			details = append(details, d.ErrorDetail())
		} else if e != nil {
			details = append(details, &huma.ErrorDetail{Message: e.Error()})
		}
	}
	if len(details) == 0 {
		return p
	}
	// A field that is not known says more than the one that is missing for it.
	slices.SortStableFunc(details, func(a, b *huma.ErrorDetail) int { return cmp.Compare(rankOf(a), rankOf(b)) })
	all := make([]*operator.Problem, len(details))
	for i, d := range details {
		reason := d.Message
		if reason == unexpected {
			reason = "the field is not known"
		}
		one := *p
		one.Object, one.Reason, one.Next = strings.TrimPrefix(strings.TrimPrefix(d.Location, "body"),
			"."), reason, "correct it; see /openapi.json"
		all[i] = &one
	}
	return operator.All(all)
}

const unexpected = "unexpected property" // as huma says it

func rankOf(d *huma.ErrorDetail) int {
	if d.Message == unexpected {
		return 0
	}
	return 1
}
