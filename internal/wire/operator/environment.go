package operator

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"hardnode.dev/internal/wire/document"
)

// Roles are the layer names with a meaning of their own (DESIGN "Words").
var Roles = []string{"bl", "cp", "sqldb", "nosqldb", "cache", "storage", "vps", "build"}

// DecodeEnvironment reads a person's EnvironmentSpec strictly. All mistakes of its form come in one *document.Error, each with line and
// column; whether it can be made is for the orchestrator, and src places what it finds. Warnings are about what may be meant otherwise.
func DecodeEnvironment(name string, raw []byte) (s EnvironmentSpec, src *document.Source, warnings []string, err error) {
	src, err = document.Parse(name, raw, &s)
	var faults []*document.Error
	if e := (*document.Error)(nil); errors.As(err, &e) {
		faults = append(e.More, e)
		e.More = nil
	}
	// What could not be read is not found wanting once more.
	missed := func(path string) bool {
		return !src.Parsed || slices.ContainsFunc(faults, func(e *document.Error) bool { return e.Path != "" && strings.HasPrefix(path, e.Path) })
	}
	fail := func(path, format string, args ...any) {
		if !missed(path) {
			faults = append(faults, src.Fault(path, fmt.Sprintf(format, args...)))
		}
	}
	if s.Version != 1 {
		fail("version", "%d is not known, write version: 1", s.Version)
	}
	if err := s.Name.Validate(); err != nil {
		fail("name", "%v", err)
	}
	if len(s.Layers) == 0 {
		fail("layers", "there is none, give at least one")
	}
	for i, l := range s.Layers {
		at := fmt.Sprintf("layers[%d].", i)
		if err := l.Name.Validate(); err != nil {
			fail(at+"name", "%v", err)
		} else if near := document.Nearest(string(l.Name), Roles); near != "" && near != string(l.Name) {
			warnings = append(warnings, src.Fault(at+"name", fmt.Sprintf("%q is a name of your own; did you mean %q?", l.Name, near)).Error())
		}
		if err := l.Template.Validate(); err != nil {
			fail(at+"template", "%v", err)
		}
	}
	if err := document.Join(faults); err != nil {
		return EnvironmentSpec{}, src, warnings, err
	}
	return s, src, warnings, nil
}
