package api

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"time"

	"hardnode.dev/internal/wire/operator"
)

// PageInput asks for a part of a list.
type PageInput struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"500" doc:"The most items of one answer"`
	Cursor string `query:"cursor" maxLength:"400" doc:"The next of the answer before; empty begins at the start"`
}

// page is one part of a list whose items are ordered by key, which no two share. An item that goes or comes between two parts shifts none
// of the others: a cursor names the last item's key, not a number.
func page[T any](in PageInput, items []T, key func(T) string) (*body[operator.List[T]], error) {
	after, err := base64.RawURLEncoding.DecodeString(in.Cursor)
	if err != nil {
		return nil, operator.NewProblem(operator.Invalid, "cursor", "it is none that a list gave", "send the next of the answer before, or none")
	}
	items = slices.Clone(items)
	slices.SortStableFunc(items, func(a, b T) int { return strings.Compare(key(a), key(b)) })
	if in.Cursor != "" {
		at, _ := slices.BinarySearchFunc(items, string(after)+"\x00", func(x T, k string) int { return strings.Compare(key(x), k) })
		items = items[at:]
	}
	out := operator.List[T]{Items: []T{}}
	if len(items) > in.Limit {
		items = items[:in.Limit]
		out.Next = base64.RawURLEncoding.EncodeToString([]byte(key(items[len(items)-1])))
	}
	out.Items = append(out.Items, items...)
	return &body[operator.List[T]]{out}, nil
}

// byNumber orders numbers as text.
func byNumber(n int64) string { return fmt.Sprintf("%020d", n) }

// newest orders times, the newest first, as text.
func newest(t time.Time) string { return byNumber(1<<62 - t.UnixNano()) }
