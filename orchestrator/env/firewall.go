package env

import (
	"fmt"
	"slices"
	"strings"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/firewall"
	"hardnode.dev/internal/wire/operator"
)

// rules says what is wrong with a layer's firewall, as far as the spec itself tells.
func rules(s operator.EnvironmentSpec, at string, list []firewall.PacketRule) (found []*operator.Problem) {
	if len(list) > firewall.MaxRules {
		return []*operator.Problem{operator.NewProblem(operator.Invalid, at, fmt.Sprintf("there are %d rules, at most %d are allowed",
			len(list), firewall.MaxRules), "write ranges of ports and prefixes")}
	}
	seen := map[string]bool{}
	for i, r := range list {
		object := fmt.Sprintf("%s[%d]", at, i)
		part, of := r.Peers()
		switch err := r.Validate(); {
		case err != nil:
			found = append(found, operator.NewProblem(operator.Invalid, object, fmt.Sprintf("rule %q: %v", r.Name, err), "mend the rule"))
		case seen[r.Name]:
			found = append(found, operator.NewProblem(operator.Invalid, object+".name", fmt.Sprintf("rule %q is there twice", r.Name),
				"give each rule of a layer a name of its own"))
		case of == s.Name && part != "" && !isNode(part) && !hasLayer(s, wire.LayerName(part)):
			found = append(found, operator.NewProblem(operator.Invalid, object+".peer",
				fmt.Sprintf("rule %q names %s, and there is no layer %q", r.Name, r.Peer, part), "name a layer of this file"))
		}
		seen[r.Name] = true
	}
	return found
}

// isNode tells whether a name in an environment is one of a node, as Hostname makes them.
func isNode(name string) bool {
	number, is := strings.CutPrefix(name, "node")
	return is && number != "" && strings.Trim(number, "0123456789") == ""
}

func hasLayer(s operator.EnvironmentSpec, name wire.LayerName) bool {
	return slices.ContainsFunc(s.Layers, func(l operator.LayerSpec) bool { return l.Name == name })
}

// Peers says which rules of a spec name environments that its account has not: they would be about nobody, also once another account's has
// that name. Rules that layers of have have stay: what they name may have gone since.
func Peers(have, want operator.EnvironmentSpec, account wire.Account, has func(wire.EnvName) bool) *operator.Problem {
	var found []*operator.Problem
	for i, l := range want.Layers {
		var old []firewall.PacketRule
		if at := slices.IndexFunc(have.Layers, func(o operator.LayerSpec) bool { return o.Name == l.Name }); at >= 0 {
			old = have.Layers[at].Firewall
		}
		found = append(found, strange(want.Name, fmt.Sprintf("layers[%d].firewall", i), old, l.Firewall, account, has)...)
	}
	return operator.All(found)
}

// PeersOf is Peers of one list of rules that an environment of a spec has, a layer's or a node's, and of its own layers; at names the list.
func PeersOf(s operator.EnvironmentSpec, at string, have, want []firewall.PacketRule, account wire.Account,
	has func(wire.EnvName) bool) *operator.Problem {
	found := strange(s.Name, at, have, want, account, has)
	for i, r := range want {
		part, of := r.Peers()
		if of == s.Name && part != "" && !isNode(part) && !hasLayer(s, wire.LayerName(part)) && !stays(have, r) {
			found = append(found, operator.NewProblem(operator.NotFound, fmt.Sprintf("%s[%d].peer", at, i),
				fmt.Sprintf("rule %q names %s, and environment %s has no layer %q", r.Name, r.Peer, s.Name, part),
				"name a layer of it: hnctl env show "+string(s.Name)))
		}
	}
	return operator.All(found)
}

func strange(name wire.EnvName, at string, have, want []firewall.PacketRule, account wire.Account,
	has func(wire.EnvName) bool) (found []*operator.Problem) {
	for i, r := range want {
		if _, of := r.Peers(); of != "" && of != name && of != System && !has(of) && !stays(have, r) {
			found = append(found, operator.NewProblem(operator.NotFound, fmt.Sprintf("%s[%d].peer", at, i),
				fmt.Sprintf("rule %q names %s, and account %s has no environment %s", r.Name, r.Peer, account, of),
				"make that environment first, name another one (hnctl env list), or give an address or a prefix"))
		}
	}
	return found
}

// stays tells whether a list has a rule of that name for the same peer.
func stays(have []firewall.PacketRule, r firewall.PacketRule) bool {
	return slices.ContainsFunc(have, func(o firewall.PacketRule) bool { return o.Name == r.Name && o.Peer == r.Peer })
}
