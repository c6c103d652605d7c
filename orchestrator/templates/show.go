package templates

import (
	"fmt"
	"slices"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/store"
	"hardnode.dev/orchestrator/world"
)

// Show is all that is known of the template that a person of an account means (Meant), or of what was pushed under that name and is none.
func (l *List) Show(account wire.Account, name string) (operator.TemplateDetail, error) {
	return shown(l.Store.View(), l.Imports(), account, name)
}

func shown(v *store.View, pushed []host.Import, account wire.Account, name string) (operator.TemplateDetail, error) {
	all := store.Templates.All(v)
	seen := slices.DeleteFunc(slices.Clone(all), func(t host.Template) bool { return !account.Sees(t.Account.Owner()) })
	ref, meant, problem := Meant(name, seen)
	if problem != nil {
		return operator.TemplateDetail{}, problem
	}
	is := wire.TemplateName(ref)
	if len(meant) > 0 {
		is = meant[0].Name
	}
	list := world.World{View: v}.For(account).Templates(pushed)
	at := slices.IndexFunc(list, func(t operator.Template) bool { return t.Name == is })
	if at < 0 {
		return operator.TemplateDetail{}, missing(name)
	}
	out := operator.TemplateDetail{Template: list[at]}
	if len(meant) == 0 { // pushed, and no template yet
		return out, nil
	}
	t := meant[0]
	out.OCI, out.Profile, out.Directory = t.OCI, string(t.Profile), t.Process.Cwd
	out.User = fmt.Sprintf("%d:%d", t.Process.UID, t.Process.GID)
	out.Stop, out.StopAfter = t.Process.StopWith, t.Process.StopAfter
	if c := t.Check; c != nil {
		out.CheckPort, out.CheckPath = c.Port, c.Path
	}
	for _, vol := range t.Volumes {
		out.Volumes = append(out.Volumes, operator.TemplateVolume{Path: vol.Path, NoDataCOW: vol.NoCOW})
	}
	for _, o := range seen {
		if o.Digest == t.Digest && o.Name != t.Name {
			out.Others = append(out.Others, o.Name)
		}
	}
	out.UsedBy = usedBy(v, account).Users(t.Name, t.Digest, false)
	return out, nil
}
