package jem

import (
	"fmt"
	"net"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"

	"hardnode.dev/internal/wire/neighbour"
)

// TemplatePath is where a template's image says what JEM must know of it, as a Template in JSON, at most MaxTemplate bytes.
const (
	TemplatePath = "/etc/jem/template.json"
	MaxTemplate  = 64 << 10
)

// Template is what an image says of itself. All but Version may be left out: JEM goes by what it finds then.
type Template struct {
	Version int    `json:"version"` // 1
	Name    string `json:"name,omitempty"`
	// Health are the checks that together say the node works; none: what listens is asked.
	Health []Check `json:"health,omitempty"`
	// Keep are absolute paths that go along when the node gets another image.
	Keep []string `json:"keep,omitempty"`
	// SetMem is what is done by itself when the node's size changes: SetMemTell, SetMemRestart, or nothing.
	SetMem string `json:"setmem,omitempty"`
}

// What a template says to a new size of its node.
const (
	SetMemTell    = "tell"    // its servers' files say it, and those that read them while they run do
	SetMemRestart = "restart" // and those that don't are started anew
)

// Check is one question to a node: exactly one of HTTP, TCP and Exec.
type Check struct {
	HTTP string   `json:"http,omitempty"` // an http:// URL, well with an answer below 400
	TCP  string   `json:"tcp,omitempty"`  // host:port, well when it takes a connection
	Exec []string `json:"exec,omitempty"` // an absolute path and arguments, well when it ends with 0
	User string   `json:"user,omitempty"` // who runs Exec; "" is nobody
}

// maxChecks is how many checks a template may have.
const maxChecks = 20

// DecodeTemplate reads a Template.
func DecodeTemplate(b []byte) (Template, error) {
	var t Template
	if len(b) > MaxTemplate {
		return t, fmt.Errorf("has %d bytes, at most %d are allowed", len(b), MaxTemplate)
	}
	if err := neighbour.Decode(b, &t); err != nil {
		return t, err
	}
	return t, t.Validate()
}

// Validate says what is wrong with it.
func (t Template) Validate() error {
	if t.Version != 1 {
		return fmt.Errorf("version %d: want 1", t.Version)
	}
	if len(t.Health) > maxChecks {
		return fmt.Errorf("health: has %d checks, at most %d are allowed", len(t.Health), maxChecks)
	}
	for i, c := range t.Health {
		if err := c.validate(); err != nil {
			return fmt.Errorf("health, check %d: %v", i+1, err)
		}
	}
	if t.SetMem != "" && t.SetMem != SetMemTell && t.SetMem != SetMemRestart {
		return fmt.Errorf("setmem: %.100q is neither %s nor %s", t.SetMem, SetMemTell, SetMemRestart)
	}
	for _, p := range t.Keep {
		if err := ValidKeep(p); err != nil {
			return fmt.Errorf("keep: %v", err)
		}
	}
	return nil
}

func (c Check) validate() error {
	kinds := 0
	if c.HTTP != "" {
		kinds++
		u, err := url.Parse(c.HTTP)
		if err != nil || u.Scheme != "http" || u.Hostname() == "" || strings.ContainsAny(c.HTTP, " \r\n\t") {
			return fmt.Errorf("http %q: want http:// and a host", c.HTTP)
		}
	}
	if c.TCP != "" {
		kinds++
		host, port, err := net.SplitHostPort(c.TCP)
		if n, nerr := strconv.ParseUint(port, 10, 16); err != nil || nerr != nil || n == 0 || host == "" {
			return fmt.Errorf("tcp %q: want host:port", c.TCP)
		}
	}
	if len(c.Exec) > 0 {
		kinds++
		if !strings.HasPrefix(c.Exec[0], "/") {
			return fmt.Errorf("exec %q: is no absolute path", c.Exec[0])
		}
	}
	if kinds != 1 {
		return fmt.Errorf("want exactly one of http, tcp and exec")
	}
	if c.User != "" && len(c.Exec) == 0 {
		return fmt.Errorf("user: goes only with exec")
	}
	return nil
}

// imageOwn are the image's own directories, which another image has its own of; what is below those of below is the image's too.
var imageOwn = []struct {
	path  string
	below bool
}{{"/", false}, {"/etc", false}, {"/usr", false}, {"/var", false}, {"/var/lib", false}, {"/bin", true}, {"/sbin", true}, {"/lib", true},
	{"/lib64", true}, {"/boot", true}, {"/usr/bin", true}, {"/usr/sbin", true}, {"/usr/lib", true}, {"/usr/lib64", true}, {"/proc", true},
	{"/sys", true}, {"/dev", true}, {"/run", true}, {"/var/run", true}, {"/var/lib/hardnode", true}, {"/var/lib/dpkg", true}}

// ValidKeep checks a path that is to go along to another image.
func ValidKeep(p string) error {
	switch {
	case len(p) > 1000 || !strings.HasPrefix(p, "/"):
		return fmt.Errorf("path %.100q: want an absolute path of at most 1000 bytes", p)
	case strings.ContainsFunc(p, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return fmt.Errorf("path %.100q: has a control character in it", p)
	}
	if p != "/" {
		for _, part := range strings.Split(strings.TrimSuffix(p[1:], "/"), "/") {
			if part == "" || part == "." || part == ".." {
				return fmt.Errorf("path %q: has an empty part, \".\" or \"..\" in it", p)
			}
		}
		p = strings.TrimSuffix(p, "/")
	}
	if own := ImageOwn(p); own != "" {
		return fmt.Errorf("path %q: %s is the image's or the host's own, not the application's", p, own)
	}
	return nil
}

// KeepPath is the container's own list of paths that go along to another image: one a line, what begins with # is none. It has at most
// MaxKeepList bytes.
const (
	KeepPath    = "/etc/jem/redeploy.conf"
	MaxKeepList = 64 << 10
)

// MaxKept is how many paths go along to another image at most.
const MaxKept = 200

// KeepLines are the paths of such a list, clean; an error names the line.
func KeepLines(raw []byte) (paths []string, err error) {
	n := 0
	for line := range strings.Lines(string(raw)) {
		n++
		p := strings.TrimSpace(line)
		if p == "" || p[0] == '#' {
			continue
		}
		if err := ValidKeep(p); err != nil {
			return nil, fmt.Errorf("%s, line %d: %v", KeepPath, n, err)
		}
		paths = append(paths, path.Clean(p))
	}
	return paths, nil
}

// KeptPaths is a list without those that are below others of it, each once, in order; an error if it is too long.
func KeptPaths(list []string) ([]string, error) {
	if len(list) > MaxKept {
		return nil, fmt.Errorf("%d paths are to go along, at most %d can: name the directory that they are in", len(list), MaxKept)
	}
	list = slices.Clone(list)
	slices.Sort(list)
	list = slices.Compact(list)
	all := slices.Clone(list)
	return slices.DeleteFunc(list, func(p string) bool {
		return slices.ContainsFunc(all, func(o string) bool { return strings.HasPrefix(p, o+"/") })
	}), nil
}

// ImageOwn is the place of the image's or the host's own that a clean absolute path is, or is in; "" if it is an application's.
func ImageOwn(p string) string {
	for _, o := range imageOwn {
		if p == o.path || o.below && strings.HasPrefix(p, o.path+"/") {
			return o.path
		}
	}
	return ""
}
