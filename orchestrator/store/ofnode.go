package store

import (
	"slices"

	"hardnode.dev/internal/wire"
)

// placed is what an environment keeps of one of its nodes in a list of all of them: it stays when the node is replaced.
type placed interface{ of() string } // the node, as in Wall

// ofNode are those of a layer's node by its number from 1.
func ofNode[T placed](all []T, layer wire.LayerName, node int) (out []T) {
	for _, x := range all {
		if x.of() == wallOf(layer, node) {
			out = append(out, x)
		}
	}
	return out
}

// setOfNode is all with list in place of ofNode; nil, not empty: it is kept so.
func setOfNode[T placed](all []T, layer wire.LayerName, node int, list []T) []T {
	all = append(slices.DeleteFunc(slices.Clone(all), func(x T) bool { return x.of() == wallOf(layer, node) }), list...)
	if len(all) == 0 {
		return nil
	}
	return all
}
