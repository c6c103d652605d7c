// Package account finds who a process of a container runs as.
//
// Owns: the rule by which a user is looked up (OCI image-spec, config.md, "User"), and how much of a container's files is read for it.
// In: the root of a container, which may be an attacker's; a user's name or number.
// Out: numbers as the container has them, and a home.
// Never: follows a link out of the root, or trusts that the files are small.
package account

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/container/fault"
	"hardnode.dev/agent/sys"
	"hardnode.dev/internal/wire/host"
)

// Account is who a process runs as.
type Account struct {
	UID, GID uint32
	Groups   []uint32 // supplementary
	Home     string   // "/" for one that /etc/passwd does not know, as common engines have it
}

// maxBytes is how much of a container's /etc/passwd and /etc/group is read, in bytes.
const maxBytes = 1 << 20

// File reads a file of a root that may be an attacker's: inside it, a regular one, a part of it. A missing one is empty.
func File(root *os.File, path string) string { return file(root, path, sys.OpenIn) }

func file(root *os.File, path string, open opener) string {
	f, err := open(root, path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY)
	if err != nil {
		return ""
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return ""
	}
	b, _ := io.ReadAll(io.LimitReader(f, maxBytes))
	return string(b)
}

type opener func(root *os.File, path string, flags int) (*os.File, error)

// Of looks a user up in a root: "name", "name:group", "uid" or "uid:gid". mounts: it has mounts that this program answers for, and
// only the root's own file system is looked at.
func Of(root *os.File, user string, mounts bool) (Account, error) {
	open := opener(sys.OpenIn)
	if mounts {
		open = sys.OpenOn
	}
	return Find(file(root, "/etc/passwd", open), file(root, "/etc/group", open), user)
}

// Find is the rule of OCI image-spec, config.md, "User": a user named without a group has the group of passwd and the
// supplementary groups that list it; a named group is the only one.
func Find(passwd, group, user string) (Account, error) {
	name, groupName, named := strings.Cut(user, ":")
	named = named && groupName != ""
	a := Account{Home: "/"}
	row := rowOf(passwd, name, 7)
	n, err := strconv.ParseUint(name, 10, 32)
	switch {
	case row != nil:
		uid, uerr := strconv.ParseUint(row[2], 10, 32)
		gid, gerr := strconv.ParseUint(row[3], 10, 32)
		if uerr != nil || gerr != nil {
			return a, fmt.Errorf("user %.40q: %w: its numbers in /etc/passwd are none", name, fault.ErrInvalid)
		}
		a.UID, a.GID = uint32(uid), uint32(gid)
		if strings.HasPrefix(row[5], "/") {
			a.Home = row[5]
		}
	case err != nil:
		return a, fmt.Errorf("user %.40q: %w: is not in the container's /etc/passwd", name, fault.ErrInvalid)
	default:
		a.UID = uint32(n)
	}
	if named {
		a.Groups = nil
		if g := rowOf(group, groupName, 3); g != nil {
			groupName = g[2]
		}
		gid, err := strconv.ParseUint(groupName, 10, 32)
		if err != nil {
			return a, fmt.Errorf("group %.40q: %w: is not in the container's /etc/group", groupName, fault.ErrInvalid)
		}
		a.GID = uint32(gid)
		return a, nil
	}
	if row == nil {
		return a, nil
	}
	for line := range strings.Lines(group) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) < 4 || !slices.Contains(strings.Split(f[3], ","), row[0]) || len(a.Groups) == host.MaxGroups {
			continue
		}
		if gid, err := strconv.ParseUint(f[2], 10, 32); err == nil && !slices.Contains(a.Groups, uint32(gid)) {
			a.Groups = append(a.Groups, uint32(gid))
		}
	}
	return a, nil
}

// rowOf finds the row of a name, or else of a number.
func rowOf(text, key string, fields int) []string {
	for _, column := range []int{0, 2} {
		for line := range strings.Lines(text) {
			row := strings.Split(strings.TrimSpace(line), ":")
			if len(row) >= fields && row[column] == key {
				return row
			}
		}
	}
	return nil
}
