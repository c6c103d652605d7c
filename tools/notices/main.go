// Command notices writes the third-party notices that go with every image: each Go module linked into a shipped program, with its licence
// text.
//
// Owns: the list of licence file names, and the order of the output.
// In: package paths of the shipped programs, as arguments; the module cache.
// Out: one text on standard output; it fails when a module has no licence file.
// Never: downloads anything.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// module is the part of `go list -json` that counts here.
type module struct {
	Path, Version, Dir string
	Main               bool
}

func main() {
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(),
			"usage: notices PACKAGE... > NOTICES.txt\nwrites the licences of all modules the packages are built from")
	}
	flag.Parse()
	if err := run(os.Stdout, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "notices:", err)
		os.Exit(1)
	}
}

func run(w io.Writer, packages []string) error {
	if len(packages) == 0 {
		return errors.New("no package named: give those of the shipped programs")
	}
	mods, err := modules(packages)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "Hardnode is under the Apache License 2.0. It contains the following software by others.\n")
	for _, m := range mods {
		texts, err := licences(m.Dir)
		if err != nil {
			return fmt.Errorf("module %s: %v", m.Path, err)
		}
		fmt.Fprintf(w, "\n%s\n%s %s\n%s\n\n%s", strings.Repeat("=", 78), m.Path, m.Version, strings.Repeat("=", 78), texts)
	}
	return nil
}

// modules are the modules behind the packages, sorted by path, Go's own library first.
func modules(packages []string) ([]module, error) {
	cmd := exec.Command("go", append([]string{"list", "-deps", "-json=Module,Standard"}, packages...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %v", err)
	}
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return nil, fmt.Errorf("go env GOROOT: %v", err)
	}
	var mods []module
	seen := map[string]bool{}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct{ Module *module }
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("read go list: %v", err)
		}
		if p.Module != nil && !p.Module.Main && !seen[p.Module.Path] {
			seen[p.Module.Path] = true
			mods = append(mods, *p.Module)
		}
	}
	slices.SortFunc(mods, func(a, b module) int { return strings.Compare(a.Path, b.Path) })
	return append([]module{{Path: "The Go programming language", Dir: strings.TrimSpace(string(root))}}, mods...), nil
}

// licences joins the licence and notice files at a module's root.
func licences(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, e := range entries {
		name := strings.ToUpper(e.Name())
		if e.IsDir() || !slices.ContainsFunc([]string{"LICENSE", "LICENCE", "COPYING", "NOTICE"},
			func(p string) bool { return strings.HasPrefix(name, p) }) {
			continue
		}
		raw, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "%s\n", bytes.TrimSpace(raw))
	}
	if b.Len() == 0 {
		return "", fmt.Errorf("no licence file in %s", dir)
	}
	return b.String(), nil
}
