// Package recipe reads what a person writes of a template: template.yaml.
//
// Owns: its form, what is wrong with one, and what of it an image's configuration and /etc/jem/template.json say.
// In: the document's bytes.
// Out: a Recipe; all that is wrong with one at once; an OCI configuration.
// Never: opens a file, or builds anything.
package recipe

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/document"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/jem"
)

// Recipe is template.yaml. History: 2026-11-27 what an image is made of moved below debian; ports, check, volumes, profile and JEM's data
// are fields, where labels stood.
type Recipe struct {
	Version int               `yaml:"version"` // 1
	Name    wire.TemplateName `yaml:"name"`
	Summary string            `yaml:"summary"`
	Process Process           `yaml:"process"`
	Profile host.Profile      `yaml:"profile"` // app, also when empty, or system: a full OS
	HTTP    uint16            `yaml:"http"`    // the port it serves HTTP on, which is checked; 0: none
	TCP     []uint16          `yaml:"tcp"`     // other ports; the first is checked where there is no HTTP
	Check   Check             `yaml:"check"`
	Volumes []Volume          `yaml:"volumes"`
	JEM     JEM               `yaml:"jem"`
	Debian  *Debian           `yaml:"debian"` // what the image is made of; none: an image that is there already
}

// Process is what a node runs. Of an image that is there already, each field that is left out stays as the image has it.
type Process struct {
	Entrypoint []string `yaml:"entrypoint"`
	Cmd        []string `yaml:"cmd"`
	Env        []string `yaml:"env"` // NAME=value; added to the image's own
	WorkingDir string   `yaml:"workingDir"`
	User       string   `yaml:"user"`       // name or number, and a group after a colon
	StopSignal string   `yaml:"stopSignal"` // SIGTERM if empty
	StopAfter  int      `yaml:"stopAfter"`  // seconds between that and the kill, 1–3600; 0: the platform's
	Reaper     bool     `yaml:"reaper"`     // a tiny reaping init before the program
}

// Check is how the platform asks whether a node works.
type Check struct {
	Path string `yaml:"path"` // what of HTTP must answer; "" is "/" where there is HTTP
	None bool   `yaml:"none"` // it doesn't ask
}

// Volume is a directory whose content outlives the image.
type Volume struct {
	Path      string `yaml:"path"`
	NoDataCOW bool   `yaml:"nodatacow"` // for a database that checks its own pages
}

// JEM is what JEM reads in the node: /etc/jem/template.json.
type JEM struct {
	Health []jem.Check `yaml:"health"` // which checks together say that it works
	Keep   []string    `yaml:"keep"`   // what goes along when the node gets another image
	SetMem string      `yaml:"setmem"` // what its servers do when the node's size changes: tell, restart, or nothing
}

// Read reads a recipe; file is the document's name in errors.
func Read(file string, raw []byte) (Recipe, error) {
	var r Recipe
	if err := document.Read(file, raw, &r); err != nil {
		return Recipe{}, err
	}
	if err := r.validate(); err != nil {
		return Recipe{}, fmt.Errorf("%s: %w", file, err)
	}
	return r, nil
}

func (r Recipe) validate() error {
	var faults []error
	wrong := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if r.Version != 1 {
		wrong("version: %d is not known, want 1", r.Version)
	}
	if err := r.Name.Validate(); err != nil {
		wrong("name: %v", err)
	} else if strings.ContainsAny(string(r.Name), ":/") {
		wrong("name: %q: want a name without tag and slash", r.Name)
	}
	if r.Profile != "" && r.Profile != host.ProfileApp && r.Profile != host.ProfileSystem {
		wrong("profile: %q is neither app nor system", r.Profile)
	}
	if slices.Contains(r.TCP, 0) {
		wrong("tcp: 0 is no port")
	}
	switch {
	case r.Check.None && r.Check.Path != "":
		wrong("check: it has a path and is none: want one of the two")
	case r.Check.Path != "" && r.HTTP == 0:
		wrong("check: path: %q is asked by HTTP: name the port, as http: 80", r.Check.Path)
	case r.Check.Path != "" && !host.IsCheckPath(r.Check.Path):
		wrong("check: path: %.100q: want an absolute path as it stands in a request (%%20 for a blank)", r.Check.Path)
	}
	for i, v := range r.Volumes {
		if !path.IsAbs(v.Path) || path.Clean(v.Path) != v.Path || v.Path == "/" || strings.ContainsAny(v.Path, " ,") {
			wrong("volumes[%d]: %q: want an absolute, clean path without blank and comma", i, v.Path)
		}
		if slices.ContainsFunc(r.Volumes[:i], func(o Volume) bool { return o.Path == v.Path }) {
			wrong("volumes[%d]: %q is there twice", i, v.Path)
		}
	}
	if err := r.Template().Validate(); err != nil {
		wrong("jem: %v", err)
	}
	faults = append(faults, r.Process.validate()...)
	if r.Debian != nil {
		if len(r.Process.Entrypoint)+len(r.Process.Cmd) == 0 {
			wrong("process: name an entrypoint or cmd")
		}
		faults = append(faults, r.Debian.validate()...)
	}
	return errors.Join(faults...)
}

func (p Process) validate() (faults []error) {
	wrong := func(format string, args ...any) { faults = append(faults, fmt.Errorf("process: "+format, args...)) }
	for _, kv := range p.Env {
		if k, _, ok := strings.Cut(kv, "="); !ok || k == "" || strings.ContainsRune(kv, 0) {
			wrong("env: %.100q: want NAME=value", kv)
		}
	}
	if p.WorkingDir != "" && !path.IsAbs(p.WorkingDir) {
		wrong("workingDir: %q: want an absolute path", p.WorkingDir)
	}
	if s := p.StopSignal; s != "" && unix.SignalNum(s) == 0 && !realTime(s) {
		wrong("stopSignal: %q is no signal: want a name such as SIGQUIT or SIGRTMIN+3", s)
	}
	if p.StopAfter < 0 || p.StopAfter > 3600 {
		wrong("stopAfter: %d: want 1 to 3600 seconds", p.StopAfter)
	}
	if slices.Contains(slices.Concat(p.Entrypoint, p.Cmd), "") {
		wrong("entrypoint, cmd: an empty argument")
	}
	return faults
}

func realTime(s string) bool {
	n, ok := strings.CutPrefix(s, "SIGRTMIN+")
	k, err := strconv.Atoi(n)
	return ok && err == nil && k >= 0 && k <= 30
}

// Template is what JEM is told.
func (r Recipe) Template() jem.Template {
	return jem.Template{Version: 1, Name: string(r.Name), Health: r.JEM.Health, Keep: r.JEM.Keep, SetMem: r.JEM.SetMem}
}

// checkPort is where the platform's check connects; 0: nowhere.
func (r Recipe) checkPort() uint16 {
	if r.Check.None || len(r.TCP) == 0 {
		return 0
	}
	return r.TCP[0]
}

// checkPath is what the platform's check asks by HTTP; "": nothing.
func (r Recipe) checkPath() string {
	if r.Check.None || r.HTTP == 0 {
		return ""
	}
	return cmp.Or(r.Check.Path, "/")
}
