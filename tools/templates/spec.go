package main

import (
	"fmt"
	"os"
	"path/filepath"

	"hardnode.dev/tools/templates/recipe"
)

// readSpec reads and checks the description in dir: template.yaml, which must say what the image is made of.
func readSpec(dir string) (recipe.Recipe, error) {
	file := filepath.Join(dir, "template.yaml")
	raw, err := os.ReadFile(file)
	if err != nil {
		return recipe.Recipe{}, fmt.Errorf("read template: %v", err)
	}
	r, err := recipe.Read(file, raw)
	if err == nil && r.Debian == nil {
		err = fmt.Errorf("%s: it has no debian: there is nothing to build; say in debian which packages it is made of", file)
	}
	if err != nil || r.Debian.Base == "" {
		return r, err
	}
	above := baseOf(r, dir)
	if raw, err = os.ReadFile(above); err != nil {
		return r, fmt.Errorf("read the base of %s: %v", file, err)
	}
	base, err := recipe.ReadBase(above, raw)
	if err != nil {
		return r, err
	}
	d, err := r.Debian.On(base)
	if err != nil {
		return r, fmt.Errorf("%s on %s: %w", file, above, err)
	}
	r.Debian = &d
	return r, nil
}

// baseOf is the file that a recipe in dir is based on.
func baseOf(r recipe.Recipe, dir string) string { return filepath.Join(dir, r.Debian.Base) }
