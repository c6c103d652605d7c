package operator

import (
	"fmt"

	"hardnode.dev/internal/wire/document"
)

// DecodeEnvironment reads a person's EnvironmentSpec strictly: an unknown or duplicate field is an error with line and column
// (*document.Error). It checks the form only; the orchestrator decides whether it can be made.
func DecodeEnvironment(name string, raw []byte) (EnvironmentSpec, error) {
	var s EnvironmentSpec
	if err := document.Read(name, raw, &s); err != nil {
		return EnvironmentSpec{}, err
	}
	fail := func(format string, args ...any) (EnvironmentSpec, error) {
		return EnvironmentSpec{}, &document.Error{Name: name, Reason: fmt.Sprintf(format, args...)}
	}
	if s.Version != 1 {
		return fail("version: %d is not known, write version: 1", s.Version)
	}
	if err := s.Name.Validate(); err != nil {
		return fail("name: %v", err)
	}
	if len(s.Layers) == 0 {
		return fail("layers: there is none, give at least one")
	}
	for i, l := range s.Layers {
		if err := l.Name.Validate(); err != nil {
			return fail("layers[%d].name: %v", i, err)
		}
		if err := l.Template.Validate(); err != nil {
			return fail("layers[%d].template: %v", i, err)
		}
	}
	return s, nil
}
