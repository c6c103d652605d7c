package recipe

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"hardnode.dev/internal/wire/host"
)

// Onto puts what the recipe says into an image's configuration (OCI image-spec, config.md). What it does not say stays.
func (r Recipe) Onto(c v1.Config) v1.Config {
	p := r.Process
	if len(p.Entrypoint) > 0 {
		c.Entrypoint, c.Cmd = p.Entrypoint, nil // as a build does: the old arguments were the old program's
	}
	if len(p.Cmd) > 0 {
		c.Cmd = p.Cmd
	}
	c.Env = withEnv(c.Env, p.Env)
	set := func(to *string, s string) {
		if s != "" {
			*to = s
		}
	}
	set(&c.WorkingDir, p.WorkingDir)
	set(&c.User, p.User)
	set(&c.StopSignal, p.StopSignal)
	c.Labels, c.ExposedPorts, c.Volumes = maps.Clone(c.Labels), maps.Clone(c.ExposedPorts), maps.Clone(c.Volumes)
	if c.Labels == nil {
		c.Labels = map[string]string{}
	}
	add := func(m *map[string]struct{}, k string) {
		if *m == nil {
			*m = map[string]struct{}{}
		}
		(*m)[k] = struct{}{}
	}
	label := func(name, value string, is bool) {
		if is {
			c.Labels[name] = value
		}
	}
	for _, n := range slices.Concat([]uint16{r.HTTP}, r.TCP) {
		if n > 0 {
			add(&c.ExposedPorts, fmt.Sprintf("%d/tcp", n))
		}
	}
	var inPlace []string
	for _, v := range r.Volumes {
		add(&c.Volumes, v.Path)
		if v.NoDataCOW {
			inPlace = append(inPlace, v.Path)
		}
	}
	if r.Check.None {
		delete(c.Labels, host.LabelCheckPath)
		delete(c.Labels, host.LabelCheckPort)
	}
	label(host.LabelHTTPPort, fmt.Sprint(r.HTTP), r.HTTP > 0)
	label(host.LabelCheckPath, r.checkPath(), r.checkPath() != "")
	label(host.LabelCheckPort, fmt.Sprint(r.checkPort()), r.checkPath() == "" && r.checkPort() > 0)
	label(host.LabelProfile, string(r.Profile), r.Profile != "")
	label(host.LabelReaper, "true", p.Reaper)
	label(host.LabelStopAfter, fmt.Sprint(p.StopAfter), p.StopAfter > 0)
	label(host.LabelNoDataCOW, strings.Join(inPlace, ","), len(inPlace) > 0)
	label("org.opencontainers.image.title", string(r.Name), true)
	label("org.opencontainers.image.description", r.Summary, r.Summary != "")
	return c
}

// withEnv adds variables; one that is there already gets the new value.
func withEnv(old, add []string) []string {
	for _, kv := range add {
		k, _, _ := strings.Cut(kv, "=")
		old = slices.DeleteFunc(slices.Clone(old), func(o string) bool { return strings.HasPrefix(o, k+"=") })
		old = append(old, kv)
	}
	return old
}
