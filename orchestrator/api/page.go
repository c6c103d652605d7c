package api

import (
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/world"
)

// PageInput asks for a part of a list.
type PageInput struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"500" doc:"The most items of one answer"`
	Cursor string `query:"cursor" maxLength:"400" doc:"The next of the answer before; empty begins at the start"`
}

// page is one part of a list, in the order of its keys.
func page[T any](in PageInput, items world.List[T]) (out operator.List[T], err error) {
	if out.Items, out.Next, err = items.Page(in.Cursor, in.Limit); err != nil {
		return out, operator.NewProblem(operator.Invalid, "cursor", "it is none that a list gave",
			"send the next of the answer before, or none")
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
