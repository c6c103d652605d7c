package main

import (
	"archive/tar"
	"fmt"
	"io"
	"path"
	"strings"

	"hardnode.dev/image/debian"
)

// sourcesPath is where an image says which packages it has files of and where their sources are.
const sourcesPath = "usr/share/doc/hardnode/SOURCES"

// sourcesFile has a line for each package and one for each of Debian's source packages it was made from.
func sourcesFile(debs []deb) ([]byte, error) {
	var b strings.Builder
	b.WriteString("Files of these Debian packages are in this image, as Debian built them. Their licences: " +
		"/usr/share/doc/PACKAGE/copyright.\n")
	for _, d := range debs {
		control, err := d.control()
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, "\n%s %s\n", d.name, d.version)
		sources, err := debian.SourcesOf(control)
		if err != nil {
			return nil, fmt.Errorf("package %q: %v", d.file, err)
		}
		for i, s := range sources {
			fmt.Fprintf(&b, "  %s %s\n", map[bool]string{true: "from", false: "built using"}[i == 0], s)
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
