package debian

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Source is one of Debian's source packages.
type Source struct{ Name, Version string }

func (s Source) String() string {
	return fmt.Sprintf("Debian's source package %s, version %s", s.Name, s.Version)
}

// Notice is what has to go along with files of pkgs: each package's name, version, sources and copyright file, all out of the package
// itself, then the text of every common licence the copyright files refer to, out of Debian's base-files.
func (a Archive) Notice(ctx context.Context, pkgs []Package) (string, error) {
	pkgs = slices.Clone(pkgs)
	slices.SortFunc(pkgs, func(x, y Package) int { return strings.Compare(x.Name, y.Name) })
	pkgs = slices.Compact(pkgs)
	var b strings.Builder
	fmt.Fprint(&b, "\nFiles of the following Debian packages are in this image, as Debian built them.\n")
	referred := map[string]bool{}
	for _, p := range pkgs {
		sources, err := a.Sources(ctx, p)
		if err != nil {
			return "", err
		}
		text, err := a.copyright(ctx, p)
		if err != nil {
			return "", err
		}
		for _, l := range commonLicences(text) {
			referred[l] = true
		}
		b.WriteString(section("Debian package "+p.Name+" "+p.Version, sources, text))
	}
	texts, err := a.common(ctx, slices.Sorted(maps.Keys(referred)))
	if err != nil {
		return "", err
	}
	b.WriteString(texts)
	return b.String(), nil
}

// Sources is p's source package, then those it was built using.
func (a Archive) Sources(ctx context.Context, p Package) ([]Source, error) {
	control, err := output(ctx, "", "dpkg-deb", "-f", filepath.Join(a.Cache, p.Deb), "Package", "Version", "Source", "Built-Using",
		"Static-Built-Using")
	if err != nil {
		return nil, fmt.Errorf("read control of package %q: %v", p.Name, err)
	}
	sources, err := SourcesOf(string(control))
	if err != nil {
		return nil, fmt.Errorf("package %q: %v", p.Name, err)
	}
	return sources, nil
}

// copyright is the text of usr/share/doc/<package>/copyright. The folder may be a link to that of a package of the same source which
// this one depends on in its very version (Debian policy 12.5).
func (a Archive) copyright(ctx context.Context, p Package) (string, error) {
	dir, err := a.unpacked(ctx, p)
	if err != nil {
		return "", err
	}
	doc := filepath.Join(dir, "usr/share/doc", p.Name)
	if link, err := os.Readlink(doc); err == nil {
		others, err := a.Get(ctx, filepath.Base(link))
		if err != nil {
			return "", err
		}
		if others[0].Version != p.Version {
			return "", fmt.Errorf("find the copyright file of package %q %s: package %q is %s; run `apt-get update`", p.Name, p.Version,
				others[0].Name, others[0].Version)
		}
		return a.copyright(ctx, others[0])
	}
	text, err := os.ReadFile(filepath.Join(doc, "copyright"))
	if err != nil {
		return "", fmt.Errorf("read the copyright file of package %q: %v", p.Name, err)
	}
	return string(text), nil
}

// common is the named texts of /usr/share/common-licenses.
func (a Archive) common(ctx context.Context, names []string) (string, error) {
	pkgs, err := a.Get(ctx, "base-files")
	if err != nil {
		return "", err
	}
	dir, err := a.unpacked(ctx, pkgs[0])
	if err != nil {
		return "", err
	}
	return commonTexts(filepath.Join(dir, "usr/share/common-licenses"), names)
}

// commonTexts joins the named files of dir, each once and under all the names that lead to it.
func commonTexts(dir string, names []string) (string, error) {
	known := map[string][]string{}
	for _, name := range names {
		file, err := filepath.EvalSymlinks(filepath.Join(dir, name))
		if err != nil {
			return "", fmt.Errorf("find common licence %q: %v", name, err)
		}
		known[file] = append(known[file], "/usr/share/common-licenses/"+name)
	}
	var b strings.Builder
	for _, file := range slices.Sorted(maps.Keys(known)) {
		text, err := os.ReadFile(file)
		if err != nil {
			return "", fmt.Errorf("read common licence: %v", err)
		}
		b.WriteString(section(strings.Join(known[file], ", "), nil, string(text)))
	}
	return b.String(), nil
}

var common = regexp.MustCompile(`common-licenses/([A-Za-z0-9][A-Za-z0-9.+-]*)`)

// commonLicences is the names of the common licences a copyright file refers to, sorted. GPL-3 is part of LGPL-3, which only adds to it.
func commonLicences(copyright string) []string {
	var names []string
	for _, m := range common.FindAllStringSubmatch(copyright, -1) {
		name := strings.TrimRight(m[1], ".-+")
		names = append(names, name)
		if name == "LGPL" || name == "LGPL-3" {
			names = append(names, "GPL-3")
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// SourcesOf reads a package's control fields: its source package first, then those it was built using (deb-control(5)). A package
// without Source has its own name and version there, a Source without a version has the package's.
func SourcesOf(control string) ([]Source, error) {
	fields := map[string]string{}
	last := ""
	for line := range strings.Lines(control) {
		name, value, ok := strings.Cut(line, ":")
		switch {
		case line[0] == ' ' || line[0] == '\t':
			fields[last] += " " + strings.TrimSpace(line)
		case ok:
			last = name
			fields[name] = strings.TrimSpace(value)
		}
	}
	if fields["Package"] == "" || fields["Version"] == "" {
		return nil, fmt.Errorf("read control %q: no Package or no Version", control)
	}
	own := Source{fields["Package"], fields["Version"]}
	if f := fields["Source"]; f != "" {
		own = sourceOf(f, own.Version)
	}
	sources := []Source{own}
	for _, f := range strings.Split(fields["Built-Using"]+","+fields["Static-Built-Using"], ",") {
		if f = strings.TrimSpace(f); f != "" {
			sources = append(sources, sourceOf(f, ""))
		}
	}
	return sources, nil
}

// sourceOf reads "name", "name (version)" or "name (= version)".
func sourceOf(text, version string) Source {
	name, rest, ok := strings.Cut(text, "(")
	if ok {
		version = strings.Trim(rest, "= )")
	}
	return Source{strings.TrimSpace(name), version}
}

func section(title string, sources []Source, text string) string {
	var b strings.Builder
	line := strings.Repeat("=", 78)
	fmt.Fprintf(&b, "\n%s\n%s\n", line, title)
	for i, s := range sources {
		fmt.Fprintf(&b, "%s: %s\n", map[bool]string{true: "source", false: "built using"}[i == 0], s)
	}
	fmt.Fprintf(&b, "%s\n\n%s\n", line, strings.TrimSpace(text))
	return b.String()
}
