package container

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/sys"
	"hardnode.dev/internal/wire/host"
)

// account is who a process runs as.
type account struct {
	uid, gid uint32
	groups   []uint32 // supplementary
	home     string   // "/" for one that /etc/passwd does not know, as common engines have it
}

// maxAccounts is how much of a container's /etc/passwd and /etc/group is read, in bytes.
const maxAccounts = 1 << 20

// accountFile reads a file of a root that may be an attacker's: inside it, a regular one, a part of it. A missing one is empty.
func accountFile(root *os.File, path string) string {
	f, err := sys.OpenIn(root, path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY)
	if err != nil {
		return ""
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return ""
	}
	b, _ := io.ReadAll(io.LimitReader(f, maxAccounts))
	return string(b)
}

// accountOf looks a user up in a root: "name", "name:group", "uid" or "uid:gid".
func accountOf(root *os.File, user string) (account, error) {
	return findAccount(accountFile(root, "/etc/passwd"), accountFile(root, "/etc/group"), user)
}

// findAccount is the rule of OCI image-spec, config.md, "User": a user named without a group has the group of passwd and the
// supplementary groups that list it; a named group is the only one.
func findAccount(passwd, group, user string) (account, error) {
	name, groupName, named := strings.Cut(user, ":")
	named = named && groupName != ""
	a := account{home: "/"}
	row := accountRow(passwd, name, 7)
	n, err := strconv.ParseUint(name, 10, 32)
	switch {
	case row != nil:
		uid, uerr := strconv.ParseUint(row[2], 10, 32)
		gid, gerr := strconv.ParseUint(row[3], 10, 32)
		if uerr != nil || gerr != nil {
			return a, fmt.Errorf("user %.40q: %w: its numbers in /etc/passwd are none", name, ErrInvalid)
		}
		a.uid, a.gid = uint32(uid), uint32(gid)
		if strings.HasPrefix(row[5], "/") {
			a.home = row[5]
		}
	case err != nil:
		return a, fmt.Errorf("user %.40q: %w: is not in the container's /etc/passwd", name, ErrInvalid)
	default:
		a.uid = uint32(n)
	}
	if named {
		a.groups = nil
		if g := accountRow(group, groupName, 3); g != nil {
			groupName = g[2]
		}
		gid, err := strconv.ParseUint(groupName, 10, 32)
		if err != nil {
			return a, fmt.Errorf("group %.40q: %w: is not in the container's /etc/group", groupName, ErrInvalid)
		}
		a.gid = uint32(gid)
		return a, nil
	}
	if row == nil {
		return a, nil
	}
	for line := range strings.Lines(group) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) < 4 || !slices.Contains(strings.Split(f[3], ","), row[0]) || len(a.groups) == host.MaxGroups {
			continue
		}
		if gid, err := strconv.ParseUint(f[2], 10, 32); err == nil && !slices.Contains(a.groups, uint32(gid)) {
			a.groups = append(a.groups, uint32(gid))
		}
	}
	return a, nil
}

// accountRow finds the row of a name, or else of a number.
func accountRow(text, key string, fields int) []string {
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
