package nft

import (
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// Check makes every expression, and finds what the kernel would refuse without a word of where: an element whose size is not its set's, a
// jump to nowhere, a chain that is there twice. A lookup in no set panics.
func (r *Ruleset) Check() error {
	sets, chains := map[string]*nftables.Set{}, map[string]bool{}
	for _, s := range r.sets {
		sets[s.name] = &nftables.Set{Name: s.name}
		for _, e := range s.elements {
			if n := int(s.key.datatype(s.name).Bytes); len(e.key) != n {
				return fmt.Errorf("BUG: set %s: key %s has %d bytes, want %d", s.name, e.text, len(e.key), n)
			}
			if s.data == nil || e.jump != "" {
				continue
			}
			if n := int(s.data.datatype(s.name).Bytes); len(e.val) != n {
				return fmt.Errorf("BUG: map %s: value of %s has %d bytes, want %d", s.name, e.text, len(e.val), n)
			}
		}
	}
	for _, c := range r.chains {
		if chains[c.name] {
			return fmt.Errorf("BUG: chain %s is there twice", c.name)
		}
		chains[c.name] = true
	}
	for _, s := range r.sets {
		for _, e := range s.elements {
			if e.jump != "" && !chains[e.jump] {
				return fmt.Errorf("BUG: map %s jumps to %s, which is not there", s.name, e.jump)
			}
		}
	}
	for _, c := range r.chains {
		for _, ru := range c.rules {
			for _, o := range ru.ops {
				for _, e := range o.exprs(sets) {
					if v, ok := e.(*expr.Verdict); ok && v.Kind == expr.VerdictJump && !chains[v.Chain] {
						return fmt.Errorf("BUG: chain %s jumps to %s, which is not there", c.name, v.Chain)
					}
				}
			}
		}
	}
	return nil
}
