package api

import (
	"encoding/base64"

	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/world"
)

// PageInput asks for a part of a list.
type PageInput struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"500" doc:"The most items of one answer"`
	Cursor string `query:"cursor" maxLength:"400" doc:"The next of the answer before; empty begins at the start"`
}

// page is one part of a list, in the order of its keys. An item that goes or comes between two parts shifts none of the others: a cursor
// names the last item's key, not a number.
func page[T any](in PageInput, items world.List[T]) (out operator.List[T], err error) {
	after, err := base64.RawURLEncoding.DecodeString(in.Cursor)
	if err != nil {
		return out, operator.NewProblem(operator.Invalid, "cursor", "it is none that a list gave",
			"send the next of the answer before, or none")
	}
	out.Items = []T{}
	last := ""
	for item := range items.After(string(after)) {
		if len(out.Items) == in.Limit {
			out.Next = base64.RawURLEncoding.EncodeToString([]byte(last))
			break
		}
		out.Items, last = append(out.Items, item.Get()), item.Key
	}
	return out, nil
}

// listed makes a list of things that are there already.
func listed[T any](things []T, key func(T) string) world.List[T] {
	out := make([]world.Item[T], len(things))
	for i, t := range things {
		out[i] = world.Item[T]{Key: key(t), Get: func() T { return t }}
	}
	return world.ListOf(out)
}
