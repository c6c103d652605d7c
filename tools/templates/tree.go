package main

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"time"
)

// item is one entry of the image.
type item struct {
	head tar.Header
	body []byte
}

// tree is what the image will hold, by clean path.
type tree map[string]item

func (t tree) put(name string, i item) error {
	if old, ok := t[name]; ok && !(old.head.Typeflag == tar.TypeDir && i.head.Typeflag == tar.TypeDir) {
		return fmt.Errorf("%q comes twice", name)
	}
	t[name] = i
	return nil
}

// gather puts the tree together: the packages' files, then links, directories and the template's own files.
func gather(s Spec, dir string, debs []deb) (packages, own tree, err error) {
	packages, own = tree{}, tree{}
	newest := time.Unix(0, 0)
	for _, d := range debs {
		if err := take(s, d, packages, &newest); err != nil {
			return nil, nil, err
		}
	}
	sources, err := sourcesFile(debs)
	if err != nil {
		return nil, nil, err
	}
	header := func(kind byte, mode int64) tar.Header { return tar.Header{Typeflag: kind, Mode: mode, ModTime: newest} }
	err = packages.put(sourcesPath, item{header(tar.TypeReg, 0o644), sources})
	for l, target := range s.Links {
		h := header(tar.TypeSymlink, 0o777)
		h.Linkname = target
		err = errors.Join(err, packages.put(l, item{head: h}))
	}
	for _, applet := range s.Busybox {
		h := header(tar.TypeSymlink, 0o777)
		h.Linkname = "busybox"
		err = errors.Join(err, packages.put("usr/bin/"+applet, item{head: h}))
	}
	for _, d := range s.Directories {
		mode := int64(0o755)
		if slices.Contains(s.Sticky, d) {
			mode = 0o1777
		}
		err = errors.Join(err, packages.put(d, item{head: header(tar.TypeDir, mode)}))
	}
	files := os.DirFS(filepath.Join(dir, "files"))
	err = errors.Join(err, fs.WalkDir(files, ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		body, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		return own.put(name, item{header(tar.TypeReg, 0o644), body})
	}))
	if err != nil {
		return nil, nil, fmt.Errorf("put %s together: %v", s.Name, err)
	}
	for _, t := range []tree{packages, own} {
		for name := range maps.Clone(t) {
			for d := path.Dir(name); d != "."; d = path.Dir(d) {
				if _, ok := t[d]; !ok {
					t[d] = item{head: header(tar.TypeDir, 0o755)}
				}
			}
		}
	}
	return packages, own, complete(packages)
}

// take puts the wanted files of one package and its copyright file into t. A pattern that matches nothing is an error: the package
// has changed.
func take(s Spec, d deb, t tree, newest *time.Time) error {
	hit := map[string]bool{}
	notice := "usr/share/doc/" + d.name + "/copyright"
	err := d.each(dataArchive, func(h *tar.Header, r io.Reader) error {
		name := strings.TrimPrefix(path.Clean(h.Name), "./")
		wanted := name == notice
		for _, p := range s.Packages[d.name] {
			if ok, err := path.Match(p, name); err != nil {
				return fmt.Errorf("pattern %q: %v", p, err)
			} else if ok {
				hit[p], wanted = true, true
			}
		}
		if !wanted {
			return nil
		}
		if h.Typeflag != tar.TypeReg && h.Typeflag != tar.TypeSymlink {
			return fmt.Errorf("%q is neither file nor symbolic link", name)
		}
		if h.ModTime.After(*newest) {
			*newest = h.ModTime
		}
		body, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		if name == notice {
			hit[notice] = true
		}
		return t.put(s.follow(name), item{tar.Header{Typeflag: h.Typeflag, Mode: h.Mode, Linkname: h.Linkname, ModTime: h.ModTime}, body})
	})
	if err != nil {
		return err
	}
	for _, p := range append([]string{notice}, s.Packages[d.name]...) {
		if !hit[p] {
			return fmt.Errorf("package %s %s: nothing in it matches %q", d.name, d.version, p)
		}
	}
	return nil
}

// follow moves a path below one of the links to where the link leads, as dpkg does on a system with merged /usr.
func (s Spec) follow(name string) string {
	for l, target := range s.Links {
		if rest, ok := strings.CutPrefix(name, l+"/"); ok {
			return path.Join(path.Dir(l), target, rest)
		}
	}
	return name
}

// complete checks that every program and library finds its interpreter and the libraries it names.
func complete(t tree) error {
	have := map[string]bool{}
	for name := range t {
		have[path.Base(name)] = true
	}
	var lacks []string
	for name, i := range t {
		if i.head.Typeflag != tar.TypeReg || !bytes.HasPrefix(i.body, []byte(elf.ELFMAG)) {
			continue
		}
		f, err := elf.NewFile(bytes.NewReader(i.body))
		if err != nil {
			return fmt.Errorf("read program %q: %v", name, err)
		}
		needs, err := f.ImportedLibraries()
		if err != nil {
			return fmt.Errorf("read program %q: %v", name, err)
		}
		if s := f.Section(".interp"); s != nil {
			interp, err := s.Data()
			if err != nil {
				return fmt.Errorf("read program %q: %v", name, err)
			}
			needs = append(needs, path.Base(string(bytes.TrimRight(interp, "\x00"))))
		}
		for _, n := range needs {
			if !have[n] {
				lacks = append(lacks, fmt.Sprintf("%s needs %s", name, n))
			}
		}
	}
	if len(lacks) > 0 {
		sort.Strings(lacks)
		return fmt.Errorf("libraries are missing: %s", strings.Join(lacks, "; "))
	}
	return nil
}

// size is what the tree takes unpacked, in bytes.
func (t tree) size() (n int64) {
	for _, i := range t {
		n += int64(len(i.body))
	}
	return n
}

// archive is the tree as a tar, sorted by path: the same bytes for the same tree.
func (t tree) archive() ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(t)) {
		i := t[name]
		h := i.head
		h.Name, h.Format, h.Size = name, tar.FormatPAX, int64(len(i.body))
		h.ModTime = h.ModTime.UTC().Truncate(time.Second)
		if h.Typeflag == tar.TypeDir {
			h.Name += "/"
		}
		if err := w.WriteHeader(&h); err != nil {
			return nil, fmt.Errorf("archive %q: %v", name, err)
		}
		if _, err := w.Write(i.body); err != nil {
			return nil, fmt.Errorf("archive %q: %v", name, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("archive: %v", err)
	}
	return b.Bytes(), nil
}
