package assemble

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"hardnode.dev/image/debian"
	"hardnode.dev/internal/build"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/release"
)

// skeleton is the read-only root's directories: mount points, and the merged /usr.
var skeleton = []string{"dev", "etc", "proc", "sys", "run", "tmp", "root", "usr/bin", "usr/sbin", "usr/lib/hardnode",
	boot.StateDir, boot.DataDir, boot.ImageDir, "mnt"}

// Root makes cache/root.erofs: everything a running host has but the kernel. pkgs are all packages that the notices name. It returns the
// file and the parts of a system that lie in it.
func (b Builder) Root(ctx context.Context, k Kernel, bin map[string]string, bb string, tools []debian.File,
	pkgs []debian.Package) (string, release.Parts, error) {
	var t tree
	t.dir(0o755, skeleton...)
	t.link("bin", "usr/bin")
	t.link("sbin", "usr/sbin")
	t.link("lib", "usr/lib")
	t.link("lib64", "usr/lib64")
	t.text("etc/passwd", "root:x:0:0:root:/root:/usr/lib/hardnode/bb\n")
	t.text("etc/group", "root:x:0:\n")
	t.text("etc/hosts", "127.0.0.1 localhost\n::1 localhost\n")
	t.link("etc/resolv.conf", "/run/hardnode/resolv.conf")
	t.link("etc/mtab", "/proc/self/mounts")
	t.text("etc/os-release", osRelease(b.Stamp))
	t.text(build.File, build.Text(b.Stamp.Version, b.Stamp.Time))
	for _, p := range programs {
		if path, ok := bin[p.Pkg]; ok {
			t.file(p.Dest, path, 0o755)
		}
	}
	t.file("usr/lib/hardnode/bb", bb, 0o755)
	for _, c := range rescue {
		t.link("usr/bin/"+c, "../lib/hardnode/bb")
	}
	t.link("usr/bin/sh", "../lib/hardnode/bb")
	for _, f := range tools {
		t.file(f.Target, f.Source, modeOf(f.Target))
	}
	notices, err := b.Notices(ctx, b.kept("NOTICES"), pkgs)
	if err != nil {
		return "", nil, err
	}
	t.file(noticesFile, notices, 0o644)
	if err := t.modules(b.in("modules"), "usr/lib/modules/"+k.Release); err != nil {
		return "", nil, err
	}
	parts, err := rootParts(&t)
	if err != nil {
		return "", nil, err
	}
	image := b.kept("root.erofs")
	sum, err := t.digest()
	if err != nil {
		return "", nil, err
	}
	st := stamp{file: image + ".stamp", inputs: digest("root 2", sum), outputs: []string{image}}
	if st.fresh() {
		return image, parts, nil
	}
	if err := t.erofs(ctx, b.kept("root.stage"), image); err != nil {
		return "", nil, err
	}
	return image, parts, st.mark()
}

// modeOf is a carried file's mode: what isn't run can't be.
func modeOf(target string) os.FileMode {
	if strings.HasPrefix(target, "usr/lib/firmware/") {
		return 0o444
	}
	return 0o755
}

// modules adds the files of a flat module directory.
func (t *tree) modules(from, to string) error {
	names, err := os.ReadDir(from)
	if err != nil {
		return fmt.Errorf("list modules: %v", err)
	}
	for _, n := range names {
		t.file(to+"/"+n.Name(), filepath.Join(from, n.Name()), 0o644)
	}
	return nil
}
