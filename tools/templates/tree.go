package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"hardnode.dev/internal/wire/jem"
	"hardnode.dev/tools/templates/recipe"
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
func gather(s recipe.Recipe, dir string, debs []deb) (packages, own tree, err error) {
	packages = tree{}
	newest := time.Unix(0, 0)
	for _, d := range debs {
		if err := take(*s.Debian, d, packages, &newest); err != nil {
			return nil, nil, err
		}
	}
	if err := packages.join(s.Debian.Joined, newest); err != nil {
		return nil, nil, err
	}
	if err := libraries(*s.Debian, debs, packages, &newest); err != nil {
		return nil, nil, err
	}
	if err := packages.noticed(debs); err != nil {
		return nil, nil, err
	}
	sources, err := sourcesFile(debs)
	if err != nil {
		return nil, nil, err
	}
	header := func(kind byte, mode int64) tar.Header { return tar.Header{Typeflag: kind, Mode: mode, ModTime: newest} }
	err = packages.put(sourcesPath, item{header(tar.TypeReg, 0o644), sources})
	for l, target := range s.Debian.Links {
		h := header(tar.TypeSymlink, 0o777)
		h.Linkname = target
		err = errors.Join(err, packages.put(l, item{head: h}))
	}
	for _, applet := range s.Debian.Busybox {
		h := header(tar.TypeSymlink, 0o777)
		h.Linkname = "busybox"
		err = errors.Join(err, packages.put("usr/bin/"+applet, item{head: h}))
	}
	for _, d := range s.Debian.Directories {
		mode := int64(0o755)
		if slices.Contains(s.Debian.Sticky, d) {
			mode = 0o1777
		}
		err = errors.Join(err, packages.put(d, item{head: header(tar.TypeDir, mode)}))
	}
	for d, o := range s.Debian.Owned {
		mode, _ := o.Bits() // the recipe was checked
		h := header(tar.TypeDir, mode)
		h.Uid, h.Gid = o.UID, o.GID
		err = errors.Join(err, packages.put(d, item{head: h}))
	}
	own, fails := ownFiles(s, dir, newest)
	if err = errors.Join(err, fails); err != nil {
		return nil, nil, fmt.Errorf("put %s together: %v", s.Name, err)
	}
	for _, t := range []tree{packages, own} {
		t.parents(header(tar.TypeDir, 0o755), packages)
	}
	return packages, own, nil
}

// parents adds the directories that paths lie in: as they are in the layer below, else as head says.
func (t tree) parents(head tar.Header, below tree) {
	for name := range maps.Clone(t) {
		for d := path.Dir(name); d != "."; d = path.Dir(d) {
			if _, ok := t[d]; ok {
				continue
			}
			if t[d] = (item{head: head}); below[d].head.Typeflag != 0 {
				t[d] = below[d]
			}
		}
	}
}

// join makes files of others, which go.
func (t tree) join(files map[string]string, at time.Time) error {
	for to, pattern := range files {
		var body []byte
		for _, name := range slices.Sorted(maps.Keys(t)) {
			if ok, _ := recipe.Match(pattern, name); ok {
				body = append(body, t[name].body...)
				delete(t, name)
			}
		}
		if len(body) == 0 {
			return fmt.Errorf("join %q: nothing matches %q", to, pattern)
		}
		if err := t.put(to, item{tar.Header{Typeflag: tar.TypeReg, Mode: 0o644, ModTime: at}, body}); err != nil {
			return err
		}
	}
	return nil
}

// ownFiles are the template's own: those below files, programs where they can be run, and what JEM reads.
func ownFiles(s recipe.Recipe, dir string, at time.Time) (tree, error) {
	own := tree{}
	files := os.DirFS(filepath.Join(dir, "files"))
	err := fs.WalkDir(files, ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		body, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		st, err := e.Info()
		if err != nil {
			return err
		}
		mode := int64(0o644)
		if st.Mode()&0o100 != 0 {
			mode = 0o755
		}
		return own.put(name, item{tar.Header{Typeflag: tar.TypeReg, Mode: mode, ModTime: at}, body})
	})
	if errors.Is(err, fs.ErrNotExist) {
		err = nil // it has none
	}
	if err != nil {
		return nil, err
	}
	raw, err := json.MarshalIndent(s.Template(), "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write what JEM reads: %v", err)
	}
	return own, own.put(strings.TrimPrefix(jem.TemplatePath, "/"),
		item{tar.Header{Typeflag: tar.TypeReg, Mode: 0o644, ModTime: at}, append(raw, '\n')})
}

// take puts the wanted files of one package and its copyright file into t. A pattern that matches nothing is an error: the package
// has changed.
func take(s recipe.Debian, d deb, t tree, newest *time.Time) error {
	patterns, hit := s.Packages[d.name], map[string]bool{}
	if len(patterns) == 0 {
		return nil // one of the libraries
	}
	notice := noticeOf(d)
	err := d.each(dataArchive, func(h *tar.Header, r io.Reader) error {
		name := strings.TrimPrefix(path.Clean(h.Name), "./")
		wanted := isNotice(d, h, name)
		if wanted {
			hit[notice] = true
		}
		for _, p := range patterns {
			if ok, _ := recipe.Match(p, name); ok {
				hit[p], wanted = true, wanted || h.Typeflag != tar.TypeDir
			}
		}
		if !wanted || slices.ContainsFunc(s.Without, func(p string) bool { ok, _ := recipe.Match(p, name); return ok }) {
			return nil
		}
		return t.takeOne(s, h, r, name, newest)
	})
	if err != nil {
		return err
	}
	for _, p := range append([]string{notice}, patterns...) {
		if !hit[p] {
			return fmt.Errorf("package %s %s: nothing in it matches %q", d.name, d.version, p)
		}
	}
	return nil
}

// isNotice tells the package's copyright file, or the link to another package's documentation that stands for it (Debian policy 12.3).
func isNotice(d deb, h *tar.Header, name string) bool {
	return name == noticeOf(d) || h.Typeflag == tar.TypeSymlink && name == path.Dir(noticeOf(d))
}

// noticed checks that the licence of each package is there.
func (t tree) noticed(debs []deb) error {
	for _, d := range debs {
		if of, ok := t[path.Dir(noticeOf(d))]; ok && of.head.Typeflag == tar.TypeSymlink {
			if _, ok := t["usr/share/doc/"+path.Base(of.head.Linkname)+"/copyright"]; !ok {
				return fmt.Errorf("package %s: its copyright file is that of package %s: take it from there", d.name,
					path.Base(of.head.Linkname))
			}
		} else if _, ok := t[noticeOf(d)]; !ok {
			return fmt.Errorf("package %s: its copyright file is not there", d.name)
		}
	}
	return nil
}

func noticeOf(d deb) string { return "usr/share/doc/" + d.name + "/copyright" }

// takeOne puts one entry of a package into t.
func (t tree) takeOne(s recipe.Debian, h *tar.Header, r io.Reader, name string, newest *time.Time) error {
	if h.ModTime.After(*newest) {
		*newest = h.ModTime
	}
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeSymlink:
		body, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		return t.put(follow(s, name), item{tar.Header{Typeflag: h.Typeflag, Mode: h.Mode, Linkname: h.Linkname, ModTime: h.ModTime}, body})
	case tar.TypeLink: // a second name of a file before it
		first, ok := t[follow(s, strings.TrimPrefix(path.Clean(h.Linkname), "./"))]
		if !ok {
			return fmt.Errorf("%q is another name of %q, which is not taken", name, h.Linkname)
		}
		return t.put(follow(s, name), first)
	}
	return fmt.Errorf("%q is neither file nor link", name)
}

// follow moves a path below one of the links to where the link leads, as dpkg does on a system with merged /usr.
func follow(s recipe.Debian, name string) string {
	for l, target := range s.Links {
		if rest, ok := strings.CutPrefix(name, l+"/"); ok {
			return path.Join(path.Dir(l), target, rest)
		}
	}
	return name
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
