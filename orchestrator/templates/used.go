package templates

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/env"
	"hardnode.dev/orchestrator/store"
)

// Used is what is in use of the templates: by layers of environments, by what undoing an operation would bring back, by nodes until their
// hosts have removed them (with what they were before an edit that is not over, and before a
// redeploy that can be undone), and by the platform's own components.
func Used(v *store.View) host.Used { return usedBy(v, wire.AdminAccount) }

// usedBy is Used as far as an account sees it.
func usedBy(v *store.View, viewer wire.Account) host.Used {
	all := env.Templates{}
	for _, t := range store.Templates.All(v) {
		all[t.Name] = t
	}
	uses := map[host.Use]bool{}
	layers := func(s operator.EnvironmentSpec, account wire.Account, whose string) {
		for _, l := range s.Layers {
			u := host.Use{Name: full(l.Template), By: fmt.Sprintf("layer %s of %s", l.Name, whose)}
			if t, ok := all.Find(account.Owner(), l.Template); ok {
				u.Name, u.Digest = t.Name, t.Digest
			}
			uses[u] = true
		}
	}
	for _, e := range store.Envs.All(v) {
		if !e.System && viewer.Sees(e.Account.Owner()) {
			layers(e.Spec, e.Account, "environment "+string(e.Spec.Name))
		}
	}
	for _, o := range store.Operations.All(v) {
		if o.Before != nil && !o.State.Final() && viewer.Sees(o.Account.Owner()) {
			layers(o.Before.Spec, o.Account, fmt.Sprintf("what undoing operation %s brings back", o.ID))
		}
	}
	for n := range store.Nodes.Rows(v) {
		if !viewer.Sees(n.Container.Account.Owner()) {
			continue
		}
		u := host.Use{Name: full(n.Container.Image.Name), Digest: n.Container.Image.Digest,
			By: fmt.Sprintf("node %s of environment %s", n.CTID, n.Env)}
		if n.Container.Component != "" {
			u.By = "the platform's own component " + n.Container.Component
		}
		uses[u] = true
		if m := n.Made; m != nil && m.Before != nil {
			i := m.Before.Container.Image
			uses[host.Use{Name: full(i.Name), Digest: i.Digest, By: "what undoing an edit makes of " + u.By}] = true
		}
		if n.Former != nil {
			i := n.Former.Container.Image
			uses[host.Use{Name: full(i.Name), Digest: i.Digest, By: "what undoing a redeploy makes of " + u.By}] = true
		}
	}
	out := host.Used{Uses: slices.Collect(maps.Keys(uses))}
	slices.SortFunc(out.Uses, func(a, b host.Use) int {
		return strings.Compare(a.By+"\n"+string(a.Name)+string(a.Digest), b.By+"\n"+string(b.Name)+string(b.Digest))
	})
	return out
}

// full is a template's name with its tag.
func full(n wire.TemplateName) wire.TemplateName {
	if n == "" || strings.Contains(string(n), ":") {
		return n
	}
	return n + ":latest"
}

// meantBy is Meant of what an account sees. To the admins the registry says whether there is what is not in the list; to others that is not
// there.
func meantBy(account wire.Account, name string, all []host.Template) (ref string, going []host.Template, err *operator.Problem) {
	ref, going, err = Meant(name, seenBy(account, all))
	if err != nil || account == wire.AdminAccount {
		return ref, going, err
	}
	if len(going) == 0 {
		return "", nil, missing(name)
	}
	if _, every, _ := Meant(ref, all); len(every) > len(going) {
		return "", nil, operator.NewProblem(operator.Conflict, "templates/"+name, "another account has it too, by another tag",
			"delete your own tag of it: hnctl template delete "+string(going[0].Name))
	}
	return ref, going, nil
}

func missing(name string) *operator.Problem {
	return operator.NewProblem(operator.NotFound, "templates/"+name, "there is no such template", "see hnctl template list")
}

// shortest is how many hex digits of a digest name it.
const shortest = 12

// Meant is the name a person gives as the registry knows it: name, name:tag, name@sha256:…, or name@ and the first hex digits as lists show
// them, of the template's file or of its OCI manifest. Templates are those that go with it, as far as they are known.
func Meant(name string, all []host.Template) (ref string, going []host.Template, err *operator.Problem) {
	refuse := func(reason, next string) (string, []host.Template, *operator.Problem) {
		return "", nil, operator.NewProblem(operator.Invalid, "templates/"+name, reason, next)
	}
	repo, digest, by := strings.Cut(name, "@")
	if !by {
		n := full(wire.TemplateName(name))
		if err := n.Validate(); err != nil {
			return refuse(err.Error(), "see hnctl template list")
		}
		for _, t := range all {
			if t.Name == n {
				going = append(going, t)
			}
		}
		return string(n), going, nil
	}
	repo, _, _ = strings.Cut(repo, ":")
	hex := strings.TrimPrefix(digest, "sha256:")
	if wire.TemplateName(repo).Validate() != nil || len(hex) < shortest || len(hex) > 64 || strings.Trim(hex, "0123456789abcdef") != "" {
		return refuse(fmt.Sprintf("want NAME@ and a digest, or its first %d hex digits or more", shortest), "see hnctl template list")
	}
	manifests := map[wire.Digest]bool{}
	for _, t := range all {
		if of, _, _ := strings.Cut(string(t.Name), ":"); of == repo &&
			(strings.HasPrefix(t.Digest.Hex(), hex) || strings.HasPrefix(t.OCI.Hex(), hex)) {
			going = append(going, t)
			manifests[t.OCI] = true
		}
	}
	switch {
	case len(manifests) > 1:
		return refuse("there are several that begin so", "give more of its digits")
	case len(manifests) == 1:
		return repo + "@" + string(going[0].OCI), going, nil
	case len(hex) == 64:
		return repo + "@sha256:" + hex, nil, nil // one that no tag points to
	}
	return "", nil, missing(name)
}
