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

// Tools fetches tools and what they link against.
func (b Builder) Tools(ctx context.Context, tools []tool) ([]debian.File, error) {
	var files []debian.File
	for _, t := range tools {
		f, _, err := b.archive().Program(ctx, t.Package, t.Programs...)
		if err != nil {
			return nil, err
		}
		files = append(files, f...)
	}
	return files, nil
}
