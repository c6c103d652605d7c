// Package kept knows which of a container's own files go along when it gets another image.
//
// Owns: the list: what the new image's template says, the container's own list, and what JEM was told.
// In: the image's root; the upper directory of the layer before, which a container wrote and which may hold anything.
// Out: clean absolute paths, none below another one; an error that names the file and the line.
// Never: copies a file (agent/volume/fill does), follows a link in what a container wrote, or names what is an image's own.
package kept

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/sys"
	"hardnode.dev/internal/wire/jem"
)

// own is where JEM keeps what it was told: all of that goes along, but for what the image says of itself.
const own = "/etc/jem"

// Paths are what goes along from a layer to one on the image.
func Paths(image, upper *os.File) ([]string, error) {
	var list []string
	raw, err := read(func() (*os.File, error) { return sys.OpenIn(image, jem.TemplatePath, unix.O_PATH) }, jem.MaxTemplate)
	if err != nil {
		return nil, fmt.Errorf("%s of the image: %w", jem.TemplatePath, err)
	}
	if raw != nil {
		t, err := jem.DecodeTemplate(raw)
		if err != nil {
			return nil, fmt.Errorf("%s of the image: %w", jem.TemplatePath, err)
		}
		for _, p := range t.Keep {
			list = append(list, path.Clean(p))
		}
	}
	in := func(name string) func() (*os.File, error) {
		return func() (*os.File, error) { return sys.OpenPlain(upper, name, unix.O_PATH|unix.O_NOFOLLOW) }
	}
	if raw, err = read(in(jem.KeepPath), jem.MaxKeepList); err == nil && raw == nil {
		raw, err = read(func() (*os.File, error) { return sys.OpenIn(image, jem.KeepPath, unix.O_PATH) }, jem.MaxKeepList)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", jem.KeepPath, err)
	}
	more, err := jem.KeepLines(raw)
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(append(list, more...), func(p string) bool { return p == own || strings.HasPrefix(p, own+"/") })
	more, err = told(upper)
	if err != nil {
		return nil, err
	}
	return jem.KeptPaths(append(list, more...))
}

// told is what JEM was told in the container.
func told(upper *os.File) (list []string, err error) {
	d, err := sys.OpenPlain(upper, own, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW)
	if missing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", own, err)
	}
	defer d.Close()
	entries, err := d.ReadDir(jem.MaxKept + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("list %s: %w", own, err)
	}
	for _, e := range entries {
		if p := path.Join(own, e.Name()); p != jem.TemplatePath {
			list = append(list, p)
		}
	}
	return list, nil
}

// missing tells whether an error is that a file is not there, or that one above it was deleted: then the layer has no directory there.
func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) }

// read is the content of a regular file, opened with O_PATH; nil if it is not there.
func read(open func() (*os.File, error), most int64) ([]byte, error) {
	at, err := open()
	if missing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer at.Close()
	st, err := at.Stat()
	switch {
	case err != nil:
		return nil, err
	case st.Mode()&fs.ModeCharDevice != 0: // it was deleted in the layer
		return nil, nil
	case !st.Mode().IsRegular():
		return nil, errors.New("is no regular file")
	case st.Size() > most:
		return nil, fmt.Errorf("has %d bytes, at most %d are read", st.Size(), most)
	}
	f, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", at.Fd()))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, most))
}
