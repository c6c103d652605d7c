package importer

import (
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"

	"hardnode.dev/internal/wire/host"
)

// Labels of an image's configuration that Hardnode reads.
const (
	labelHTTPPort  = "io.hardnode.http-port"  // 1–65535: where HTTP is served
	labelCheckPort = "io.hardnode.check-port" // where the check connects; the HTTP port if absent
	labelCheckPath = "io.hardnode.check-path" // makes the check an HTTP request
	labelProfile   = "io.hardnode.profile"    // app or system
	labelReaper    = "io.hardnode.reaper"     // true: a tiny reaping init before the process
	labelStopAfter = "io.hardnode.stop-after" // seconds between stop signal and kill
)

// describe reads what a container of the image runs (OCI image-spec, config.md). file gives /etc/passwd and /etc/group.
func describe(c v1.Config, file func(string) ([]byte, bool)) (host.Template, error) {
	t := host.Template{Profile: host.ProfileApp}
	t.Process.Argv = append(append([]string(nil), c.Entrypoint...), c.Cmd...)
	if len(t.Process.Argv) == 0 || t.Process.Argv[0] == "" {
		return t, bad("configuration names nothing to run: set Entrypoint or Cmd")
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
	if t.Process.UID, t.Process.GID, err = user(c.User, file); err != nil {
		return t, err
	}
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
	t.HTTPPort = exposed(c)
	if err := port(labelHTTPPort, &t.HTTPPort); err != nil {
		return err
	}
	check := host.Check{Port: t.HTTPPort, Path: c.Labels[labelCheckPath]}
	if err := port(labelCheckPort, &check.Port); err != nil {
		return err
	}
	if check.Path != "" && (!strings.HasPrefix(check.Path, "/") || check.Port == 0) {
		return bad("label %s: %.100q: want an absolute path, and a port", labelCheckPath, check.Path)
	}
	if check.Port != 0 {
		t.Check = &check
	}
	switch v := c.Labels[labelProfile]; v {
	case "", string(host.ProfileApp):
	case string(host.ProfileSystem):
		t.Profile = host.ProfileSystem
	default:
		return bad("label %s: %.40q is neither app nor system", labelProfile, v)
	}
	t.Process.Reaper = c.Labels[labelReaper] == "true"
	if v, ok := c.Labels[labelStopAfter]; ok {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 || n > 3600 {
			return bad("label %s: %.40q: want 1 to 3600 seconds", labelStopAfter, v)
		}
		t.Process.StopAfter = n
	}
	return nil
}

// exposed guesses the HTTP port of an image without our label: 80 or 8080 if exposed, else the only TCP port.
func exposed(c v1.Config) uint16 {
	var only []uint16
	for p := range c.ExposedPorts {
		num, proto, _ := strings.Cut(p, "/")
		if n, err := strconv.ParseUint(num, 10, 16); err == nil && n > 0 && (proto == "" || proto == "tcp") {
			only = append(only, uint16(n))
		}
	}
	for _, want := range []uint16{80, 8080} {
		for _, n := range only {
			if n == want {
				return n
			}
		}
	}
	if len(only) == 1 {
		return only[0]
	}
	return 0
}

// user resolves "name", "name:group", "uid" and "uid:gid" with the image's own files. A user without a group gets that of passwd, or 0.
func user(s string, file func(string) ([]byte, bool)) (uid, gid uint32, err error) {
	if s == "" {
		return 0, 0, nil
	}
	name, group, hasGroup := strings.Cut(s, ":")
	row := lookup(file, "etc/passwd", name, 7)
	if uid, err = number(name); err != nil {
		if row == nil {
			return 0, 0, bad("configuration: user %.40q is not in the image's /etc/passwd", name)
		}
		if uid, err = number(row[2]); err != nil {
			return 0, 0, err
		}
	}
	switch {
	case !hasGroup && row != nil:
		gid, err = number(row[3])
		return uid, gid, err
	case !hasGroup:
		return uid, 0, nil
	}
	if gid, err = number(group); err == nil {
		return uid, gid, nil
	}
	g := lookup(file, "etc/group", group, 3)
	if g == nil {
		return 0, 0, bad("configuration: group %.40q is not in the image's /etc/group", group)
	}
	gid, err = number(g[2])
	return uid, gid, err
}

// lookup finds the row of a name or number in a file such as /etc/passwd.
func lookup(file func(string) ([]byte, bool), path, key string, fields int) []string {
	raw, _ := file(path)
	for line := range strings.Lines(string(raw)) {
		row := strings.Split(strings.TrimSpace(line), ":")
		if len(row) >= fields && (row[0] == key || row[2] == key) {
			return row
		}
	}
	return nil
}

func number(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil {
		return 0, bad("user or group %.40q: only numbers up to 65535 exist in a container", s)
	}
	return uint32(n), nil
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
