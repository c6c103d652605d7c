// Package env knows what an environment is made of.
//
// Owns: the rules an EnvironmentSpec obeys, its expansion into nodes, and the state an environment is in.
// In: a spec, the templates there are; the states of its nodes.
// Out: nodes without number, host and address; a Problem naming the field; a state with its reason.
// Never: chooses a host (place does), counts a licence (entitle does), or does I/O.
package env

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
)

// System is the environment whose nodes are the platform's components.
const System wire.EnvName = "jelastic"

// DefaultDiskMiB is a node's disk when its spec says 0.
const DefaultDiskMiB = 1024

// MaxNodes is the most nodes one environment may have.
const MaxNodes = 500

// Templates are the templates there are, by full name ("nginx:1.22").
type Templates map[wire.TemplateName]host.Template

// Find is the template a person of an account means: the exact name; without a tag the tag "latest", else the one imported last. Everybody
// may use the admins' templates; those of other accounts are not there.
func (t Templates) Find(account wire.Account, name wire.TemplateName) (found host.Template, ok bool) {
	use := func(o host.Template) bool { return o.Account.Owner() == wire.AdminAccount || account.Sees(o.Account) }
	if found, ok = t[name]; ok || strings.Contains(string(name), ":") {
		if !ok || !use(found) {
			return host.Template{}, false
		}
		return found, true
	}
	if found, ok = t[name+":latest"]; ok && use(found) {
		return found, true
	}
	found, ok = host.Template{}, false
	for full, o := range t {
		if base, _, _ := strings.Cut(string(full), ":"); base != string(name) || !use(o) {
			continue
		}
		if !ok || o.Imported.After(found.Imported) || o.Imported.Equal(found.Imported) && o.Name > found.Name {
			found, ok = o, true
		}
	}
	return found, ok
}

// Node is one node of an expanded environment. Container lacks what only placing knows: CTID, Hostname, IPv4, IPv6; Run is the want's.
type Node struct {
	Env       wire.EnvName
	Layer     wire.LayerName
	Index     int // from 0, in its layer
	Cloudlets wire.Cloudlets
	HTTP      uint16
	Container host.Container
	Place     *operator.PlaceSpec // what it asks of a host; nil: nothing
}

// ValidateName says what is wrong with a name that an account gives an environment, or nil.
func ValidateName(name wire.EnvName) *operator.Problem {
	err := name.Validate()
	if name == System {
		err = errors.New(`the name "jelastic" belongs to the platform itself`)
	}
	if err == nil {
		return nil
	}
	return operator.NewProblem(operator.Invalid, "name", err.Error(), "choose another name")
}

// Validate says all that is wrong with the spec, or nil. It looks at the spec alone: whether the name is free, or the template exists, is
// for the callers that know.
func Validate(s operator.EnvironmentSpec) *operator.Problem {
	var found []*operator.Problem
	bad := func(object, reason, next string) {
		found = append(found, operator.NewProblem(operator.Invalid, object, reason, next))
	}
	if s.Version != 1 {
		bad("version", fmt.Sprintf("version %d is not known", s.Version), "write version: 1")
	}
	if p := ValidateName(s.Name); p != nil {
		found = append(found, p)
	}
	if len(s.Layers) == 0 {
		bad("layers", "there is no layer", "give at least one layer")
	}
	if len(s.Layers) > 20 {
		bad("layers", fmt.Sprintf("there are %d layers, at most 20 are allowed", len(s.Layers)), "split the environment")
	}
	seen, nodes := map[wire.LayerName]bool{}, 0
	for i, l := range s.Layers[:min(len(s.Layers), 20)] {
		at := fmt.Sprintf("layers[%d].", i)
		if err := l.Name.Validate(); err != nil {
			bad(at+"name", err.Error(), "use bl, cp, sqldb, nosqldb, cache, storage, vps, build, or a name of your own")
		} else if seen[l.Name] {
			bad(at+"name", fmt.Sprintf("layer %q is there twice", l.Name), "give each layer a name of its own")
		}
		seen[l.Name] = true
		if err := l.Template.Validate(); err != nil {
			bad(at+"template", err.Error(), "see hnctl template list")
		}
		if l.Nodes < 1 || l.Nodes > 100 {
			bad(at+"nodes", fmt.Sprintf("%d nodes, want 1 to 100", l.Nodes), "change the number of nodes")
		} else if before := nodes; before <= MaxNodes {
			if nodes += l.Nodes; nodes > MaxNodes {
				bad(at+"nodes", fmt.Sprintf("the environment has more than %d nodes", MaxNodes), "split the environment")
			}
		}
		if p := cloudlets(at+"cloudlets", l.Cloudlets); p != nil {
			found = append(found, p)
		}
		if l.DiskMiB < 0 || l.DiskMiB > 16<<20 || l.DiskMiB > 0 && l.DiskMiB < 64 {
			bad(at+"diskMiB", fmt.Sprintf("%d MiB, want 64 to %d, or 0 for %d", l.DiskMiB, 16<<20, DefaultDiskMiB), "change the disk size")
		}
		if p := host.Profile(l.Profile); p != "" && p != host.ProfileApp && p != host.ProfileSystem {
			bad(at+"profile", fmt.Sprintf("profile %q is not known", l.Profile),
				"use app or system, or leave it out for what the template says")
		}
		if p := variables(at+"env", l.Env); p != nil {
			found = append(found, p)
		}
		found = append(found, secrets(at+"secrets", l)...)
		if p := check(at+"check", l.Check); p != nil {
			found = append(found, p)
		}
		found = append(found, volumes(at+"volumes", l.Volumes)...)
		found = append(found, rules(s, at+"firewall", l.Firewall)...)
		found = append(found, placement(at+"place", l.Place)...)
	}
	if len(s.Layers) <= 20 {
		found = append(found, order(s)...)
		found = append(found, links(s)...)
	}
	return operator.All(found)
}

func cloudlets(at string, c wire.Cloudlets) *operator.Problem {
	switch {
	case c.Dynamic < 1 || c.Dynamic > 4096:
		return operator.NewProblem(operator.Invalid, at+".dynamic", fmt.Sprintf("%d cloudlets, want 1 to 4096", c.Dynamic),
			"give the node something to grow to")
	case c.Reserved < 0 || c.Reserved > c.Dynamic:
		return operator.NewProblem(operator.Invalid, at+".reserved", fmt.Sprintf("%d cloudlets, want 0 to dynamic, which is %d", c.Reserved,
			c.Dynamic), "reserve at most what the node may grow to")
	}
	return nil
}

// check says what is wrong with a layer's check, by itself: which port it means may depend on the template.
func check(at string, c *operator.CheckSpec) *operator.Problem {
	switch {
	case c == nil:
		return nil
	case c.Type != operator.CheckTCP && c.Type != operator.CheckHTTP && c.Type != operator.CheckNone:
		return operator.NewProblem(operator.Invalid, at+".type", fmt.Sprintf("%q is no type of check", c.Type), "use tcp, http or none")
	case c.Type == operator.CheckNone && (c.Port != 0 || c.Path != "" || c.Every != 0):
		return operator.NewProblem(operator.Invalid, at, "a check of type none has neither port nor path nor every",
			"leave them out, or use tcp or http")
	case c.Type == operator.CheckTCP && c.Path != "":
		return operator.NewProblem(operator.Invalid, at+".path", "a check of type tcp asks for no path",
			"use type http, or leave the path out")
	case c.Path != "" && !host.IsCheckPath(c.Path):
		return operator.NewProblem(operator.Invalid, at+".path", fmt.Sprintf("%.100q is no path of a request", c.Path),
			"write it as in a URL: it begins with /, and other characters than ASCII are written %XX")
	case c.Every < 0 || c.Every > 300:
		return operator.NewProblem(operator.Invalid, at+".every", fmt.Sprintf("%d seconds, want 1 to 300, or 0 for 2", c.Every),
			"change the seconds")
	}
	return nil
}

// known are the ports that well-known web servers serve HTTP on, by the last part of a template's name: their images come without our
// labels. Databases and caches speak no HTTP.
var known = map[string]uint16{"nginx": 80, "httpd": 80, "caddy": 80}

// httpOf is where a layer's nodes serve HTTP, 0 if they don't: as the layer says, else the image, else what is known of that name.
func httpOf(l operator.LayerSpec, t host.Template) uint16 {
	name, _, _ := strings.Cut(string(t.Name), ":")
	return cmp.Or(l.HTTP, t.HTTPPort, known[name[strings.LastIndexByte(name, '/')+1:]])
}

// checkOf is what a node of the layer is asked: what the layer says, else the template.
func checkOf(l operator.LayerSpec, t host.Template) *host.Check {
	if l.Check == nil {
		return t.Check
	}
	c := host.Check{Port: cmp.Or(l.Check.Port, httpOf(l, t)), Path: l.Check.Path, Every: l.Check.Every}
	switch l.Check.Type {
	case operator.CheckHTTP:
		c.Path = cmp.Or(c.Path, "/")
	case operator.CheckNone:
		return nil
	}
	return &c
}

func variables(at string, vars map[string]string) *operator.Problem {
	size := 0
	for _, k := range slices.Sorted(maps.Keys(vars)) {
		if k == "" || strings.ContainsAny(k, "=\x00 \t\n") || strings.ContainsRune(vars[k], 0) {
			return operator.NewProblem(operator.Invalid, at,
				fmt.Sprintf("variable %q: a name may not be empty or hold '=', blanks or zero bytes", k), "rename the variable")
		}
		size += len(k) + len(vars[k]) + 2
	}
	if size > 32<<10 {
		return operator.NewProblem(operator.Invalid, at, fmt.Sprintf("the variables have %d bytes, at most %d are allowed", size, 32<<10),
			"put long values into a file")
	}
	return nil
}

// maxSecrets is how many secret variables a layer may have.
const maxSecrets = 100

func secrets(at string, l operator.LayerSpec) (found []*operator.Problem) {
	if len(l.Secrets) > maxSecrets {
		return []*operator.Problem{operator.NewProblem(operator.Invalid, at, fmt.Sprintf("%d secret variables, at most %d are allowed",
			len(l.Secrets), maxSecrets), "put what belongs together into one")}
	}
	seen, size := map[string]bool{}, 0
	for i, s := range l.Secrets {
		object := fmt.Sprintf("%s[%d]", at, i)
		value := ""
		if s.Value != nil {
			value = s.Value.Reveal()
		}
		_, plain := l.Env[s.Name]
		switch size += len(s.Name) + len(value) + len(s.Sealed) + 2; {
		case s.Name == "" || strings.ContainsAny(s.Name, "=\x00 \t\n") || strings.ContainsRune(value, 0):
			found = append(found, operator.NewProblem(operator.Invalid, object,
				fmt.Sprintf("secret variable %q: no name is empty or has '=', blanks or zero bytes, no value has zero bytes",
					s.Name), "change it"))
		case seen[s.Name] || plain:
			found = append(found, operator.NewProblem(operator.Invalid, object+".name", fmt.Sprintf("variable %q is there twice", s.Name),
				"have it in env or in secrets, once"))
		}
		seen[s.Name] = true
	}
	if size > 32<<10 {
		found = append(found, operator.NewProblem(operator.Invalid, at,
			fmt.Sprintf("the secret variables have %d bytes, at most %d are allowed", size, 32<<10), "put long values into a file"))
	}
	return found
}

// Taken says that an environment can't have a name: there is one, of the caller's or of another account.
func Taken(name wire.EnvName, yours bool) *operator.Problem {
	next := "choose another name"
	if yours {
		next += ", or delete that environment first: hnctl env delete " + string(name)
	}
	return operator.NewProblem(operator.Conflict, "environments/"+string(name), "the name is taken", next)
}

// TakenByTrash is Taken where the one of that name is in the trash.
func TakenByTrash(name wire.EnvName, yours bool) *operator.Problem {
	if !yours {
		return Taken(name, false)
	}
	return operator.NewProblem(operator.Conflict, "environments/"+string(name), "the name is that of an environment in the trash",
		fmt.Sprintf("bring that back (hnctl env trash restore %s), erase it now (hnctl env trash empty %[1]s), or choose another name",
			name))
}

// Expand makes the nodes of a valid spec of an account's environment, in the order of its layers. A layer whose template is not in
// templates is a Problem.
func Expand(account wire.Account, s operator.EnvironmentSpec, templates Templates) ([]Node, *operator.Problem) {
	var out []Node
	for i, l := range s.Layers {
		t, ok := templates.Find(account.Owner(), l.Template)
		if !ok {
			return nil, operator.NewProblem(operator.NotFound, fmt.Sprintf("layers[%d].template", i),
				fmt.Sprintf("template %q is not in the registry", l.Template), "see hnctl template list")
		}
		if c := checkOf(l, t); l.Check != nil && c != nil && c.Port == 0 {
			return nil, operator.NewProblem(operator.Invalid, fmt.Sprintf("layers[%d].check.port", i),
				fmt.Sprintf("it is not said which port is asked: neither layer %s nor template %q serves HTTP", l.Name, l.Template),
				"give the check a port")
		}
		for n := range l.Nodes {
			out = append(out, NodeOf(account, s.Name, l, n, t))
		}
	}
	return out, nil
}

// systemStopAfter is how many seconds a full OS has to end when its image says nothing: as long as systemd gives each of its own services
// (systemd-system.conf(5), DefaultTimeoutStopSec).
const systemStopAfter = 90

// NodeOf is node number index of a layer of an account's environment.
func NodeOf(account wire.Account, name wire.EnvName, l operator.LayerSpec, index int, t host.Template) Node {
	disk := l.DiskMiB
	if disk == 0 {
		disk = DefaultDiskMiB
	}
	p := t.Process
	p.Env = maps.Clone(p.Env)
	vars := Variables(l)
	if len(vars) > 0 && p.Env == nil {
		p.Env = map[string]string{}
	}
	maps.Copy(p.Env, vars)
	p.Sealed = SealedOf(l)
	profile := cmp.Or(host.Profile(l.Profile), t.Profile, host.ProfileApp)
	if profile == host.ProfileSystem && p.StopAfter == 0 {
		p.StopAfter = systemStopAfter
	}
	return Node{
		Env: name, Layer: l.Name, Index: index, Cloudlets: l.Cloudlets, HTTP: httpOf(l, t), Place: l.Place,
		Container: host.Container{
			Env: name, Account: account, Layer: l.Name, Generation: 1, Image: t.Image, Process: p, Profile: profile,
			Limits: LimitsOf(l.Cloudlets, disk), Check: checkOf(l, t), Volumes: volumesOf(l, t, disk),
		},
	}
}

// LimitsOf turns cloudlets and disk into a container's limits. Throttling begins a sixteenth below the memory limit, so that a node is
// slowed down and reclaimed before it is killed; the weight follows the reserved share.
func LimitsOf(c wire.Cloudlets, diskMiB int64) host.Limits {
	limit := int64(c.Dynamic) * wire.CloudletBytes
	return host.Limits{
		MemoryMin:  int64(c.Reserved) * wire.CloudletBytes,
		MemoryHigh: max(limit-limit/16, int64(c.Reserved)*wire.CloudletBytes),
		MemoryMax:  limit,
		CPUWeight:  min(10000, max(1, 100*max(1, c.Reserved))),
		CPUMHz:     int64(c.Dynamic) * wire.CloudletMHz,
		PIDs:       1024,
		DiskBytes:  diskMiB << 20,
	}
}

// SealedOf are the secret variables of a layer's nodes; nil: none.
func SealedOf(l operator.LayerSpec) map[string][]byte {
	if len(l.Secrets) == 0 {
		return nil
	}
	out := map[string][]byte{}
	for _, s := range l.Secrets {
		out[s.Name] = s.Sealed
	}
	return out
}

// Hostname is a container's own name.
func Hostname(id wire.CTID) string { return "node" + id.String() }

// DNSName is the name other containers of the cluster find a node under.
func DNSName(id wire.CTID, name wire.EnvName) string {
	return Hostname(id) + "." + string(name) + ".internal"
}

// Entry is the layer that requests enter by: the balancer if there is one, else compute, else the first.
func Entry(s operator.EnvironmentSpec) wire.LayerName {
	for _, name := range []wire.LayerName{"bl", "cp"} {
		for _, l := range s.Layers {
			if l.Name == name {
				return name
			}
		}
	}
	if len(s.Layers) == 0 {
		return ""
	}
	return s.Layers[0].Name
}
