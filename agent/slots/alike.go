package slots

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"hardnode.dev/internal/disk/bootorder"
)

// content is what a file holds, by its digest.
type content [32]byte

// unread is that of a file that can't be read.
var unread content

// readable tells which files of an ESP can't be copied.
func readable(all map[string]content) error {
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if all[name] == unread && name != ownFile {
			return fmt.Errorf("%s of the booted ESP can't be read", name)
		}
	}
	return nil
}

// ownFile is what the loader writes for itself: it is another one on each ESP.
const ownFile = "loader/random-seed"

// differs says how an ESP is made like another one, each file by its path: what is removed, in order, then what is copied, in order, and
// what is removed after it. At each cut the loader finds no entry of a system that is not whole, and one of each that is: the entries of a
// system that is written anew go first and come last, all others go when those that take their place are there.
func differs(from, to map[string]content) (remove, write, after []string) {
	for _, name := range slices.Sorted(maps.Keys(from)) {
		if have, there := to[name]; name != ownFile && (!there || have != from[name]) {
			write = append(write, name)
			if e, ok := bootorder.Of(name); ok { // the entries of a system that is written anew
				for other := range to {
					p, ok := bootorder.Parse(path.Base(other), "")
					if ok && isEntry(other) && p.Slot == e {
						remove = append(remove, other)
						if _, wanted := from[other]; wanted && !slices.Contains(write, other) {
							write = append(write, other)
						}
					}
				}
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(to)) {
		if _, wanted := from[name]; name == ownFile || wanted || slices.Contains(remove, name) {
			continue
		}
		if isEntry(name) {
			after = append(after, name)
		} else {
			remove = append(remove, name)
		}
	}
	late := func(name string) int {
		if isEntry(name) {
			return 1
		}
		return 0
	}
	slices.Sort(remove)
	slices.SortStableFunc(remove, func(a, b string) int { return late(b) - late(a) })
	slices.SortStableFunc(write, func(a, b string) int { return late(a) - late(b) })
	return remove, slices.Compact(write), after
}

func isEntry(name string) bool { return strings.HasPrefix(name, bootorder.Entries+"/") }
