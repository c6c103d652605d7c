package debian

import (
	"context"
	"debug/elf"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// File is one file taken from a package: where it lies now, and its path on the target, without a leading slash.
type File struct {
	Source string
	Target string
}

var libDirs = []string{"lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu", "lib64", "lib", "usr/lib"}

// Program takes a program out of pkg together with the shared libraries it needs, all found in the closure of pkg. It returns the files
// and the packages they are of.
// programs are paths in the package, such as "sbin/mkfs.btrfs"; they keep them, below usr/. Libraries go to usr/lib/x86_64-linux-gnu.
func (a Archive) Program(ctx context.Context, pkg string, programs ...string) (files []File, pkgs []Package, err error) {
	names, err := a.Closure(ctx, pkg)
	if err != nil {
		return nil, nil, err
	}
	all, err := a.Get(ctx, names...)
	if err != nil {
		return nil, nil, err
	}
	var roots []string
	for _, p := range all {
		dir, err := a.unpacked(ctx, p)
		if err != nil {
			return nil, nil, err
		}
		roots = append(roots, dir)
	}
	files, err = closure(roots, programs)
	if err != nil {
		return nil, nil, fmt.Errorf("take %v from package %q: %v", programs, pkg, err)
	}
	return files, owners(files, filepath.Join(a.Cache, "unpacked"), all), nil
}

// owners is those of pkgs, each unpacked below dir, that files lie in.
func owners(files []File, dir string, pkgs []Package) []Package {
	return slices.DeleteFunc(slices.Clone(pkgs), func(p Package) bool {
		return !slices.ContainsFunc(files, func(f File) bool { return strings.HasPrefix(f.Source, filepath.Join(dir, p.Name)+"/") })
	})
}

// closure follows DT_NEEDED and the interpreter of each program through the unpacked packages.
func closure(roots, programs []string) ([]File, error) {
	var files []File
	done := map[string]bool{}
	var follow func(path string) error
	follow = func(path string) error {
		needed, interpreter, err := needs(path)
		if err != nil {
			return err
		}
		if interpreter != "" && !done[interpreter] {
			done[interpreter] = true
			source, ok := find(roots, []string{"", "usr"}, interpreter)
			if !ok {
				return fmt.Errorf("find interpreter %q of %q: not in the packages", interpreter, path)
			}
			files = append(files, File{source, "usr/lib64/" + filepath.Base(interpreter)})
		}
		for _, lib := range needed {
			if done[lib] {
				continue
			}
			done[lib] = true
			source, ok := find(roots, libDirs, lib)
			if !ok {
				return fmt.Errorf("find library %q of %q: not in the packages", lib, path)
			}
			if filepath.Base(lib) != "ld-linux-x86-64.so.2" {
				files = append(files, File{source, "usr/lib/x86_64-linux-gnu/" + lib})
			}
			if err := follow(source); err != nil {
				return err
			}
		}
		return nil
	}
	for _, p := range programs {
		source, ok := find(roots, []string{"", "usr"}, p)
		if !ok {
			return nil, fmt.Errorf("find program %q: not in the packages", p)
		}
		target := p
		if filepath.Dir(p) == "sbin" || filepath.Dir(p) == "bin" {
			target = "usr/" + p
		}
		files = append(files, File{source, target})
		if err := follow(source); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(files, func(x, y File) int {
		if x.Target < y.Target {
			return -1
		}
		return 1
	})
	return files, nil
}

// find looks for name below each root and directory and follows links inside the packages' own directories.
func find(roots, dirs []string, name string) (string, bool) {
	for _, root := range roots {
		for _, dir := range dirs {
			path := filepath.Join(root, dir, name)
			link, err := os.Readlink(path)
			if err == nil && filepath.IsAbs(link) {
				return find(roots, []string{"", "usr"}, link)
			}
			if st, err := os.Stat(path); err == nil && st.Mode().IsRegular() {
				return path, true
			}
		}
	}
	return "", false
}

func needs(path string) (libraries []string, interpreter string, err error) {
	f, err := elf.Open(path)
	if err != nil {
		return nil, "", fmt.Errorf("read %q: %v", path, err)
	}
	defer f.Close()
	if libraries, err = f.ImportedLibraries(); err != nil {
		return nil, "", fmt.Errorf("read what %q needs: %v", path, err)
	}
	for _, p := range f.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		raw := make([]byte, p.Filesz)
		if _, err := p.ReadAt(raw, 0); err != nil {
			return nil, "", fmt.Errorf("read the interpreter of %q: %v", path, err)
		}
		interpreter = string(raw[:len(raw)-1])
	}
	return libraries, interpreter, nil
}
