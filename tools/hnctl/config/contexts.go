package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/goccy/go-yaml"

	"hardnode.dev/internal/keep"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/document"
)

// File is config.yaml: the clusters hnctl knows, and which of them is meant when none is named. Version 1 of the file was one Config alone;
// it is read as a File with that one, and stays as it is until something is changed.
//
// History: 2026-11-25 version 2, several contexts. 2026-11-28 sessionFile of a context, from hnctl login on.
type File struct {
	Version  int      `yaml:"version" required:"true"` // 2
	Current  string   `yaml:"current"`                 // name of a context; "" is none
	Contexts []Config `yaml:"contexts"`

	dir string
}

// ErrNoContext: no context has that name, or none was chosen.
var ErrNoContext = errors.New("no context")

// defaultName is the name of a context whose cluster has none.
const defaultName = "default"

var version2 = regexp.MustCompile(`(?m)^\s*version:\s*["']?2["']?\s*(#.*)?$`)

// LoadFile reads config.yaml in dir. A missing one is ErrNone.
func LoadFile(dir string) (File, error) {
	path := filepath.Join(dir, FileName)
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return File{}, fmt.Errorf("%w: there is no %s; copy the directory hnctl that `hnctl cluster init` made, or name it with --config "+
			"or HNCTL_CONFIG", ErrNone, path)
	}
	if err != nil {
		return File{}, fmt.Errorf("read configuration: %v", err)
	}
	f := File{dir: dir}
	if !version2.Match(bytes.TrimPrefix(raw, []byte("\ufeff"))) {
		c := Config{}
		if err := document.Read(path, raw, &c); err != nil {
			return File{}, err
		}
		if c.Version != 1 {
			return File{}, fmt.Errorf("%s: version: %d is not known, want 1 or 2", path, c.Version)
		}
		if c.Version, c.Name = 0, contextName(c.Name); f.Current == "" {
			f.Current = c.Name
		}
		f.Version, f.Contexts = 2, []Config{c}
	} else if err := document.Read(path, raw, &f); err != nil {
		return File{}, err
	}
	if err := f.validate(); err != nil {
		return File{}, fmt.Errorf("%s: %w", path, err)
	}
	for i := range f.Contexts {
		f.Contexts[i].dir, f.Contexts[i].loose = dir, loose(path, "")
	}
	return f, nil
}

// contextName is a cluster's name as a context's name: a file of version 1 may have any.
func contextName(name string) string {
	if ValidName(name) != nil {
		return defaultName
	}
	return name
}

// ValidName tells whether a context may have a name: it is typed in a shell, and part of a directory's name.
func ValidName(name string) error { return wire.Label("context", name, 40) }

func (f File) validate() error {
	seen := map[string]bool{}
	for i, c := range f.Contexts {
		if err := ValidName(c.Name); err != nil {
			return fmt.Errorf("contexts[%d].name: %w", i, err)
		}
		if seen[c.Name] {
			return fmt.Errorf("contexts[%d].name: %q is there twice", i, c.Name)
		}
		seen[c.Name] = true
		if c.Version != 0 {
			return fmt.Errorf("contexts[%d].version: only the file has one", i)
		}
		if err := c.validate(); err != nil {
			return fmt.Errorf("contexts[%d] (%s): %w", i, c.Name, err)
		}
	}
	if f.Current != "" && !seen[f.Current] {
		return fmt.Errorf("current: there is no context %q", f.Current)
	}
	return nil
}

// Names are the contexts' names, in the file's order.
func (f File) Names() []string {
	out := make([]string, len(f.Contexts))
	for i, c := range f.Contexts {
		out[i] = c.Name
	}
	return out
}

// Context is the one with a name, or the current one for "". Its error is ErrNoContext.
func (f File) Context(name string) (Config, error) {
	if name == "" && f.Current == "" {
		return Config{}, fmt.Errorf("%w is chosen; see hnctl context list, then hnctl context use NAME", ErrNoContext)
	}
	if name == "" {
		name = f.Current
	}
	if i := f.index(name); i >= 0 {
		return f.Contexts[i], nil
	}
	meant := ""
	if near := document.Nearest(name, f.Names()); near != "" {
		meant = fmt.Sprintf("did you mean %q? ", near)
	}
	return Config{}, fmt.Errorf("there is %w %q; %ssee hnctl context list", ErrNoContext, name, meant)
}

func (f File) index(name string) int {
	return slices.IndexFunc(f.Contexts, func(c Config) bool { return c.Name == name })
}

// Rename gives a context another name.
func (f *File) Rename(from, to string) error {
	if _, err := f.Context(from); err != nil {
		return err
	}
	if err := ValidName(to); err != nil {
		return err
	}
	if from != to && f.index(to) >= 0 {
		return fmt.Errorf("context %q is there already", to)
	}
	f.Contexts[f.index(from)].Name = to
	if f.Current == from {
		f.Current = to
	}
	return nil
}

// Delete forgets a context. When it was the current one, none is chosen any more: guessing could send a command to the wrong cluster.
func (f *File) Delete(name string) error {
	if _, err := f.Context(name); err != nil {
		return err
	}
	f.Contexts = slices.Delete(f.Contexts, f.index(name), f.index(name)+1)
	if f.Current == name {
		f.Current = ""
	}
	return nil
}

// Add takes the current context of another directory in, under a name, with copies of its token files. The first one is the current one.
// Undo removes the copies; it is for a file that can't be saved.
func (f *File) Add(from File, name string) (undo func(), err error) {
	var made []string
	undo = func() {
		for _, file := range made {
			os.Remove(file)
		}
	}
	return undo, f.add(from, name, &made)
}

func (f *File) add(from File, name string, made *[]string) error {
	c, err := from.Context("")
	if err != nil {
		return err
	}
	if name == "" {
		name = c.Name
	}
	if err := ValidName(name); err != nil {
		return err
	}
	if f.index(name) >= 0 {
		return fmt.Errorf("context %q is there already: give another name", name)
	}
	if err := os.MkdirAll(f.dir, 0o700); err != nil {
		return err
	}
	files := []*string{&c.TokenFile}
	if c.Registry != nil {
		r := *c.Registry
		c.Registry, files = &r, append(files, &r.TokenFile)
	}
	if c.JLS != nil {
		j := *c.JLS
		c.JLS, files = &j, append(files, &j.TokenFile)
	}
	for _, file := range files {
		if *file == "" || filepath.IsAbs(*file) {
			continue
		}
		raw, err := os.ReadFile(filepath.Join(from.dir, *file))
		if err != nil {
			return fmt.Errorf("read token: %v", err)
		}
		*file = name + "-" + string(c.Cluster) + "." + filepath.Base(*file)
		to := filepath.Join(f.dir, *file)
		if _, err := os.Lstat(to); errors.Is(err, fs.ErrNotExist) {
			*made = append(*made, to)
		}
		if err := keep.WriteFile(to, raw, 0o600); err != nil {
			return err
		}
	}
	c.Name, c.dir, c.Session = name, f.dir, ""
	f.Contexts = append(f.Contexts, c)
	if len(f.Contexts) == 1 {
		f.Current = name
	}
	return nil
}

// New is a file without contexts, for a directory that has none yet.
func New(dir string) File { return File{Version: 2, dir: dir} }

// Save writes the file, so that a reader or a power cut sees the old one or the new one, for its owner alone.
func (f File) Save() error {
	f.Version = 2
	if err := f.validate(); err != nil {
		return err
	}
	raw, err := yaml.Marshal(f)
	if err != nil {
		return fmt.Errorf("encode configuration: %v", err)
	}
	if err := os.MkdirAll(f.dir, 0o700); err != nil {
		return err
	}
	return keep.WriteFile(filepath.Join(f.dir, FileName), raw, 0o600)
}
