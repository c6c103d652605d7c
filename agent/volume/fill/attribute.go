package fill

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// kept are the extended attributes outside user. that are copied: access control lists, and capabilities of programs, which a volume's
// mount does not honour.
var kept = []string{"system.posix_acl_access", "system.posix_acl_default", "security.capability"}

// Of what an overlay says of its layers (overlayfs mounted with userxattr) this alone is about what is in them: the rest is about the file
// below, which is another one in the next image. What a container itself has set under such names begins with escaped.
const (
	overlay = "user.overlay."
	opaque  = overlay + "opaque"
	escaped = overlay + "overlay."
)

// attributes copies extended attributes (xattr(7)). Those that mean something to the host, such as trusted., are left out.
func attributes(from, to *os.File, layer bool) error {
	raw, err := whole(func(b []byte) (int, error) { return unix.Flistxattr(int(from.Fd()), b) })
	if errors.Is(err, unix.EOPNOTSUPP) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list attributes: %w", err)
	}
	for name := range strings.SplitSeq(string(raw), "\x00") {
		if !strings.HasPrefix(name, "user.") && !slices.Contains(kept, name) {
			continue
		}
		if layer && strings.HasPrefix(name, overlay) && name != opaque && !strings.HasPrefix(name, escaped) {
			continue
		}
		value, err := whole(func(b []byte) (int, error) { return unix.Fgetxattr(int(from.Fd()), name, b) })
		if err != nil {
			return fmt.Errorf("read attribute %q: %w", name, err)
		}
		if err := unix.Fsetxattr(int(to.Fd()), name, value, 0); err != nil {
			return fmt.Errorf("set attribute %q: %w", name, err)
		}
	}
	return nil
}

// whole calls get with as much room as it wants; the kernel's own bound is 64 KiB (XATTR_LIST_MAX, XATTR_SIZE_MAX).
func whole(get func([]byte) (int, error)) ([]byte, error) {
	n, err := get(nil)
	if err != nil || n == 0 {
		return nil, err
	}
	b := make([]byte, n)
	n, err = get(b)
	if err != nil {
		return nil, err
	}
	return b[:n], nil
}
