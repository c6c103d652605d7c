package importer

import (
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"

	"hardnode.dev/internal/wire/host"
)

// describe reads what a container of the image runs (OCI image-spec, config.md), as far as the configuration alone says it.
func describe(c v1.Config) (host.Template, error) {
	t := host.Template{Profile: host.ProfileApp}
	t.Process.Argv = append(append([]string(nil), c.Entrypoint...), c.Cmd...)
	if len(t.Process.Argv) == 0 || t.Process.Argv[0] == "" {
		return t, bad("configuration names nothing to run: it has neither Entrypoint nor Cmd; build an image of it that has one " +
			"(ENTRYPOINT or CMD)")
	}
	for _, kv := range c.Env {
		k, v, ok := strings.Cut(kv, "=")
		if !ok || k == "" || strings.ContainsRune(kv, 0) {
			return t, bad("configuration: Env %.100q is no NAME=value", kv)
		}
		if t.Process.Env == nil {
			t.Process.Env = map[string]string{}
		}
		t.Process.Env[k] = v
	}
	if c.WorkingDir != "" && !strings.HasPrefix(c.WorkingDir, "/") {
		return t, bad("configuration: WorkingDir %.100q is not absolute", c.WorkingDir)
	}
	t.Process.Cwd = c.WorkingDir
	var err error
	if t.Process.StopWith, err = signal(c.StopSignal); err != nil {
		return t, err
	}
	return t, labels(c, &t)
}

func labels(c v1.Config, t *host.Template) error {
	port := func(label string, into *uint16) error {
		v, ok := c.Labels[label]
		if !ok {
			return nil
		}
		n, err := strconv.ParseUint(v, 10, 16)
		if err != nil || n == 0 {
			return bad("label %s: %.40q is no port", label, v)
		}
		*into = uint16(n)
		return nil
	}
	// What the image exposes is documentation (OCI image-spec, config.md, "ExposedPorts"): nothing is checked, and no port is taken for
	// HTTP, unless a label says so.
	if err := port(host.LabelHTTPPort, &t.HTTPPort); err != nil {
		return err
	}
	check := host.Check{Path: c.Labels[host.LabelCheckPath]}
	if check.Path != "" {
		check.Port = t.HTTPPort
	}
	if err := port(host.LabelCheckPort, &check.Port); err != nil {
		return err
	}
	if check.Path != "" && (!host.IsCheckPath(check.Path) || check.Port == 0) {
		return bad("label %s: %.100q: want an absolute path as it stands in a request (%%20 for a blank, at most 1024 bytes), and a port",
			host.LabelCheckPath, check.Path)
	}
	if check.Port != 0 {
		t.Check = &check
	}
	switch v := c.Labels[host.LabelProfile]; v {
	case "", string(host.ProfileApp):
	case string(host.ProfileSystem):
		t.Profile = host.ProfileSystem
	default:
		return bad("label %s: %.40q is neither app nor system", host.LabelProfile, v)
	}
	for _, v := range slices.Sorted(maps.Keys(c.Volumes)) {
		if p := path.Clean("/" + v); len(t.Volumes) < host.MaxVolumes && !slices.Contains(t.Volumes, host.TemplateVolume{Path: p}) {
			t.Volumes = append(t.Volumes, host.TemplateVolume{Path: p})
		}
	}
	if v := c.Labels[host.LabelNoDataCOW]; v != "" {
		for _, p := range strings.Split(v, ",") {
			at := slices.IndexFunc(t.Volumes, func(v host.TemplateVolume) bool { return v.Path == p })
			if at < 0 {
				return bad("label %s: %.100q is none of the image's volumes", host.LabelNoDataCOW, p)
			}
			t.Volumes[at].NoCOW = true
		}
	}
	t.Process.Reaper = c.Labels[host.LabelReaper] == "true"
	if v, ok := c.Labels[host.LabelStopAfter]; ok {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 || n > 3600 {
			return bad("label %s: %.40q: want 1 to 3600 seconds", host.LabelStopAfter, v)
		}
		t.Process.StopAfter = n
	}
	return nil
}

// signal normalises "SIGQUIT", "QUIT" and "3" to "SIGQUIT"; real-time signals keep their form SIGRTMIN+n.
func signal(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	if n, err := strconv.Atoi(s); err == nil {
		if name := unix.SignalName(unix.Signal(n)); name != "" {
			return name, nil
		}
	}
	name := "SIG" + strings.TrimPrefix(strings.ToUpper(s), "SIG")
	if n, ok := strings.CutPrefix(name, "SIGRTMIN+"); ok {
		if k, err := strconv.Atoi(n); err == nil && k >= 0 && k <= 30 {
			return name, nil
		}
	}
	if unix.SignalNum(name) == 0 {
		return "", bad("configuration: stop signal %.40q is not known", s)
	}
	return name, nil
}
