package main

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"fmt"
	"io"
	"path"
	"slices"
	"sort"
	"strings"
	"time"

	"hardnode.dev/tools/templates/recipe"
)

// libraries takes from the packages of libraries what programs and libraries in t need and t lacks, until nothing is lacking or to be had.
// A package that nothing needs is an error: it does not belong into the image.
func libraries(s recipe.Debian, debs []deb, t tree, newest *time.Time) error {
	has := map[string][]string{} // package → file names that could be asked for
	for _, d := range debs {
		if !slices.Contains(s.Libraries, d.name) {
			continue
		}
		err := d.each(dataArchive, func(h *tar.Header, _ io.Reader) error {
			if isLibrary(h) {
				has[d.name] = append(has[d.name], path.Base(h.Name))
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	used := map[string]bool{}
	for {
		lacks, err := lacking(t)
		if err != nil {
			return err
		}
		more := false
		for _, d := range debs {
			wanted := map[string]bool{}
			for _, f := range has[d.name] {
				wanted[f] = lacks[f] != ""
				more = more || wanted[f]
				used[d.name] = used[d.name] || wanted[f]
			}
			if err := takeLibraries(s, d, t, wanted, newest); err != nil {
				return err
			}
		}
		if !more {
			break
		}
	}
	idle := slices.DeleteFunc(slices.Clone(s.Libraries), func(n string) bool { return used[n] })
	if err := complete(t); err != nil || len(idle) > 0 {
		if err == nil {
			err = fmt.Errorf("nothing needs the libraries of %s: take these packages away", strings.Join(idle, ", "))
		}
		return err
	}
	return nil
}

func isLibrary(h *tar.Header) bool {
	return (h.Typeflag == tar.TypeReg || h.Typeflag == tar.TypeSymlink) && strings.Contains(path.Base(h.Name), ".so")
}

// takeLibraries takes the wanted files of d, and what they are links to, and its copyright file.
func takeLibraries(s recipe.Debian, d deb, t tree, wanted map[string]bool, newest *time.Time) error {
	for len(wanted) > 0 {
		next := map[string]bool{}
		err := d.each(dataArchive, func(h *tar.Header, r io.Reader) error {
			name := strings.TrimPrefix(path.Clean(h.Name), "./")
			_, there := t[follow(s, name)]
			if is := isLibrary(h) && wanted[path.Base(name)] || isNotice(d, h, name) && anyOf(wanted); there || !is {
				return nil
			}
			if h.Typeflag == tar.TypeSymlink && isLibrary(h) {
				next[path.Base(h.Linkname)] = true
			}
			return t.takeOne(s, h, r, name, newest)
		})
		if err != nil {
			return err
		}
		wanted = next
	}
	return nil
}

func anyOf(m map[string]bool) bool {
	for _, v := range m {
		if v {
			return true
		}
	}
	return false
}

// lacking are the libraries and interpreters that something in t needs and t has not: each with who needs it.
func lacking(t tree) (map[string]string, error) {
	have, lacks := map[string]bool{}, map[string]string{}
	for name := range t {
		have[path.Base(name)] = true
	}
	for name, i := range t {
		if i.head.Typeflag != tar.TypeReg || !bytes.HasPrefix(i.body, []byte(elf.ELFMAG)) {
			continue
		}
		needs, err := needed(i.body)
		if err != nil {
			return nil, fmt.Errorf("read program %q: %v", name, err)
		}
		for _, n := range needs {
			if !have[n] && (lacks[n] == "" || name < lacks[n]) {
				lacks[n] = name
			}
		}
	}
	return lacks, nil
}

// needed are the names of the libraries and the interpreter that an ELF file asks for.
func needed(body []byte) ([]string, error) {
	f, err := elf.NewFile(bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if f.Type == elf.ET_REL {
		return nil, nil // an object to be linked by others
	}
	needs, err := f.ImportedLibraries()
	if err != nil {
		return nil, err
	}
	if s := f.Section(".interp"); s != nil {
		interp, err := s.Data()
		if err != nil {
			return nil, err
		}
		needs = append(needs, path.Base(string(bytes.TrimRight(interp, "\x00"))))
	}
	return needs, nil
}

// complete checks that every program and library finds its interpreter and the libraries it names.
func complete(t tree) error {
	lacks, err := lacking(t)
	if err != nil {
		return err
	}
	var list []string
	for lib, by := range lacks {
		list = append(list, by+" needs "+lib)
	}
	if len(list) > 0 {
		sort.Strings(list)
		return fmt.Errorf("libraries are missing: %s", strings.Join(list, "; "))
	}
	return nil
}
