// Package hold is what a resolver says of the nodes whose requests it holds, as a query of its poll for routes.
//
// Owns: the form of that query.
// In: how many requests are under way to each node that is held; text.
// Out: text; the numbers, or an error naming what is wrong.
// Never: holds anything.
//
// History: 2026-11-27 version 1.
package hold

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"hardnode.dev/internal/wire"
)

// Query is the name of the query. An orchestrator that does not know it leaves it alone.
const Query = "held"

// Most is how many nodes are named at most. Whoever waits for others waits as for a resolver that does not answer.
const Most = 256

// Node is one that is held.
type Node struct {
	CTID wire.CTID
	Busy int // requests that are under way to it, sent before it was held
}

// Format writes the nodes as 101:0,102:3, the lowest numbers first, Most at most.
func Format(nodes []Node) string {
	nodes = slices.SortedFunc(slices.Values(nodes), func(a, b Node) int { return cmp.Compare(a.CTID, b.CTID) })
	var out []byte
	for i, n := range nodes[:min(len(nodes), Most)] {
		if i > 0 {
			out = append(out, ',')
		}
		out = fmt.Appendf(out, "%d:%d", n.CTID, n.Busy)
	}
	return string(out)
}

// Parse reads what Format wrote; "" are none.
func Parse(text string) ([]Node, error) {
	if text == "" {
		return nil, nil
	}
	words := strings.SplitN(text, ",", Most+1)
	if len(words) > Most {
		return nil, fmt.Errorf("%s names more than %d nodes", Query, Most)
	}
	out := make([]Node, 0, len(words))
	for _, w := range words {
		number, busy, found := strings.Cut(w, ":")
		id, err := wire.ParseCTID(number)
		n, wrong := strconv.Atoi(busy)
		if !found || err != nil || wrong != nil || n < 0 {
			return nil, fmt.Errorf("%s: %.40q is not the number of a node and, behind a colon, of its requests", Query, w)
		}
		out = append(out, Node{id, n})
	}
	return out, nil
}
