package importer

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"hardnode.dev/internal/wire/host"
)

const (
	maxTable = 1 << 20 // bytes of /etc/passwd or /etc/group
	maxHome  = 1000
)

// account is who an image's process is.
type account struct {
	uid, gid uint32
	groups   []uint32
	home     string
}

// user resolves "user", "uid", "user:group", "uid:gid", "uid:group" and "user:gid" with the image's own tables (OCI image-spec, config.md,
// "User"). An empty part is as if it weren't there; no user at all is root. A group that is named stands alone; without one the user's own
// and supplementary groups apply. file gives /etc/passwd and /etc/group, nil if there is none.
func user(s string, file func(string) []byte) (account, error) {
	name, group, _ := strings.Cut(strings.TrimSpace(s), ":")
	name, group = strings.TrimSpace(name), strings.TrimSpace(group)
	a := account{home: "/"}
	if name == "" {
		name = "0"
	}
	uid, byNumber := number(name)
	found := ""
	for row := range rows(file("etc/passwd"), 6) {
		id, ok := number(row[2])
		if !ok || byNumber && id != uid || !byNumber && row[0] != name {
			continue
		}
		gid, ok := number(row[3])
		if !ok {
			return a, bad("user %.40q: its group %.40q in /etc/passwd is no number", name, row[3])
		}
		uid, a.gid, found = id, gid, row[0]
		if h := row[5]; path.IsAbs(h) && len(h) <= maxHome {
			a.home = h
		}
		break
	}
	switch {
	case found == "" && !byNumber && digits(name):
		return a, bad("user %.40q: a user number goes from 0 to %d", name, int64(1<<32-2))
	case found == "" && !byNumber:
		return a, bad("user %.40q is not in the image's /etc/passwd: name a user that is, or a number", name)
	}
	a.uid = uid
	if group != "" {
		gid, byNumber := number(group)
		if !byNumber {
			for row := range rows(file("etc/group"), 3) {
				if id, ok := number(row[2]); ok && row[0] == group {
					a.gid = id
					return a, nil
				}
			}
			if digits(group) {
				return a, bad("group %.40q: a group number goes from 0 to %d", group, int64(1<<32-2))
			}
			return a, bad("group %.40q is not in the image's /etc/group: name a group that is, or a number", group)
		}
		a.gid = gid
		return a, nil
	}
	for row := range rows(file("etc/group"), 4) {
		id, ok := number(row[2])
		if found == "" || !ok || !slices.Contains(strings.Split(row[3], ","), found) || id == a.gid || slices.Contains(a.groups, id) {
			continue
		}
		if len(a.groups) == host.MaxGroups {
			return a, bad("user %.40q is in more than %d groups", name, host.MaxGroups)
		}
		a.groups = append(a.groups, id)
	}
	return a, nil
}

// rows gives the lines of a table that have so many fields.
func rows(raw []byte, fields int) func(func([]string) bool) {
	return func(yield func([]string) bool) {
		for line := range strings.Lines(string(raw)) {
			line = strings.TrimSpace(line)
			if row := strings.Split(line, ":"); !strings.HasPrefix(line, "#") && len(row) >= fields && row[0] != "" && !yield(row) {
				return
			}
		}
	}
}

// number reads an id; the kernel's own number for "none" is none.
func number(s string) (uint32, bool) {
	n, err := strconv.ParseUint(s, 10, 32)
	return uint32(n), err == nil && n != 1<<32-1
}

func digits(s string) bool {
	return s != "" && strings.Trim(strings.TrimPrefix(s, "-"), "0123456789") == ""
}
