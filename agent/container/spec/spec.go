// Package spec says what a container may ask for: what makes a spec impossible on any host.
//
// Owns: the places inside a container that are the host's, and the names of its own files there.
// In: a wanted container, the ids it has on this host: plain values.
// Out: errors that wrap fault.ErrInvalid; the hash by which files are compared.
// Never: looks at this host, or changes a spec.
package spec

import (
	"fmt"
	"path"
	"strings"

	"hardnode.dev/agent/container/fault"
	"hardnode.dev/agent/container/profile"
	"hardnode.dev/agent/spawner/call"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/mount"
)

// Check says what makes a spec impossible on any host; the errors wrap fault.ErrInvalid.
func Check(s host.Container, ids call.IDs) error {
	bad := func(format string, a ...any) error {
		return fmt.Errorf("container %s: %w: "+format, append([]any{s.CTID, fault.ErrInvalid}, a...)...)
	}
	switch {
	case s.CTID < 1:
		return bad("ctid is not positive")
	case s.Generation < 0:
		return bad("generation %d is negative", s.Generation)
	case ids.Base%65536 != 0:
		return bad("uid base %d: want a multiple of 65536", ids.Base)
	case ids.Validate() != nil:
		return bad("uid %v", ids.Validate())
	case s.Profile != host.ProfileApp && s.Profile != host.ProfileSystem:
		return bad("profile %q: want %q or %q", s.Profile, host.ProfileApp, host.ProfileSystem)
	case s.Profile == host.ProfileApp && (len(s.Process.Argv) == 0 || s.Process.Argv[0] == ""):
		return bad("process has no program")
	case s.Process.Cwd != "" && !path.IsAbs(s.Process.Cwd):
		return bad("working directory %q: want an absolute path", s.Process.Cwd)
	}
	for _, id := range append([]uint32{s.Process.UID, s.Process.GID}, s.Process.Groups...) {
		if !s.Image.Has(id) {
			return bad("%v", NoID(s.Image, id))
		}
	}
	if err := wire.Label("host name", s.Hostname, 63); err != nil {
		return bad("%v", err)
	}
	if err := s.Image.Digest.Validate(); err != nil {
		return bad("image: %v", err)
	}
	if _, err := profile.StopSignal(s.Process, s.Profile); err != nil {
		return bad("%v", err)
	}
	for k := range s.Process.Env {
		if k == "" || strings.ContainsAny(k, "=\x00") {
			return bad("environment variable %q: is no name", k)
		}
	}
	names := map[string]bool{}
	for _, v := range s.Volumes {
		if err := wire.Label("volume name", v.Name, 63); err != nil {
			return bad("%v", err)
		}
		if names[v.Name] {
			return bad("volume %q: is named twice", v.Name)
		}
		names[v.Name] = true
		if err := mount.ValidatePath(v.Path); err != nil {
			return bad("volume %q: %v", v.Name, err)
		}
	}
	for _, m := range s.Mounts {
		if err := mount.ValidatePath(m.Path); err != nil {
			return bad("mount %q: %v", m.Name, err)
		}
		for _, v := range s.Volumes {
			if mount.Overlap(m.Path, v.Path) {
				return bad("mount %q at %q and volume %q at %q: one lies in the other", m.Name, m.Path, v.Name, v.Path)
			}
		}
	}
	for _, f := range s.Files {
		if _, err := FilePath(f.Path); err != nil {
			return bad("%v", err)
		}
	}
	return nil
}

// NoID says that a container of the image has no such user or group.
func NoID(i host.Image, id uint32) error {
	s := "0 to 65535"
	for _, b := range i.IDBlocks {
		s += fmt.Sprintf(", %d to %d", uint32(b)<<16, uint32(b)<<16|0xffff)
	}
	return fmt.Errorf("user or group number %d: containers of this image have the numbers %s", id, s)
}

// PrivateDir is where Files, the identity socket and JEM are.
const PrivateDir = "/run/hardnode"

// own are the names in privateDir that files may not take.
const (
	JEM      = "jem"
	Identity = "identity.sock"
	Notify   = "notify.sock"
)

// FilePath is a File's path relative to privateDir.
func FilePath(p string) (string, error) {
	rel, ok := strings.CutPrefix(p, PrivateDir+"/")
	switch {
	case !ok || path.Clean(p) != p || rel == "":
		return "", fmt.Errorf("file %q: want a clean path below %s/", p, PrivateDir)
	case rel == JEM || rel == Identity || rel == Notify:
		return "", fmt.Errorf("file %q: the name is taken", p)
	}
	return rel, nil
}
