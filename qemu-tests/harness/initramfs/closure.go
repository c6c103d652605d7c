package initramfs

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// libraryDirs is where Debian's dynamic loader looks without a cache file (ld.so(8)).
var libraryDirs = []string{"/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib",
	"/usr/lib/x86_64-linux-gnu/systemd", "/usr/lib/systemd"}

// Program adds a program of this machine, found in PATH or by path, with every library it is linked with, under its own path.
func (a *Archive) Program(name string) error {
	p, err := exec.LookPath(name)
	if err != nil {
		for _, dir := range []string{"/usr/sbin", "/sbin", "/usr/local/sbin"} {
			if _, e := os.Stat(filepath.Join(dir, name)); e == nil {
				p, err = filepath.Join(dir, name), nil
				break
			}
		}
	}
	if err != nil {
		return fmt.Errorf("program %s: %v (make deps installs what the tests need)", name, err)
	}
	return a.Linked(p, p)
}

// Linked adds the file from as name, with every library it is linked with under the library's own path.
func (a *Archive) Linked(name, from string) error {
	if err := a.Copy(name, from); err != nil {
		return err
	}
	libs, err := libraries(from)
	if err != nil {
		return fmt.Errorf("libraries of %s: %v", from, err)
	}
	for _, l := range libs {
		if a.Has(l) {
			continue
		}
		if err := a.Linked(l, l); err != nil {
			return err
		}
	}
	return nil
}

// libraries are the paths of the loader and of the libraries a file names (ELF PT_INTERP and DT_NEEDED); none for anything but dynamic ELF.
func libraries(file string) ([]string, error) {
	f, err := elf.Open(file)
	var notELF *elf.FormatError
	if errors.As(err, &notELF) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var out []string
	for _, p := range f.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		b := make([]byte, p.Filesz-1)
		if _, err := p.ReadAt(b, 0); err != nil {
			return nil, err
		}
		out = append(out, string(b))
	}
	needed, err := f.DynString(elf.DT_NEEDED)
	if err != nil {
		return out, nil // no dynamic section: a static program
	}
	for _, n := range needed {
		found := ""
		for _, dir := range libraryDirs {
			if _, err := os.Stat(filepath.Join(dir, n)); err == nil {
				found = filepath.Join(dir, n)
				break
			}
		}
		if found == "" {
			return nil, fmt.Errorf("%s is in none of %v", n, libraryDirs)
		}
		out = append(out, found)
	}
	return out, nil
}
