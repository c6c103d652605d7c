package kmod

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Module is one module of the image, chosen or depended on.
type Module struct {
	Name   string // canonical
	Info   Info
	Use    Use
	data   []byte
	packed []byte // .ko.xz, as the kernel's package has it; nil: it has it as data
}

// Signed tells whether the module carries a signature (the kernel's module-signing.rst): a kernel that secure boot has locked down loads no
// other.
func (m Module) Signed() bool {
	return bytes.HasSuffix(m.data, []byte("~Module signature appended~\n"))
}

// Tree is a kernel package's modules directory: canonical name → file, and the names built into the kernel.
type Tree struct {
	files   map[string]string
	builtin map[string]bool
}

// OpenTree indexes dir, which is lib/modules/<release> of an unpacked kernel package.
func OpenTree(dir string) (*Tree, error) {
	t := &Tree{files: map[string]string{}, builtin: map[string]bool{}}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name, ok := moduleName(path); ok && !d.IsDir() {
			t.files[name] = path
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list modules of %q: %v", dir, err)
	}
	built, err := os.ReadFile(filepath.Join(dir, "modules.builtin"))
	if err != nil {
		return nil, fmt.Errorf("list built-in modules: %v", err)
	}
	for line := range strings.Lines(string(built)) {
		if name, ok := moduleName(strings.TrimSpace(line)); ok {
			t.builtin[name] = true
		}
	}
	return t, nil
}

func moduleName(path string) (string, bool) {
	base := strings.TrimSuffix(filepath.Base(path), ".xz")
	name, ok := strings.CutSuffix(base, ".ko")
	return Canonical(name), ok
}

// Choose reads the modules of rows and all they depend on, in an order in which each comes after what it needs.
// Names built into this kernel, or that this kernel does not have, are returned in absent (name and why).
func (t *Tree) Choose(rows []Row) (mods []Module, absent []string, err error) {
	done := map[string]bool{}
	var add func(name string, use Use, chain []string) error
	add = func(name string, use Use, chain []string) error {
		if done[name] || t.builtin[name] {
			return nil
		}
		path, ok := t.files[name]
		if !ok {
			return fmt.Errorf("find module %q (needed by %s): not in this kernel", name, strings.Join(chain, " ← "))
		}
		done[name] = true
		data, packed, err := readModule(path)
		if err != nil {
			return err
		}
		info, err := readInfo(data)
		if err != nil {
			return fmt.Errorf("read module %q: %v", name, err)
		}
		// A dependency is loaded when its user is, so it has no use of its own; it must lie where its user lies.
		dep := Asked
		if use == Stage1 {
			dep = Stage1
		}
		for _, d := range info.Depends {
			if err := add(d, dep, append(slices.Clone(chain), name)); err != nil {
				return err
			}
		}
		mods = append(mods, Module{Name: name, Info: info, Use: use, data: data, packed: packed})
		return nil
	}
	seen := map[string]bool{}
	for _, r := range rows {
		name := Canonical(r.Name)
		if r.Reason == "" || seen[name] {
			return nil, nil, fmt.Errorf("check module table: row %q is there twice or has no reason", r.Name)
		}
		seen[name] = true
		switch {
		case t.builtin[name]:
			absent = append(absent, r.Name+" (built in)")
		case t.files[name] == "":
			absent = append(absent, r.Name+" (not in this kernel)")
		default:
			if err := add(name, r.Use, nil); err != nil {
				return nil, nil, err
			}
		}
	}
	for i, m := range mods { // a module that first came in as a dependency keeps its own row's use
		for _, r := range rows {
			if Canonical(r.Name) == m.Name {
				mods[i].Use = r.Use
			}
		}
	}
	return mods, absent, nil
}

// always is the modules that every host loads at its boot: those it must not wait for, and what they need. mods has what a module needs
// before it.
func always(mods []Module) map[string]bool {
	all := map[string]bool{}
	for _, m := range slices.Backward(mods) {
		if all[m.Name] || m.Use == Preload || m.Use == Container || m.Use == Stage1 {
			all[m.Name] = true
			for _, d := range m.Info.Depends {
				all[d] = true
			}
		}
	}
	return all
}

// Write lays the modules out in dir, which it replaces: <name>.ko for those that every host loads, <name>.ko.xz for the others (half the
// size of what a filesystem image makes of them; only a host that has the hardware pays for the decompression), modules.dep
// ("name: dep dep" in loading order), modules.alias ("pattern name"), modules.preload and modules.container (names in loading order),
// modules.late (names). Only modules for which keep is true are written.
func Write(dir string, mods []Module, keep func(Module) bool) error {
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("clear %q: %v", dir, err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make %q: %v", dir, err)
	}
	var kept []Module
	plain := always(mods)
	for _, m := range mods {
		if !keep(m) {
			continue
		}
		kept = append(kept, m)
		file, data := m.Name+".ko", m.data
		if m.packed != nil && !plain[m.Name] {
			file, data = file+".xz", m.packed
		}
		if err := os.WriteFile(filepath.Join(dir, file), data, 0o644); err != nil {
			return fmt.Errorf("write module %q: %v", m.Name, err)
		}
	}
	for name, text := range indexes(kept) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return fmt.Errorf("write %q: %v", name, err)
		}
	}
	return nil
}

// indexes renders the index files. Only modules that drive hardware have aliases: nothing else may be loaded because a device is there.
func indexes(mods []Module) map[string]string {
	deps := map[string][]string{}
	var d, a, p, c, l strings.Builder
	for _, m := range mods {
		var all []string // transitive, in loading order: mods is sorted that way
		for _, x := range m.Info.Depends {
			for _, y := range append(slices.Clone(deps[x]), x) {
				if _, here := deps[y]; here && !slices.Contains(all, y) {
					all = append(all, y)
				}
			}
		}
		deps[m.Name] = all
		fmt.Fprintf(&d, "%s:", m.Name)
		for _, x := range all {
			fmt.Fprintf(&d, " %s", x)
		}
		d.WriteByte('\n')
		if m.Use == Hardware || m.Use == Late {
			for _, x := range m.Info.Aliases {
				fmt.Fprintf(&a, "%s %s\n", x, m.Name)
			}
		}
		switch m.Use {
		case Preload:
			fmt.Fprintf(&p, "%s\n", m.Name)
		case Container:
			fmt.Fprintf(&c, "%s\n", m.Name)
		case Late:
			fmt.Fprintf(&l, "%s\n", m.Name)
		}
	}
	return map[string]string{"modules.dep": d.String(), "modules.alias": a.String(), "modules.preload": p.String(),
		"modules.container": c.String(), "modules.late": l.String()}
}
