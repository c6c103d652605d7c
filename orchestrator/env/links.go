package env

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
)

// A link gives both layers these variables of each other, behind the other one's name: SQLDB_HOST, SQLDB_PORT.
const (
	linkHost = "_HOST" // the name by which all nodes of the layer are found, whichever they are: DNS answers follow them
	linkPort = "_PORT" // where they serve; of a layer whose port nobody knows there is none
)

// prefix is how the variables of a layer begin: names of variables have no dashes (POSIX.1-2017, 8.1).
func prefix(name wire.LayerName) string {
	return strings.ToUpper(strings.ReplaceAll(string(name), "-", "_"))
}

// links says what is wrong with the layers that others are linked to.
func links(s operator.EnvironmentSpec) (found []*operator.Problem) {
	bad := func(at, why, next string) {
		found = append(found, operator.NewProblem(operator.Invalid, at, why, next))
	}
	for i, l := range s.Layers {
		for j, name := range l.Links {
			at := fmt.Sprintf("layers[%d].links[%d]", i, j)
			other := slices.IndexFunc(s.Layers, func(o operator.LayerSpec) bool { return o.Name == name })
			switch {
			case name == l.Name:
				bad(at, fmt.Sprintf("layer %q would be linked to itself", name), "leave it out")
				continue
			case slices.Contains(l.Links[:j], name):
				bad(at, fmt.Sprintf("layer %q is there twice", name), "name each layer once")
				continue
			case other < 0:
				bad(at, fmt.Sprintf("there is no layer %q", name), "name a layer of this file")
				continue
			}
			for _, side := range []struct{ has, of operator.LayerSpec }{{l, s.Layers[other]}, {s.Layers[other], l}} {
				if own := owns(side.has, prefix(side.of.Name)); own != "" {
					bad(at, fmt.Sprintf("the link gives layer %q the variable %s, and the layer has its own", side.has.Name, own),
						"rename that variable, or leave the link out")
				}
			}
		}
	}
	return found
}

// owns is which variable of a link a layer has of its own; "": none.
func owns(l operator.LayerSpec, prefix string) string {
	for _, name := range []string{prefix + linkHost, prefix + linkPort} {
		if _, plain := l.Env[name]; plain || slices.ContainsFunc(l.Secrets, func(s operator.SecretSpec) bool { return s.Name == name }) {
			return name
		}
	}
	return ""
}

// IsLinked tells whether a spec has links, or says that it had.
func IsLinked(s operator.EnvironmentSpec) bool {
	return slices.ContainsFunc(s.Layers, func(l operator.LayerSpec) bool { return len(l.Links)+len(l.Linked) > 0 })
}

// Link is a valid spec of an account with the variables that its links give to its layers, in the place of those that it says.
func Link(account wire.Account, s operator.EnvironmentSpec, templates Templates) operator.EnvironmentSpec {
	return LinkAs(account, s, templates, nil)
}

// LinkAs is Link where layers have nodes that stay what they are: serves is the port of those, 0 where nobody knows one. The name of a
// template may stand for another image by now.
func LinkAs(account wire.Account, s operator.EnvironmentSpec, templates Templates,
	serves map[wire.LayerName]uint16) operator.EnvironmentSpec {
	if !IsLinked(s) {
		return s
	}
	s.Layers = slices.Clone(s.Layers)
	for i := range s.Layers {
		s.Layers[i].Linked = nil
	}
	give := func(to int, of operator.LayerSpec) {
		l := &s.Layers[to]
		if l.Linked == nil {
			l.Linked = map[string]string{}
		}
		l.Linked[prefix(of.Name)+linkHost] = string(of.Name) + "." + string(s.Name) + ".internal"
		port, stays := serves[of.Name]
		if !stays {
			port = portOf(account, of, templates)
		}
		if port != 0 {
			l.Linked[prefix(of.Name)+linkPort] = strconv.Itoa(int(port))
		}
	}
	for i, l := range s.Layers {
		for _, name := range l.Links {
			if j := slices.IndexFunc(s.Layers, func(o operator.LayerSpec) bool { return o.Name == name }); j >= 0 && j != i {
				give(i, s.Layers[j])
				give(j, l)
			}
		}
	}
	return s
}

// portOf is where a layer's nodes serve: HTTP, else what is checked of them; 0: not known.
func portOf(account wire.Account, l operator.LayerSpec, templates Templates) uint16 {
	t, _ := templates.Find(account.Owner(), l.Template)
	port := httpOf(l, t)
	if c := checkOf(l, t); c != nil {
		port = cmp.Or(port, c.Port)
	}
	return port
}

// Renamed is a spec under another name, with the variables that its links give.
func Renamed(s operator.EnvironmentSpec, to wire.EnvName) operator.EnvironmentSpec {
	was, is := "."+string(s.Name)+".internal", "."+string(to)+".internal"
	s.Name, s.Layers = to, slices.Clone(s.Layers)
	for i := range s.Layers {
		linked := maps.Clone(s.Layers[i].Linked)
		for k, v := range linked {
			if layer, named := strings.CutSuffix(v, was); named && strings.HasSuffix(k, linkHost) {
				linked[k] = layer + is
			}
		}
		s.Layers[i].Linked = linked
	}
	return s
}

// Port is where a node serves: HTTP, else what is checked of it; 0: not known.
func (n Node) Port() uint16 {
	if c := n.Container.Check; c != nil {
		return cmp.Or(n.HTTP, c.Port)
	}
	return n.HTTP
}

// Variables are those of a layer's processes that it says or its links give.
func Variables(l operator.LayerSpec) map[string]string {
	if len(l.Linked) == 0 {
		return l.Env
	}
	out := maps.Clone(l.Linked)
	maps.Copy(out, l.Env)
	return out
}

// Linking are the layers of a spec that are linked with one, by name.
func Linking(s operator.EnvironmentSpec, name wire.LayerName) (out []wire.LayerName) {
	for _, l := range s.Layers {
		if l.Name == name {
			out = append(out, l.Links...)
		} else if slices.Contains(l.Links, name) {
			out = append(out, l.Name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
