package container

import (
	"context"
	"fmt"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/container/rootfs"
	"hardnode.dev/agent/container/spec"
	"hardnode.dev/agent/spawner/call"
	"hardnode.dev/agent/sys"
)

// filesStep makes the read-only tmpfs at privateDir with the container's files, and copies of JEM's and the identity socket's mounts.
func (s *start) filesStep(context.Context) error {
	tree, err := sys.NewMount("tmpfs", sys.NoSuid|sys.NoDev, [2]string{"mode", "0755"}, [2]string{"size", "16m"})
	if err != nil {
		return err
	}
	s.done.close(tree)
	root := int(tree.Fd())
	uid, _ := s.ids().Host(s.Process.UID) // the spec was checked
	gid, _ := s.ids().Host(s.Process.GID)
	for _, f := range s.Files {
		if err := rootfs.WriteFile(root, f, uid, gid); err != nil {
			return err
		}
	}
	type bind struct{ name, from string }
	binds := []bind{{spec.JEM, s.opts.JEM}}
	if s.IdentitySocket != "" {
		binds = append(binds, bind{spec.Identity, s.IdentitySocket})
	}
	if s.systemd {
		socket, err := s.boots.Listen(s.CTID)
		if err != nil {
			return err
		}
		s.undo.add(func() error { s.boots.Drop(s.CTID); return nil })
		binds = append(binds, bind{spec.Notify, socket})
	}
	for _, b := range binds {
		fd, err := unix.Openat(root, b.name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC, 0o644)
		if err != nil {
			return fmt.Errorf("make %s/%s: %w", spec.PrivateDir, b.name, err)
		}
		unix.Close(fd)
	}
	if err := sys.Restrict(tree, sys.ReadOnly); err != nil {
		return err
	}
	s.mount(call.Mount{Path: spec.PrivateDir}, tree)
	for _, b := range binds {
		place, err := sys.Open(b.from)
		if err != nil {
			return err
		}
		attrs := uint64(sys.ReadOnly | sys.NoSuid | sys.NoDev)
		if b.name != spec.JEM {
			attrs = sys.NoSuid | sys.NoDev | sys.NoExec // connecting to a socket needs write permission
		}
		copied, err := sys.CloneMount(place, attrs)
		place.Close()
		if err != nil {
			return err
		}
		s.done.close(copied)
		s.mount(call.Mount{Path: spec.PrivateDir + "/" + b.name, File: true}, copied)
	}
	return nil
}

// ids are the container's on the host.
func (s *StartSpec) ids() call.IDs { return call.IDs{Base: s.UIDBase, Blocks: s.Image.IDBlocks} }
