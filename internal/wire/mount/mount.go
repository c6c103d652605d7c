// Package mount is that a container uses another container's volume, wherever that one is.
//
// Owns: what the two hosts are told: the one that mounts (Mount), and the one that has the volume and answers nobody else (Share).
// In: JSON of an Assignment.
// Out: valid values; an error naming the field and the rule it broke.
// Never: mounts anything, or knows addresses: hosts find each other by Peers.
//
// History: 2026-11-27 version 1.
package mount

import (
	"fmt"
	"path"
	"strings"
	"unicode"

	"hardnode.dev/internal/wire"
)

// Max is how many mounts a container may have, and how many may mount its volumes.
const (
	Max       = 16
	MaxShares = 64
)

// Mount is a volume of another container, mounted in this one when it starts. Which host has it, and whether it may be written, is looked
// at as long as it is mounted.
type Mount struct {
	Name     string      `json:"name"`   // unique in the container, a DNS label
	Path     string      `json:"path"`   // absolute path inside
	From     wire.CTID   `json:"from"`   // whose volume it is
	Host     wire.HostID `json:"host"`   // where that container is
	Volume   string      `json:"volume"` // its name there
	ReadOnly bool        `json:"readOnly,omitempty"`
}

// Share lets another container mount a volume of this one.
type Share struct {
	Volume   string      `json:"volume"`
	To       wire.CTID   `json:"to"`
	Host     wire.HostID `json:"host"` // where that container is: no other host may
	ReadOnly bool        `json:"readOnly,omitempty"`
}

// Object is what a host calls a mount where it tells of trouble with it.
func Object(id wire.CTID, name string) string {
	return fmt.Sprintf("mount %s of container %s", name, id)
}

// reserved are the places in a container that are its host's.
var reserved = []string{"/proc", "/sys", "/dev", "/run"}

// written are the files that a container's host writes in it at each start: nothing is mounted there, nor in place of their folder.
var written = []string{"/etc/hostname", "/etc/hosts", "/etc/resolv.conf"}

// ValidatePath says why nothing of others, and no volume, is mounted at a path of a container, or nil.
func ValidatePath(at string) error {
	if err := outside(at); err != nil {
		return err
	}
	for _, w := range written {
		if at == path.Dir(w) || at == w || strings.HasPrefix(at, w+"/") {
			return fmt.Errorf("path %q: the host writes %s there, and programs look for the image's users and settings; mount below it, "+
				"as at /etc/app", at, w)
		}
	}
	return nil
}

// outside says why a path is none that the host's own lie beside, or nil.
func outside(at string) error {
	if !path.IsAbs(at) || path.Clean(at) != at || at == "/" || len(at) > maxPath || strings.ContainsFunc(at, unicode.IsControl) {
		return fmt.Errorf("path %.200q is not an absolute, clean one below /, of at most %d bytes", at, maxPath)
	}
	for _, r := range reserved {
		if at == r || strings.HasPrefix(at, r+"/") {
			return fmt.Errorf("path %q: %s belongs to the host", at, r)
		}
	}
	return nil
}

// maxPath is how long a path may be.
const maxPath = 1024

// Validate says why a container can't have its mounts, or nil.
func Validate(id wire.CTID, list []Mount) error {
	if len(list) > Max {
		return fmt.Errorf("there are %d mounts, at most %d are allowed", len(list), Max)
	}
	names := map[string]bool{}
	for i, m := range list {
		switch {
		case wire.Label("mount", m.Name, 40) != nil:
			return wire.Label("mount", m.Name, 40)
		case names[m.Name]:
			return fmt.Errorf("mount %q: is there twice", m.Name)
		case outside(m.Path) != nil: // not ValidatePath: one that can't be mounted is no reason to do nothing on a host
			return fmt.Errorf("mount %q: %v", m.Name, outside(m.Path))
		case m.From < 1 || m.From == id:
			return fmt.Errorf("mount %q: want the number of another container, not %d", m.Name, m.From)
		case m.Host.Validate() != nil:
			return fmt.Errorf("mount %q: %v", m.Name, m.Host.Validate())
		case wire.Label("volume", m.Volume, 40) != nil:
			return fmt.Errorf("mount %q: %v", m.Name, wire.Label("volume", m.Volume, 40))
		}
		for _, o := range list[:i] {
			if Overlap(o.Path, m.Path) {
				return fmt.Errorf("mounts %q and %q: one lies in the other", o.Path, m.Path)
			}
		}
		names[m.Name] = true
	}
	return nil
}

// ValidateShares says why a container's volumes can't be mounted by those, or nil.
func ValidateShares(id wire.CTID, list []Share) error {
	if len(list) > MaxShares {
		return fmt.Errorf("there are %d shares, at most %d are allowed", len(list), MaxShares)
	}
	for _, s := range list {
		switch {
		case wire.Label("volume", s.Volume, 40) != nil:
			return fmt.Errorf("share: %v", wire.Label("volume", s.Volume, 40))
		case s.To < 1 || s.To == id:
			return fmt.Errorf("share of volume %q: want the number of another container, not %d", s.Volume, s.To)
		case s.Host.Validate() != nil:
			return fmt.Errorf("share of volume %q: %v", s.Volume, s.Host.Validate())
		}
	}
	return nil
}

// Overlap tells whether two paths are one, or one lies in the other.
func Overlap(a, b string) bool {
	return a == b || strings.HasPrefix(a, b+"/") || strings.HasPrefix(b, a+"/")
}
