package filecopy

import (
	"archive/tar"
	"maps"
	"os"
	"slices"
	"strings"
)

// attribute is the key of an extended attribute's value in a PAX header, without its name: as GNU tar and star have it.
const attribute = "SCHILY.xattr."

// The most of one file's attributes, as far as the kernel would take them (xattr(7)).
const (
	maxAttributes = 64
	maxAttribute  = 64 << 10 // bytes of all values
)

// kept tells whether an attribute is copied: what belongs to the file's owner, and with owners also what speaks of them. No stream may set
// another one: trusted.* and the rest of security.* are the system's.
func kept(name string, owners bool) bool {
	switch name {
	case "security.capability", "system.posix_acl_access", "system.posix_acl_default":
		return owners
	}
	return strings.HasPrefix(name, "user.") && len(name) > len("user.") && len(name) < 256 && !strings.ContainsAny(name, "=\x00")
}

// attributes puts a file's attributes into its header.
func (p *packer) attributes(f *os.File, h *tar.Header) {
	names, err := listAttributes(f)
	if err != nil {
		p.complaints.say("%q has attributes that are left out: %v", f.Name(), err)
	}
	slices.Sort(names)
	size, all := 0, map[string]string{}
	for _, name := range names {
		if !kept(name, p.owners) {
			continue
		}
		value, err := getAttribute(f, name)
		if size += len(value); err == nil && len(all) < maxAttributes && size <= maxAttribute {
			all[attribute+name] = value
		} else if err != nil {
			p.complaints.say("%q: attribute %s is left out: %v", f.Name(), name, err)
		} else {
			p.complaints.say("%q: attribute %s is left out: it has more than %d, or %d bytes of them", f.Name(), name, maxAttributes,
				maxAttribute)
		}
	}
	if len(all) > 0 {
		h.PAXRecords = all
	}
}

// attributes gives a file those of its header, as far as a stream may. What can't be set is a complaint: its content is there.
func (u *unpacker) attributes(f *os.File, rel string, h *tar.Header) {
	size, n := 0, 0
	for _, key := range slices.Sorted(maps.Keys(h.PAXRecords)) {
		name, ok := strings.CutPrefix(key, attribute)
		if !ok || !kept(name, true) {
			continue // the system's own, or nothing to set
		}
		value := h.PAXRecords[key]
		n++
		size += len(value)
		if !kept(name, u.o.Owners) {
			continue
		}
		if n > maxAttributes || size > maxAttribute {
			u.complaints.say("%q: attribute %s is left out: it has more than %d, or %d bytes of them", u.shown(rel), name, maxAttributes,
				maxAttribute)
			return
		}
		if err := setAttribute(f, name, value); err != nil {
			u.complaints.say("%q: attribute %s is left out: %v", u.shown(rel), name, err)
		}
	}
}
