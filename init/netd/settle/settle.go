// Package settle turns what a source has into the files the rest of the host reads, or into words for a person.
//
// Owns: /run/hardnode/host.json and bundle.json; maintenance mode; the host's code there.
// In: source documents; the network for a URL.
// Out: a valid boot.HostConfig on disk; while there is none, one line of status that says why and what to do.
// Never: sets up a link, or takes an invalid document in part.
package settle

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"hardnode.dev/init/netd/source"
	"hardnode.dev/internal/keep"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/document"
	"hardnode.dev/internal/wire/host"
)

// Finder looks for the configuration until there is a valid one.
type Finder struct {
	Local func() (source.Document, error)
	// Remote is nil when the kernel command line names no URL; it may fail while the network is not there.
	Remote func(ctx context.Context) (source.Document, error)
	// Typed are documents that somebody typed at the host's terminal while it waited; whoever sends one has checked it (Check).
	Typed <-chan source.Document
	// Say shows one line to people, whenever it changes.
	Say func(line string)
	// Code tells this machine from others while it has no identity.
	Code string
	// Again is how often the sources are looked at while the host waits.
	Again time.Duration
}

// Find returns the first valid configuration. Sources are asked in order; one that has a document, even a bad one, is the one that counts:
// taking the next one in its place would start the host with a configuration that its owner did not choose.
func (f Finder) Find(ctx context.Context) (boot.HostConfig, source.Document, error) {
	said := ""
	for {
		d, err := f.Local()
		if errors.Is(err, source.Nothing) && f.Remote != nil {
			d, err = f.Remote(ctx)
		}
		var c boot.HostConfig
		if err == nil {
			c, err = document.HostConfig(d.Name, d.YAML)
		}
		if err == nil && c.Role == host.RoleInfra && d.Bundle != nil && !json.Valid(d.Bundle) {
			err = fmt.Errorf("the bundle beside %s is no JSON document", d.Name)
		}
		if err == nil {
			return c, d, nil
		}
		if line := f.waiting(err); line != said {
			said = line
			f.Say(line)
		}
		again := time.NewTimer(f.Again)
		select {
		case <-again.C:
		case d := <-f.Typed:
			again.Stop()
			if c, err := Check(d); err == nil {
				return c, d, nil
			}
		case <-ctx.Done():
			again.Stop()
			return boot.HostConfig{}, source.Document{}, ctx.Err()
		}
	}
}

// Check reads a document that was typed.
func Check(d source.Document) (boot.HostConfig, error) { return document.HostConfig(d.Name, d.YAML) }

// waiting is the line of maintenance mode.
func (f Finder) waiting(err error) string {
	if errors.Is(err, source.Nothing) {
		return fmt.Sprintf("maintenance mode, code %s: %v; give the host a volume labelled HARDNODE with the file hardnode.yaml, boot "+
			"it with hardnode.config=URL, or press Enter and type activate", f.Code, err)
	}
	if errors.Is(err, source.Unread) {
		return fmt.Sprintf("maintenance mode, code %s: %s", f.Code, oneLine(err.Error()))
	}
	return fmt.Sprintf("maintenance mode, code %s: the configuration is not valid: %s", f.Code, oneLine(err.Error()))
}

// oneLine joins an error of several lines: a status has one.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// Code makes the eight characters a person compares out of what identifies a machine: its UUID and its cards' addresses.
func Code(parts ...string) string {
	slices.Sort(parts)
	sum := sha256.Sum256([]byte("hardnode machine code\n" + strings.Join(parts, "\n")))
	text := base32.StdEncoding.EncodeToString(sum[:5])
	return text[:4] + "-" + text[4:]
}

// Earlier is the configuration this boot already settled on: netd may be restarted at any moment.
func Earlier(dir string) (boot.HostConfig, bool, error) {
	raw, err := os.ReadFile(filepath.Join(dir, filepath.Base(boot.ConfigFile)))
	if errors.Is(err, fs.ErrNotExist) {
		return boot.HostConfig{}, false, nil
	}
	if err != nil {
		return boot.HostConfig{}, false, fmt.Errorf("read the settled configuration: %w", err)
	}
	var c boot.HostConfig
	if err := json.Unmarshal(raw, &c); err != nil {
		return boot.HostConfig{}, false, fmt.Errorf("read the settled configuration: %w", err)
	}
	return c, true, nil
}

// Write puts the configuration, its text, and an infra host's bundle, where the host's programs read them. The document last: who sees it
// may count on the rest.
func Write(dir string, c boot.HostConfig, d source.Document) error {
	if c.Role == host.RoleInfra && d.Bundle != nil {
		if err := keep.WriteFile(filepath.Join(dir, filepath.Base(boot.BundleFile)), d.Bundle, 0o600); err != nil {
			return err
		}
	}
	if err := keep.WriteFile(filepath.Join(dir, filepath.Base(boot.ConfigText)), d.YAML, 0o600); err != nil {
		return err
	}
	if err := keep.WriteFile(filepath.Join(dir, filepath.Base(boot.ConfigSourceFile)), []byte(d.Name+"\n"), 0o600); err != nil {
		return err
	}
	raw, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("encode the configuration: %w", err)
	}
	return keep.WriteFile(filepath.Join(dir, filepath.Base(boot.ConfigFile)), raw, 0o600)
}
