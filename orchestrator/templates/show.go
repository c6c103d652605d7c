package templates

import (
	"context"
	"fmt"
	"net/http"
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

// Tag gives the template that a person of an account means another tag of the same name. A tag that is another image's is taken away from
// that only with move; nodes that run go on with the image they have.
func (l *List) Tag(ctx context.Context, account wire.Account, name string, q operator.TagTemplate) (operator.TemplateDetail, error) {
	none := operator.TemplateDetail{}
	v := l.Store.View()
	ref, meant, problem := Meant(name, seenBy(account, store.Templates.All(v)))
	if problem != nil {
		return none, problem
	}
	if len(meant) == 0 {
		return none, missing(name)
	}
	ask := host.TagRequest{Of: ref, Tag: q.Tag, Move: q.Move}
	if q.Tag == "" || ask.Name().Validate() != nil {
		return none, operator.NewProblem(operator.Invalid, "tag",
			fmt.Sprintf("%.80q is no tag: want at most 64 letters, digits, dots, dashes and underscores", q.Tag),
			"use a tag such as 1.22 or stable")
	}
	if t, ok := store.Templates.Get(v, store.TemplateKey(ask.Name())); ok && !account.Sees(t.Account.Owner()) {
		return none, operator.NewProblem(operator.Conflict, "templates/"+string(ask.Name()), "it is there already", "choose another tag")
	}
	var made host.Template
	if err := l.change(ctx, http.MethodPost, host.PathTag, ask, &made); err != nil {
		return none, err
	}
	return l.Show(account, string(ask.Name()))
}

// seenBy are the templates that an account sees.
func seenBy(account wire.Account, all []host.Template) []host.Template {
	return slices.DeleteFunc(slices.Clone(all), func(t host.Template) bool { return !account.Sees(t.Account.Owner()) })
}

func shown(v *store.View, pushed []host.Import, account wire.Account, name string) (operator.TemplateDetail, error) {
	seen := seenBy(account, store.Templates.All(v))
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
