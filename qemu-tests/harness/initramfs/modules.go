package initramfs

import (
	"bytes"
	"debug/elf"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/ulikunitz/xz"
)

// Modules finds kernel modules below one folder, compressed or not.
type Modules struct {
	files map[string]string // name with "_" → path
	read  map[string]module
}

type module struct {
	image   []byte // the uncompressed .ko
	depends []string
	builtin bool
}

// OpenModules indexes every .ko and .ko.xz below dir.
func OpenModules(dir string) (*Modules, error) {
	m := &Modules{files: map[string]string{}, read: map[string]module{}}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := strings.TrimSuffix(filepath.Base(p), ".xz")
		if name, ok := strings.CutSuffix(base, ".ko"); ok && !d.IsDir() {
			m.files[modName(name)] = p
		}
		return nil
	})
	if err == nil && len(m.files) == 0 {
		err = fmt.Errorf("modules %s: there are none", dir)
	}
	return m, err
}

func modName(s string) string { return strings.ReplaceAll(s, "-", "_") }

// Add puts the modules and all they depend on (softdep "pre" included) into the archive and returns their paths there in load order.
// A name that is no module is an error, unless it is in optional.
func (m *Modules) Add(a *Archive, names []string, optional map[string]bool) ([]string, error) {
	var order []string
	seen := map[string]bool{}
	var add func(name string, need bool) error
	add = func(name string, need bool) error {
		name = modName(name)
		if seen[name] {
			return nil
		}
		seen[name] = true
		if _, ok := m.files[name]; !ok {
			if need && !optional[name] {
				return fmt.Errorf("module %s: the kernel has none of that name", name)
			}
			return nil
		}
		mod, err := m.load(name)
		if err != nil {
			return fmt.Errorf("module %s: %v", name, err)
		}
		for _, d := range mod.depends {
			if err := add(d, false); err != nil {
				return err
			}
		}
		p := "/lib/modules/" + name + ".ko"
		a.File(p, 0o644, mod.image)
		order = append(order, p)
		return nil
	}
	for _, n := range names {
		if err := add(n, true); err != nil {
			return nil, err
		}
	}
	return order, nil
}

// load reads one module and what it depends on from its .modinfo section.
func (m *Modules) load(name string) (module, error) {
	if mod, ok := m.read[name]; ok {
		return mod, nil
	}
	f, err := os.Open(m.files[name])
	if err != nil {
		return module{}, err
	}
	defer f.Close()
	var r io.Reader = f
	if strings.HasSuffix(m.files[name], ".xz") {
		if r, err = xz.NewReader(f); err != nil {
			return module{}, err
		}
	}
	var mod module
	if mod.image, err = io.ReadAll(r); err != nil {
		return module{}, err
	}
	e, err := elf.NewFile(bytes.NewReader(mod.image))
	if err != nil {
		return module{}, err
	}
	info, err := e.Section(".modinfo").Data()
	if err != nil {
		return module{}, err
	}
	for _, kv := range strings.Split(string(info), "\x00") {
		k, v, _ := strings.Cut(kv, "=")
		switch k {
		case "depends":
			mod.depends = append(mod.depends, strings.FieldsFunc(v, func(r rune) bool { return r == ',' })...)
		case "softdep":
			if pre, ok := strings.CutPrefix(v, "pre:"); ok {
				pre, _, _ = strings.Cut(pre, "post:")
				mod.depends = append(mod.depends, strings.Fields(pre)...)
			}
		}
	}
	m.read[name] = mod
	return mod, nil
}
