package assemble

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"hardnode.dev/image/debian"
)

// Image builds everything, both profiles.
func (b Builder) Image(ctx context.Context) error {
	k, tree, err := b.Kernel(ctx)
	if err != nil {
		return err
	}
	if err := b.Modules(k, tree); err != nil {
		return err
	}
	s := Stamp(ctx)
	bin, err := b.allPrograms(ctx, s)
	if err != nil {
		return err
	}
	for _, must := range []string{stage1Pkg, "init"} {
		if bin[must] == "" {
			return fmt.Errorf("build the root: folder %q has no program", must)
		}
	}
	bb, err := b.Rescue(ctx)
	if err != nil {
		return err
	}
	tools, pkgs, err := b.Tools(ctx, hostTools)
	if err != nil {
		return err
	}
	root, err := b.Root(ctx, k, s, bin, bb, tools, pkgs)
	if err != nil {
		return err
	}
	first, err := b.Stage1(bin[stage1Pkg])
	if err != nil {
		return err
	}
	second, err := b.RootPart(root)
	if err != nil {
		return err
	}
	third, err := b.Components(ctx, bin)
	if err != nil {
		return err
	}
	if err := b.Initrd("host.initrd", first, second); err != nil {
		return err
	}
	if err := b.Initrd("infra.initrd", first, second, third); err != nil {
		return err
	}
	if err := b.Cmdline(); err != nil {
		return err
	}
	if err := b.UKI(ctx, "host", k, s, first, second); err != nil {
		return err
	}
	if err := b.UKI(ctx, "infra", k, s, first, second, third); err != nil {
		return err
	}
	inside, err := b.inside(bin, bb, tools)
	if err != nil {
		return err
	}
	return b.Sizes([]Part{first, second}, []Part{third}, inside)
}

func (b Builder) allPrograms(ctx context.Context, s Stamped) (map[string]string, error) {
	dirs := []string{stage1Pkg}
	for _, p := range programs {
		dirs = append(dirs, p.Pkg)
	}
	for _, c := range components {
		dirs = append(dirs, c.Pkg)
	}
	bin, missing, err := b.Programs(ctx, s, dirs)
	if len(missing) > 0 {
		b.Log("not in this tree, so not in the image: %s", strings.Join(missing, ", "))
	}
	return bin, err
}

// inside lists what root.erofs is made of.
func (b Builder) inside(bin map[string]string, bb string, tools []debian.File) ([]row, error) {
	var rows []row
	add := func(name string, paths ...string) error {
		r := row{name: name}
		for _, p := range paths {
			st, err := os.Stat(p)
			if err != nil {
				return fmt.Errorf("measure %s: %v", name, err)
			}
			r.bytes += int(st.Size())
		}
		rows = append(rows, r)
		return nil
	}
	for _, p := range programs {
		if path, ok := bin[p.Pkg]; ok {
			if err := add(p.Pkg, path); err != nil {
				return nil, err
			}
		}
	}
	if err := add("rescue busybox", bb); err != nil {
		return nil, err
	}
	var paths []string
	for _, f := range tools {
		paths = append(paths, f.Source)
	}
	if err := add("mkfs.btrfs with its libraries", paths...); err != nil {
		return nil, err
	}
	mods, err := filepath.Glob(b.in("modules", "*.ko"))
	if err != nil {
		return nil, err
	}
	return rows, add("modules", mods...)
}
