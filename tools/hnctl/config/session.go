package config

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"hardnode.dev/internal/keep"
	"hardnode.dev/internal/secret"
)

// Make takes in a cluster that nobody made a directory for: who signs in needs only its servers and how they are known. It is the current
// context when there is no other.
func (f *File) Make(c Config) error {
	if err := ValidName(c.Name); err != nil {
		return err
	}
	if f.index(c.Name) >= 0 {
		return fmt.Errorf("context %q is there already: give another name, or leave the servers out", c.Name)
	}
	if err := c.validate(); err != nil {
		return err
	}
	c.dir = f.dir
	f.Contexts = append(f.Contexts, c)
	if len(f.Contexts) == 1 {
		f.Current = c.Name
	}
	return nil
}

// SetSession keeps the token of a session for a context, in a file for its owner alone, and saves the file of contexts.
func (f *File) SetSession(name string, token secret.Text) error {
	i := f.index(name)
	if i < 0 {
		return fmt.Errorf("there is %w %q", ErrNoContext, name)
	}
	if err := os.MkdirAll(f.dir, 0o700); err != nil {
		return err
	}
	c := &f.Contexts[i]
	if c.Session == "" {
		raw := make([]byte, 4) // a context can be renamed, and another take its name
		rand.Read(raw)         // never fails (crypto/rand)
		c.Session = name + "-" + hex.EncodeToString(raw) + ".session"
	}
	if err := keep.WriteFile(c.path(c.Session), []byte(token.Reveal()+"\n"), 0o600); err != nil {
		return err
	}
	return f.Save()
}

// EndSession forgets the session of a context: its token, if it has one, is in force again.
func (f *File) EndSession(name string) error {
	i := f.index(name)
	if i < 0 || f.Contexts[i].Session == "" {
		return nil
	}
	path := f.Contexts[i].path(f.Contexts[i].Session)
	f.Contexts[i].Session = ""
	if err := f.Save(); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget session: remove %q: %v", filepath.Base(path), err)
	}
	return nil
}
