package edit

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/env"
)

// Change is what becomes of a node since one field of its layer is another one.
type Change struct {
	Field  string // of a layer in JSON
	Kind   string // operator.EditChange, EditResize, EditRestart or EditRedeploy
	Detail string
}

// field is one of a layer's, and what another value of it does to a node that is there.
type field struct {
	name, json, kind string
	say              func(was, want operator.LayerSpec) string
}

// fields are all of a layer but its name and its number of nodes, which Plan sees to. A test holds that none is left out.
var fields = []field{
	{"Template", "template", operator.EditRedeploy, func(a, b operator.LayerSpec) string {
		return fmt.Sprintf("%s → %s", a.Template, b.Template)
	}},
	{"Profile", "profile", operator.EditRedeploy, func(a, b operator.LayerSpec) string {
		return fmt.Sprintf("profile %s → %s", said(a.Profile), said(b.Profile))
	}},
	{"Redeploy", "redeploy", operator.EditRedeploy, func(operator.LayerSpec, operator.LayerSpec) string { return "" }}, // Revise says which
	{"Links", "links", operator.EditChange, func(a, b operator.LayerSpec) string { return fmt.Sprintf("links %v → %v", a.Links, b.Links) }},
	{"Linked", "linked", operator.EditRestart, func(a, b operator.LayerSpec) string {
		return strings.Replace(variables(a.Linked, b.Linked), "variables", "variables of links", 1)
	}},
	{"Env", "env", operator.EditRestart, func(a, b operator.LayerSpec) string { return variables(a.Env, b.Env) }},
	{"Secrets", "secrets", operator.EditRestart, func(a, b operator.LayerSpec) string { return hidden(a.Secrets, b.Secrets) }},
	{"Volumes", "volumes", operator.EditRestart, func(a, b operator.LayerSpec) string {
		return fmt.Sprintf("%d → %d volumes named", len(a.Volumes), len(b.Volumes))
	}},
	{"Cloudlets", "cloudlets", operator.EditResize, func(a, b operator.LayerSpec) string {
		return fmt.Sprintf("cloudlets %d/%d → %d/%d", a.Cloudlets.Reserved, a.Cloudlets.Dynamic, b.Cloudlets.Reserved, b.Cloudlets.Dynamic)
	}},
	{"DiskMiB", "diskMiB", operator.EditResize, func(a, b operator.LayerSpec) string {
		return fmt.Sprintf("disk %d → %d MiB", disk(a), disk(b))
	}},
	{"After", "after", operator.EditChange, func(a, b operator.LayerSpec) string {
		return fmt.Sprintf("starts after %v → %v", a.After, b.After)
	}},
	{"HTTP", "http", operator.EditChange, func(a, b operator.LayerSpec) string { return fmt.Sprintf("HTTP port %d → %d", a.HTTP, b.HTTP) }},
	{"Check", "check", operator.EditChange, func(operator.LayerSpec, operator.LayerSpec) string { return "another check" }},
}

func said(s string) string { return cmp.Or(s, "of the template") }

func disk(l operator.LayerSpec) int64 { return cmp.Or(l.DiskMiB, env.DefaultDiskMiB) }

// variables names those that change, never their values.
func variables(was, want map[string]string) string {
	var names []string
	for k, v := range want {
		if old, there := was[k]; !there || old != v {
			names = append(names, k)
		}
	}
	for k := range was {
		if _, stays := want[k]; !stays {
			names = append(names, "-"+k)
		}
	}
	slices.Sort(names)
	if more := len(names) - 5; more > 0 {
		names = append(names[:5], fmt.Sprintf("and %d more", more))
	}
	return fmt.Sprintf("variables %v", names)
}

// hidden names the secret variables that change.
func hidden(was, want []operator.SecretSpec) string {
	values := func(list []operator.SecretSpec) map[string]string {
		out := map[string]string{}
		for _, s := range list {
			out[s.Name] = string(s.Sealed)
		}
		return out
	}
	return "secret " + variables(values(was), values(want))
}

// Same tells whether nodes of two layers are alike: how many there are does not count, nor which name the layers have.
func Same(a, b operator.LayerSpec) bool { return len(changed(a, b)) == 0 }

func changed(a, b operator.LayerSpec) (out []field) {
	x, y := reflect.ValueOf(a), reflect.ValueOf(b)
	for _, f := range fields {
		p, q := x.FieldByName(f.name), y.FieldByName(f.name)
		empty := (p.Kind() == reflect.Map || p.Kind() == reflect.Slice) && p.Len() == 0 && q.Len() == 0
		if !empty && !reflect.DeepEqual(p.Interface(), q.Interface()) {
			out = append(out, f)
		}
	}
	return out
}

// Revise is a node of a layer as another spec of the layer says, with what changes. Only what the two specs differ in is touched: what was
// changed by hand stays. A template that is not there is a Problem.
func Revise(n Placed, want operator.LayerSpec, templates env.Templates) (env.Node, []Change, *operator.Problem) {
	was, now := n.Of, n.Node
	list := changed(was, want)
	if len(list) == 0 {
		return now, nil, nil
	}
	owner := now.Container.Account
	t, known := templates.Find(owner.Owner(), want.Template)
	before, _ := templates.Find(owner.Owner(), was.Template)
	has := func(name string) bool { return slices.ContainsFunc(list, func(f field) bool { return f.name == name }) }
	if !known && (has("Template") || has("Profile") || has("Redeploy") || has("HTTP") || has("Check") || has("Volumes")) {
		return now, nil, operator.NewProblem(operator.NotFound, "template",
			fmt.Sprintf("template %q is not in the registry", want.Template), "see hnctl template list")
	}
	fresh := env.NodeOf(owner, now.Env, want, now.Index, t)
	old := env.NodeOf(owner, now.Env, was, now.Index, before)
	out, c := now, now.Container
	anew, back := has("Template") || has("Profile") || has("Redeploy"), has("Redeploy") && want.Redeploy.Undoes() && n.Former != nil
	if back {
		out, c = n.back(want, fresh)
	} else if anew {
		n := fresh.Container
		c.Image, c.Process, c.Profile, c.Check = n.Image, n.Process, n.Profile, n.Check
		out.HTTP = fresh.HTTP
	} else if has("Env") || has("Linked") {
		vars := maps.Clone(c.Process.Env)
		if vars == nil {
			vars = map[string]string{}
		}
		for k := range env.Variables(was) {
			if v, of := before.Process.Env[k]; of {
				vars[k] = v
			} else {
				delete(vars, k)
			}
		}
		maps.Copy(vars, env.Variables(want))
		c.Process.Env = vars
	}
	if has("Secrets") {
		c.Process.Sealed = env.SealedOf(want)
	}
	if has("HTTP") || has("Check") {
		out.HTTP, c.Check = fresh.HTTP, fresh.Container.Check
	}
	if has("Cloudlets") {
		out.Cloudlets = want.Cloudlets
		l := env.LimitsOf(want.Cloudlets, 0)
		c.Limits.MemoryMin, c.Limits.MemoryHigh, c.Limits.MemoryMax = l.MemoryMin, l.MemoryHigh, l.MemoryMax
		c.Limits.CPUWeight, c.Limits.CPUMHz = l.CPUWeight, l.CPUMHz
	}
	if has("DiskMiB") {
		c.Limits.DiskBytes = disk(want) << 20
	}
	moved := false
	if !back && (anew || has("Volumes") || has("DiskMiB")) {
		var volumes []host.Volume
		if volumes, moved = merge(c.Volumes, old.Container.Volumes, fresh.Container.Volumes); known {
			c.Volumes = volumes
			c.Dropped = Dropped(host.Container{}, c)
		}
	}
	var changes []Change
	most := ""
	for _, f := range list {
		ch := Change{f.json, f.kind, f.say(was, want)}
		if f.name == "Redeploy" {
			ch.Detail = fmt.Sprintf("image %s → %s", short(now.Container.Image), short(c.Image)) + n.goes(back, want)
		}
		if f.name == "Volumes" && !moved {
			ch.Kind = operator.EditResize // sizes alone
		}
		changes = append(changes, ch)
		if rank[ch.Kind] > rank[most] {
			most = ch.Kind
		}
	}
	switch {
	case most == operator.EditRedeploy:
		c.Generation++
		if !back {
			c.Begins = nil
		}
	case most == operator.EditRestart, moved:
		c.Boot++
	}
	out.Container = c
	return out, changes, nil
}

// short is an image as people tell it from another one.
func short(i host.Image) string {
	return fmt.Sprintf("%s %.12s", i.Name, cmp.Or(i.Digest.Hex(), "that is not known"))
}

// rank is how much a node feels of a kind.
var rank = map[string]int{"": 0, operator.EditChange: 1, operator.EditResize: 2, operator.EditRestart: 3, operator.EditRedeploy: 4}

// merge are the volumes of a node that has some, of which its old spec says one list and its new one another. What was resized by hand
// stays so unless the spec's size is another one. moved: one is new, goes, or is elsewhere: the node has to start anew.
func merge(has, old, want []host.Volume) (out []host.Volume, moved bool) {
	find := func(list []host.Volume, name string) *host.Volume {
		if i := slices.IndexFunc(list, func(v host.Volume) bool { return v.Name == name }); i >= 0 {
			return &list[i]
		}
		return nil
	}
	for _, v := range want {
		is, was := find(has, v.Name), find(old, v.Name)
		if is == nil || is.Path != v.Path {
			moved = true
		}
		if is != nil {
			v.NoCOW = is.NoCOW // it counts when a volume is made
			if was != nil && was.Bytes == v.Bytes {
				v.Bytes = is.Bytes
			}
		}
		out = append(out, v)
	}
	for _, v := range has {
		moved = moved || find(want, v.Name) == nil
	}
	return out, moved
}

// gone are the names of volumes that one list has and the other has not.
func gone(has, want []host.Volume) (names []string) {
	for _, v := range has {
		if !slices.ContainsFunc(want, func(o host.Volume) bool { return o.Name == v.Name }) {
			names = append(names, v.Name)
		}
	}
	return names
}

// Dropped are the volumes whose data goes, once an edit from one container to another can't be undone any more: those that the first has
// and the second has not, beside those that were dropped before and did not come back.
func Dropped(was, is host.Container) []string {
	out := slices.Concat(is.Dropped, gone(was.Volumes, is.Volumes))
	out = slices.DeleteFunc(out, func(name string) bool {
		return slices.ContainsFunc(is.Volumes, func(v host.Volume) bool { return v.Name == name })
	})
	slices.Sort(out)
	out = slices.Compact(out)
	return out[max(0, len(out)-host.MaxDropped):]
}

// Back is a node as it was before an edit, made of what it is now: a start or a generation is never repeated.
func Back(now, was host.Container) host.Container {
	switch {
	case was.Generation != now.Generation:
		was.Begins = &host.Begins{Generation: was.Generation}
		was.Generation, was.Boot = now.Generation+1, now.Boot
	case was.Boot != now.Boot:
		was.Boot = now.Boot + 1
	}
	was.IPv4, was.IPv6 = now.IPv4, now.IPv6
	return was
}

// Restarts tells whether a node of one container must end and start to be another.
func Restarts(a, b host.Container) bool { return a.Generation != b.Generation || a.Boot != b.Boot }

// number is a node's in its layer, for people.
func number(n env.Node) int { return n.Index + 1 }

func step(kind string, layer wire.LayerName, node int, ctid wire.CTID, detail string, fields ...string) operator.EditStep {
	s := operator.EditStep{Kind: kind, Layer: layer, Node: node, CTID: ctid, Detail: detail, Fields: fields, Outage: operator.OutageNone}
	switch kind {
	case operator.EditRestart, operator.EditRedeploy:
		s.Outage = operator.OutageRestart
	case operator.EditRemove:
		s.Outage = operator.OutageDown
	}
	return s
}
