package fork

import (
	"strings"

	"golang.org/x/sys/unix"
)

// How paths inside a container's tree are resolved. The image, a volume and a running container are the attacker: nothing is resolved
// by string twice, and nothing leads out of the tree.
const (
	// our own mounts: not even symlinks
	resolveStrict = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV
	resolveTree   = unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS // volumes: symlinks of the image stay in its root
)

const mountQuiet = unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC

// openat2 opens path below dir.
func (p *Prog) openat2(what string, dir Slot, path string, flags, mode, resolve uint64) Step {
	how := object(p, unix.OpenHow{Flags: flags | unix.O_CLOEXEC, Mode: mode, Resolve: resolve}, hex(flags)+"/"+hex(resolve))
	return p.Call(what, unix.SYS_OPENAT2, dir, path, how, unix.SizeofOpenHow)
}

// newfs makes a filesystem that is mounted nowhere yet.
func (p *Prog) newfs(kind string, attrs int, opts ...string) Slot {
	fs := p.Call("fsopen", unix.SYS_FSOPEN, kind, unix.FSOPEN_CLOEXEC).Into()
	for _, o := range opts {
		k, v, valued := strings.Cut(o, "=")
		if valued {
			p.Call("set option of "+kind, unix.SYS_FSCONFIG, fs, unix.FSCONFIG_SET_STRING, k, v, 0)
		} else {
			p.Call("set option of "+kind, unix.SYS_FSCONFIG, fs, unix.FSCONFIG_SET_FLAG, k, 0, 0)
		}
	}
	p.Call("create "+kind, unix.SYS_FSCONFIG, fs, unix.FSCONFIG_CMD_CREATE, 0, 0, 0)
	m := p.Call("fsmount "+kind, unix.SYS_FSMOUNT, fs, unix.FSMOUNT_CLOEXEC, attrs).Into()
	p.closeSlot(fs)
	return m
}

// attach moves a mount onto name in dir, which must be a plain name.
func (p *Prog) attach(what string, tree any, dir Slot, name string) {
	p.Call("attach "+what, unix.SYS_MOVE_MOUNT, tree, "", dir, name, unix.MOVE_MOUNT_F_EMPTY_PATH)
}

// attachOn moves a mount onto what target refers to.
func (p *Prog) attachOn(what string, tree any, target Slot) {
	p.Call("attach "+what, unix.SYS_MOVE_MOUNT, tree, "", target, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
}

// point makes a directory in root and opens it; one of the image that is a symlink or something else ends the start (CVE-2019-19921,
// CVE-2026-41579).
func (p *Prog) point(root Slot, name string, mode int) Slot {
	say := "the image's /" + name + " must be a directory, not a link or a file"
	p.Call("make directory", unix.SYS_MKDIRAT, root, name, mode).Allow(unix.EEXIST).Say(say)
	return p.openat2("open mount point", root, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0, resolveStrict).Say(say).Into()
}

// place is point for what may be a link to a directory of the image: it is followed inside the root, and through nothing mounted there.
func (p *Prog) place(root Slot, name string, mode int) Slot {
	say := "the image's /" + name + " must be a directory or a link to a directory of the image"
	p.Call("make directory", unix.SYS_MKDIRAT, root, name, mode).Allow(unix.EEXIST).Say(say)
	return p.openat2("open mount point", root, name, unix.O_PATH|unix.O_DIRECTORY, 0, resolveTree|unix.RESOLVE_NO_XDEV).Say(say).Into()
}

// clone copies the mount at path (relative to dir), attached nowhere.
func (p *Prog) clone(dir any, path string) Slot {
	return p.Call("copy mount", unix.SYS_OPEN_TREE, dir, path, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_SYMLINK_NOFOLLOW).Into()
}

// mkdirAll makes path below root, resolving each part inside root, and opens the last one.
func (p *Prog) mkdirAll(root Slot, path string) Slot {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	at := root
	say := "/" + strings.Trim(path, "/") + " must be a directory, or one that can be made, in the image"
	for i, name := range parts {
		p.Call("make directory", unix.SYS_MKDIRAT, at, name, 0o755).Allow(unix.EEXIST).Say(say)
		next := p.openat2("open", root, strings.Join(parts[:i+1], "/"), unix.O_PATH|unix.O_DIRECTORY, 0, resolveTree).Say(say).Into()
		if at != root {
			p.closeSlot(at)
		}
		at = next
	}
	return at
}
