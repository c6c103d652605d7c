package world

import (
	"encoding/base64"
	"fmt"
	"iter"
	"slices"
	"strings"
)

// Item is one thing of a List: what the list is ordered by, which no two share, and the thing.
type Item[T any] struct {
	Key string
	Get func() T
}

// List is many things in order, of which each is found and put together when it is asked for: a page of a long list costs the page. The
// zero value has none.
type List[T any] struct {
	after func(key string) iter.Seq[Item[T]] // "": from the first on
	parts func(T) int                        // how many things each has in it; nil: none
}

// pageParts is how many things a page's things have in them, but for those of the last one: a page of large things is shorter.
const pageParts = 1000

// ListOf is a list of items that are there already, in order of their keys.
func ListOf[T any](items []Item[T]) List[T] {
	slices.SortStableFunc(items, func(a, b Item[T]) int { return strings.Compare(a.Key, b.Key) })
	return List[T]{after: func(key string) iter.Seq[Item[T]] {
		at := 0
		if key != "" {
			at, _ = slices.BinarySearchFunc(items, key+"\x00", func(i Item[T], k string) int { return strings.Compare(i.Key, k) })
		}
		return slices.Values(items[at:])
	}}
}

// After goes through what comes after a key, which may be that of a thing that is no more; "" is before the first.
func (l List[T]) After(key string) iter.Seq[Item[T]] {
	if l.after == nil {
		return func(func(Item[T]) bool) {}
	}
	return l.after(key)
}

// All is every thing of the list.
func (l List[T]) All() []T {
	out := []T{}
	for item := range l.After("") {
		out = append(out, item.Get())
	}
	return out
}

// Page is at most limit things behind what cursor names: "" is before the first, what a page before gave as next goes on there. Next is ""
// when nothing comes after. Things that have many others in them end a page before limit. A thing that goes or comes between two pages
// shifts none of the others: a cursor names the last thing's key, not a number. The error says that no page gave such a cursor.
func (l List[T]) Page(cursor string, limit int) (things []T, next string, err error) {
	after, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		return nil, "", fmt.Errorf("cursor %.40q: it is none that a list gave", cursor)
	}
	things = []T{}
	last, parts := "", 0
	for item := range l.After(string(after)) {
		if len(things) == limit || parts >= pageParts {
			return things, base64.RawURLEncoding.EncodeToString([]byte(last)), nil
		}
		thing := item.Get()
		if things, last = append(things, thing), item.Key; l.parts != nil {
			parts += l.parts(thing)
		}
	}
	return things, "", nil
}

// Only is the list without what is not to be kept.
func (l List[T]) Only(keep func(T) bool) List[T] {
	return List[T]{parts: l.parts, after: func(key string) iter.Seq[Item[T]] {
		return func(yield func(Item[T]) bool) {
			for item := range l.After(key) {
				if keep(item.Get()) && !yield(item) {
					return
				}
			}
		}
	}}
}
