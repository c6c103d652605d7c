package recipe

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"hardnode.dev/internal/wire/document"
)

// Debian is what an image is made of. Paths have no leading slash.
type Debian struct {
	Base      string `yaml:"base"`      // file beside the recipe with what many images have: a Debian, added to this one; "": none
	VersionOf string `yaml:"versionOf"` // the package whose version is the template's
	LimitMiB  int64  `yaml:"limitMiB"`  // unpacked; more is an error
	// Package → patterns of the files wanted ("dir/**" is all below dir); its copyright file always comes along.
	Packages map[string][]string `yaml:"packages"`
	Without  []string            `yaml:"without"` // patterns of what is left out all the same
	// Joined are files that are made of others: path → pattern of those, which are joined by name and left out themselves.
	Joined    map[string]string `yaml:"joined"`
	Libraries []string          `yaml:"libraries"` // packages of which those shared libraries are taken that something needs
	Links     map[string]string `yaml:"links"`     // symbolic link → target; packages' files below a link go to where it leads
	Busybox   []string          `yaml:"busybox"`   // applets to link in usr/bin
	// Directories are made, root's and 0755; those of Sticky are for everybody; Owned says otherwise.
	Directories []string         `yaml:"directories"`
	Sticky      []string         `yaml:"sticky"`
	Owned       map[string]Owned `yaml:"owned"` // directories of others than root
	Whole       *Whole           `yaml:"whole"` // an installed Debian in place of Packages to Owned
}

// Owned is whose a directory is.
type Owned struct {
	UID  int    `yaml:"uid"`
	GID  int    `yaml:"gid"`
	Mode string `yaml:"mode"` // octal; "" is 0755
}

// Whole is a Debian as its installer makes it, with packages configured.
type Whole struct {
	Suite    string   `yaml:"suite"`    // bookworm
	Packages []string `yaml:"packages"` // beside what is essential, with what they depend on
	Run      []string `yaml:"run"`      // shell commands in the new root, as its root, after the packages are there
}

// ReadBase reads what many images have: packages, links, applets and directories.
func ReadBase(file string, raw []byte) (Debian, error) {
	var d Debian
	if err := document.Read(file, raw, &d); err != nil {
		return Debian{}, err
	}
	if d.Base != "" || d.VersionOf != "" || d.LimitMiB != 0 || d.Whole != nil {
		return Debian{}, fmt.Errorf("%s: a base has no base, versionOf, limitMiB and whole of its own", file)
	}
	d.VersionOf, d.LimitMiB = first(d.Packages), 1 // so that it is checked as any
	if err := errors.Join(d.validate()...); err != nil {
		return Debian{}, fmt.Errorf("%s: %w", file, err)
	}
	return d, nil
}

func first(m map[string][]string) string {
	if len(m) == 0 {
		return ""
	}
	return slices.Min(slices.Collect(maps.Keys(m)))
}

// On is d with what the base has and d has not.
func (d Debian) On(base Debian) (Debian, error) {
	d.Packages, d.Links, d.Owned = maps.Clone(d.Packages), maps.Clone(d.Links), maps.Clone(d.Owned)
	add(&d.Packages, base.Packages)
	add(&d.Links, base.Links)
	add(&d.Owned, base.Owned)
	union := func(to *[]string, more []string) {
		all := slices.Concat(*to, more)
		slices.Sort(all)
		*to = slices.Compact(all)
	}
	union(&d.Libraries, base.Libraries)
	union(&d.Busybox, base.Busybox)
	union(&d.Directories, base.Directories)
	union(&d.Sticky, base.Sticky)
	d.Base = ""
	return d, errors.Join(d.validate()...)
}

// add puts what m lacks into it.
func add[V any](m *map[string]V, more map[string]V) {
	if *m == nil {
		*m = map[string]V{}
	}
	for k, v := range more {
		if _, own := (*m)[k]; !own {
			(*m)[k] = v
		}
	}
}

// Bits is the mode as a number.
func (o Owned) Bits() (int64, error) {
	if o.Mode == "" {
		return 0o755, nil
	}
	n, err := strconv.ParseInt(o.Mode, 8, 32)
	if err != nil || n < 0 || n > 0o7777 {
		return 0, fmt.Errorf("mode %q: want octal digits, as \"0700\"", o.Mode)
	}
	return n, nil
}

// Names are all packages, sorted.
func (d Debian) Names() []string {
	names := slices.Clone(d.Libraries)
	for n := range d.Packages {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

func (d Debian) validate() (faults []error) {
	wrong := func(format string, args ...any) { faults = append(faults, fmt.Errorf("debian: "+format, args...)) }
	if d.LimitMiB < 1 {
		wrong("limitMiB: want a positive number")
	}
	if d.Base != "" && (d.Base != path.Base(d.Base) && d.Base != "../"+path.Base(d.Base) || d.Whole != nil) {
		wrong("base: %q: want a file beside the recipe or above it, and none with whole", d.Base)
	}
	names := d.Names()
	if d.Whole != nil {
		if len(d.Packages)+len(d.Libraries)+len(d.Links)+len(d.Busybox)+len(d.Directories)+len(d.Owned)+len(d.Without)+len(d.Joined) > 0 {
			wrong("whole: it is a Debian as it is installed: packages, libraries, without, joined, links, busybox, directories and owned " +
				"don't go with it")
		}
		if d.Whole.Suite == "" || strings.Trim(d.Whole.Suite, "abcdefghijklmnopqrstuvwxyz") != "" {
			wrong("whole: suite: %q: want a release's name, as bookworm", d.Whole.Suite)
		}
		names = d.Whole.Packages
	}
	if !slices.Contains(names, d.VersionOf) {
		wrong("versionOf: %q is none of the packages", d.VersionOf)
	}
	for i, n := range names {
		if !packageName(n) {
			wrong("packages: %q is no name of a Debian package", n)
		}
		if i > 0 && d.Whole == nil && names[i-1] == n {
			wrong("libraries: %q stands in packages too", n)
		}
	}
	paths := slices.Concat(d.Directories, d.Sticky, d.Without)
	for _, patterns := range d.Packages {
		paths = append(paths, patterns...)
	}
	for l := range d.Links {
		paths = append(paths, l)
	}
	for p, of := range d.Joined {
		paths = append(paths, p, of)
	}
	for p, o := range d.Owned {
		paths = append(paths, p)
		if _, err := o.Bits(); err != nil || o.UID < 0 || o.UID > 65535 || o.GID < 0 || o.GID > 65535 {
			wrong("owned: %q: want uid and gid from 0 to 65535 and an octal mode, as \"0700\"", p)
		}
	}
	for _, p := range paths {
		if !cleanPath(p) {
			wrong("path %q: want a clean path without a leading slash", p)
		} else if _, err := Match(p, ""); err != nil {
			wrong("pattern %q: %v", p, err)
		}
	}
	return faults
}

// Match says whether a path fits a pattern: "*" matches within one name, "/**" at the end all below.
func Match(pattern, name string) (bool, error) {
	if dir, all := strings.CutSuffix(pattern, "/**"); all {
		for ; name != "." && name != ""; name = path.Dir(name) {
			if ok, err := path.Match(dir, path.Dir(name)); ok || err != nil {
				return ok, err
			}
		}
		_, err := path.Match(dir, "")
		return false, err
	}
	return path.Match(pattern, name)
}

// packageName follows Debian policy 5.6.7: nothing that could be an option of apt-get gets through.
func packageName(s string) bool {
	for i, c := range []byte(s) {
		letter := c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
		if !letter && (i == 0 || !strings.ContainsRune("+-.", rune(c))) {
			return false
		}
	}
	return len(s) > 1
}

func cleanPath(p string) bool {
	return p != "" && p != "." && path.Clean(p) == p && !strings.HasPrefix(p, "/") && !strings.HasPrefix(p, "..")
}
