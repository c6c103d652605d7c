package main

import (
	"archive/tar"
	"fmt"
	"io"
	"path"
	"strings"
)

// sourcesPath is where an image says which packages it has files of and where their sources are.
const sourcesPath = "usr/share/doc/hardnode/SOURCES"

// sourcesFile has a line for each package and one for each of Debian's source packages it was made from.
func sourcesFile(debs []deb) ([]byte, error) {
	var b strings.Builder
	b.WriteString("Files of these Debian packages are in this image, as Debian built them. Their licences: /usr/share/doc/PACKAGE/copyright.\n")
	for _, d := range debs {
		control, err := d.control()
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, "\n%s %s\n", d.name, d.version)
		for _, s := range sources(control, d) {
			fmt.Fprintf(&b, "  %s\n", s)
		}
	}
	return []byte(b.String()), nil
}

// control is the package's control file.
func (d deb) control() (text string, err error) {
	err = d.each(controlArchive, func(h *tar.Header, r io.Reader) error {
		if path.Clean(h.Name) != "control" {
			return nil
		}
		raw, err := io.ReadAll(r)
		text = string(raw)
		return err
	})
	if err == nil && text == "" {
		err = fmt.Errorf("read package %q: no control file", d.file)
	}
	return text, err
}

// sources names the source package, then those the package was built using (deb-control(5)). Without a Source field it has the
// package's name, without a version in it the package's version.
func sources(control string, d deb) []string {
	name, version := d.name, d.version
	var using []string
	for line := range strings.Lines(strings.ReplaceAll(control, "\n ", " ")) {
		field, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch field {
		case "Source":
			name, version = nameVersion(value, version)
		case "Built-Using", "Static-Built-Using":
			for one := range strings.SplitSeq(value, ",") {
				n, v := nameVersion(one, "")
				using = append(using, fmt.Sprintf("built using Debian's source package %s, version %s", n, v))
			}
		}
	}
	return append([]string{fmt.Sprintf("from Debian's source package %s, version %s", name, version)}, using...)
}

// nameVersion reads "name", "name (version)" or "name (= version)".
func nameVersion(text, version string) (string, string) {
	name, rest, ok := strings.Cut(text, "(")
	if ok {
		version = strings.Trim(rest, "= )")
	}
	return strings.TrimSpace(name), version
}
