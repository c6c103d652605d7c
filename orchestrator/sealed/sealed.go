// Package sealed keeps the values of secret variables.
//
// Owns: how a value is sealed for the store, whose it is kept from, and where it is opened: in what a host is told, nowhere else.
// In: specs as people send them, with values; specs and Works as they are stored, without.
// Out: specs with sealed values alone; Works with the values among the variables of processes; specs as they are shown.
// Never: stores or logs a value, or tells it to anybody but the host that runs the container, and an owner of its account who exports that.
package sealed

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/certs"
)

// Variables seals and opens. One account's sealed value does not open as another's.
type Variables struct{ Keys certs.Sealer }

func bound(account wire.Account) string { return "variables of " + string(account.Owner()) }

// Seal is a spec with sealed values in the place of those that it brings; a secret variable without one keeps what its layer has in have,
// which is nil for a new environment. Variables are in the order of their names.
func (v Variables) Seal(account wire.Account, want operator.EnvironmentSpec, have *operator.EnvironmentSpec) (operator.EnvironmentSpec,
	error) {
	want.Layers = slices.Clone(want.Layers)
	var found []*operator.Problem
	for i := range want.Layers {
		l := &want.Layers[i]
		l.Secrets = slices.Clone(l.Secrets)
		for j := range l.Secrets {
			s, at := &l.Secrets[j], fmt.Sprintf("layers[%d].secrets[%d]", i, j)
			switch kept := present(have, l.Name, s.Name); {
			case len(s.Sealed) > 0:
				found = append(found, operator.NewProblem(operator.Invalid, at+".sealed", "a sealed value is the orchestrator's own",
					"leave it out: the value stays as it is"))
			case s.Value != nil:
				sealed, err := v.Keys.SealSame(bound(account), secret.Bytes(s.Value.Reveal()))
				if err != nil {
					return want, err
				}
				s.Sealed, s.Value = sealed, nil
			case kept == nil:
				found = append(found, operator.NewProblem(operator.Invalid, at+".value",
					fmt.Sprintf("secret variable %q of layer %q has no value, and there is none that it could keep", s.Name, l.Name),
					"give it a value: files that were exported have none"))
			default:
				s.Sealed = kept
			}
		}
		slices.SortStableFunc(l.Secrets, func(a, b operator.SecretSpec) int { return strings.Compare(a.Name, b.Name) })
	}
	if p := operator.All(found); p != nil {
		return want, p
	}
	return want, nil
}

// present is the sealed value that a layer has of a secret variable; nil: none.
func present(spec *operator.EnvironmentSpec, layer wire.LayerName, name string) []byte {
	if spec == nil {
		return nil
	}
	for _, l := range spec.Layers {
		for _, s := range l.Secrets {
			if l.Name == layer && s.Name == name {
				return s.Sealed
			}
		}
	}
	return nil
}

// Shown is a spec as people see it: secret variables have their names alone.
func Shown(spec operator.EnvironmentSpec) operator.EnvironmentSpec {
	has := func(l operator.LayerSpec) bool { return len(l.Secrets) > 0 }
	if !slices.ContainsFunc(spec.Layers, has) {
		return spec
	}
	spec.Layers = slices.Clone(spec.Layers)
	for i := range spec.Layers {
		names := slices.Clone(spec.Layers[i].Secrets)
		for j := range names {
			names[j] = operator.SecretSpec{Name: names[j].Name}
		}
		spec.Layers[i].Secrets = names
	}
	return spec
}

// Reveal is a spec of an account's with the values of its secret variables, as a person would send it.
func (v Variables) Reveal(account wire.Account, spec operator.EnvironmentSpec) (operator.EnvironmentSpec, error) {
	spec.Layers = slices.Clone(spec.Layers)
	for i := range spec.Layers {
		l := &spec.Layers[i]
		l.Secrets = slices.Clone(l.Secrets)
		for j := range l.Secrets {
			s := &l.Secrets[j]
			plain, err := v.Keys.Open(bound(account), s.Sealed)
			if err != nil {
				return spec, fmt.Errorf("secret variable %q of layer %s of environment %s: %w", s.Name, l.Name, spec.Name, err)
			}
			value := secret.Text(plain.Reveal())
			s.Sealed, s.Value = nil, &value
		}
	}
	return spec, nil
}

// Rebound is sealed values of one account, by their names, sealed as another's. What can't be opened is an error.
func (v Variables) Rebound(values map[string][]byte, from, to wire.Account) (map[string][]byte, error) {
	if len(values) == 0 {
		return values, nil
	}
	out := make(map[string][]byte, len(values))
	for name, sealed := range values {
		plain, err := v.Keys.Open(bound(from), sealed)
		if err != nil {
			return nil, fmt.Errorf("secret variable %q: %w", name, err)
		}
		if out[name], err = v.Keys.SealSame(bound(to), plain); err != nil {
			return nil, fmt.Errorf("secret variable %q: %w", name, err)
		}
	}
	return out, nil
}

// ReboundSpec is a spec of one account with its sealed values sealed as another's.
func (v Variables) ReboundSpec(spec operator.EnvironmentSpec, from, to wire.Account) (operator.EnvironmentSpec, error) {
	spec.Layers = slices.Clone(spec.Layers)
	for i := range spec.Layers {
		l := &spec.Layers[i]
		l.Secrets = slices.Clone(l.Secrets)
		for j := range l.Secrets {
			s := &l.Secrets[j]
			out, err := v.Rebound(map[string][]byte{s.Name: s.Sealed}, from, to)
			if err != nil {
				return spec, fmt.Errorf("layer %s of environment %s: %w", l.Name, spec.Name, err)
			}
			s.Sealed = out[s.Name]
		}
	}
	return spec, nil
}

// Open is a Work as its host gets it: sealed variables are among the others. What can't be opened is left out, and is in err; the Work that
// is given stays as it is.
func (v Variables) Open(work *host.Work) (out *host.Work, err error) {
	if work == nil || !slices.ContainsFunc(work.Containers, func(c host.Container) bool { return len(c.Process.Sealed) > 0 }) {
		return work, nil
	}
	opened := *work
	opened.Containers = slices.Clone(work.Containers)
	var failed []error
	for i := range opened.Containers {
		c := &opened.Containers[i]
		if len(c.Process.Sealed) == 0 {
			continue
		}
		vars := maps.Clone(c.Process.Env)
		if vars == nil {
			vars = map[string]string{}
		}
		for _, name := range slices.Sorted(maps.Keys(c.Process.Sealed)) {
			plain, err := v.Keys.Open(bound(c.Account), c.Process.Sealed[name])
			if err != nil {
				failed = append(failed, fmt.Errorf("secret variable %q of container %s: %w", name, c.CTID, err))
				continue
			}
			vars[name] = string(plain.Reveal())
		}
		c.Process.Env, c.Process.Sealed = vars, nil
	}
	return &opened, errors.Join(failed...)
}
