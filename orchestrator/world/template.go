package world

import (
	"cmp"
	"slices"

	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/store"
)

// Templates are the templates of the registry by name, and of what was pushed what is none, or none yet.
func (w World) Templates(pushed []host.Import) []operator.Template {
	made := slices.DeleteFunc(store.Templates.All(w.View), func(t host.Template) bool { return !w.sees(ofTemplate(t)) })
	pushed = slices.DeleteFunc(slices.Clone(pushed), func(i host.Import) bool { return !w.sees(ofImport(i)) })
	return templates(made, pushed)
}

// templates are templates and imports as people see them, by name. A name that was pushed again says how that goes.
func templates(made []host.Template, pushed []host.Import) []operator.Template {
	out := make([]operator.Template, 0, len(made)+len(pushed))
	for _, t := range made {
		out = append(out, template(t))
	}
	for _, i := range pushed {
		at := slices.IndexFunc(out, func(t operator.Template) bool { return t.Name == i.Name })
		if at < 0 {
			at, out = len(out), append(out, operator.Template{Name: i.Name, Account: ofImport(i)})
		}
		t := &out[at]
		t.State, t.Reason, t.Since, t.Percent = string(i.State), i.Reason, i.Since, i.Percent
	}
	slices.SortFunc(out, func(a, b operator.Template) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// template is a template as people see it.
func template(t host.Template) operator.Template {
	return operator.Template{Name: t.Name, Digest: t.Digest, Bytes: t.Bytes, Process: t.Process.Argv, Port: t.HTTPPort,
		State: "ready", Account: ofTemplate(t), Imported: t.Imported, Notes: t.Notes, Warnings: t.Warnings}
}
