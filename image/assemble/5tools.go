package assemble

import (
	"context"

	"hardnode.dev/image/debian"
)

// tool is a Debian program carried with its libraries.
type tool struct {
	Package  string
	Programs []string
	Reason   string
}

// hostTools are the only foreign programs on a host; no libc is there but theirs.
var hostTools = []tool{
	{"btrfs-progs", []string{"sbin/mkfs.btrfs"}, "hosts format blank disks"},
}

// Tools fetches tools and what they link against. It returns the files and the packages they are of.
func (b Builder) Tools(ctx context.Context, tools []tool) (files []debian.File, pkgs []debian.Package, err error) {
	for _, t := range tools {
		f, p, err := b.archive().Program(ctx, t.Package, t.Programs...)
		if err != nil {
			return nil, nil, err
		}
		files, pkgs = append(files, f...), append(pkgs, p...)
	}
	return files, pkgs, nil
}
