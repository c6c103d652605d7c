package main

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/document"
)

// Spec is a template's description: <name>/template.yaml. Files to copy as they are lie beside it in <name>/files.
type Spec struct {
	Version   int               `yaml:"version"` // 1
	Name      wire.TemplateName `yaml:"name"`
	Summary   string            `yaml:"summary"`
	VersionOf string            `yaml:"versionOf"` // the package whose version is the template's
	LimitMiB  int64             `yaml:"limitMiB"`  // unpacked; more is an error
	// Debian package → patterns of the files wanted; its copyright file always comes along
	Packages    map[string][]string `yaml:"packages"`
	Links       map[string]string   `yaml:"links"`   // symbolic link → target; packages' files below a link go to where it leads
	Busybox     []string            `yaml:"busybox"` // applets to link in usr/bin
	Directories []string            `yaml:"directories"`
	Sticky      []string            `yaml:"sticky"` // directories everybody may write to
	Process     ProcessSpec         `yaml:"process"`
}

// ProcessSpec is what the OCI configuration says of the process.
type ProcessSpec struct {
	Entrypoint []string          `yaml:"entrypoint"`
	Cmd        []string          `yaml:"cmd"`
	Env        []string          `yaml:"env"`
	WorkingDir string            `yaml:"workingDir"`
	User       string            `yaml:"user"`
	StopSignal string            `yaml:"stopSignal"`
	Ports      []string          `yaml:"ports"`
	Labels     map[string]string `yaml:"labels"`
}

// readSpec reads and checks the description in dir.
func readSpec(dir string) (Spec, error) {
	file := filepath.Join(dir, "template.yaml")
	raw, err := os.ReadFile(file)
	if err != nil {
		return Spec{}, fmt.Errorf("read template: %v", err)
	}
	var s Spec
	if err := document.Read(file, raw, &s); err != nil {
		return Spec{}, err
	}
	if err := s.validate(); err != nil {
		return Spec{}, fmt.Errorf("%s: %v", file, err)
	}
	return s, nil
}

func (s Spec) validate() error {
	err := s.Name.Validate()
	switch {
	case s.Version != 1:
		err = errors.Join(err, fmt.Errorf("version: %d is not known, want 1", s.Version))
	case strings.ContainsAny(string(s.Name), ":/"):
		err = errors.Join(err, fmt.Errorf("name: %q: want a name without tag and slash", s.Name))
	case s.LimitMiB < 1:
		err = errors.Join(err, errors.New("limitMiB: want a positive number"))
	case s.Packages[s.VersionOf] == nil:
		err = errors.Join(err, fmt.Errorf("versionOf: %q is none of the packages", s.VersionOf))
	case len(s.Process.Entrypoint)+len(s.Process.Cmd) == 0:
		err = errors.Join(err, errors.New("process: name an entrypoint or cmd"))
	}
	paths := slices.Concat(s.Directories, s.Sticky)
	for name, patterns := range s.Packages {
		if !packageName(name) {
			err = errors.Join(err, fmt.Errorf("packages: %q is no name of a Debian package", name))
		}
		paths = append(paths, patterns...)
	}
	for l := range s.Links {
		paths = append(paths, l)
	}
	for _, p := range paths {
		if !cleanPath(p) {
			err = errors.Join(err, fmt.Errorf("path %q: want a clean path without a leading slash", p))
		}
	}
	return err
}

// packageName follows Debian policy 5.6.7: nothing that could be an option of apt-get gets through.
func packageName(s string) bool {
	for i, c := range []byte(s) {
		letter := c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
		if !letter && (i == 0 || !strings.ContainsRune("+-.", rune(c))) {
			return false
		}
	}
	return len(s) > 1
}

func cleanPath(p string) bool {
	return p != "" && p != "." && path.Clean(p) == p && !strings.HasPrefix(p, "/") && !strings.HasPrefix(p, "..")
}
