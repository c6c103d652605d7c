package assemble

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"hardnode.dev/image/debian"
	"hardnode.dev/image/kmod"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/release"
)

// Built is what an image is made of.
type Built struct {
	Programs   map[string]string // folder → binary
	Components []boot.BundledImage
	Images     map[string]string // of the components: name → file
	Root       wire.Digest       // of the root's filesystem image
	Packages   []debian.Package  // of Debian's, that have files in the image or on its media
	LeftOut    []string          // what it would carry if it had been found
	Parts      map[release.Profile]release.Parts
}

// Image builds everything, both profiles.
func (b Builder) Image(ctx context.Context) (Built, error) {
	k, tree, err := b.Kernel(ctx)
	if err != nil {
		return Built{}, err
	}
	if err := b.Modules(k, tree); err != nil {
		return Built{}, err
	}
	bin, err := b.allPrograms(ctx)
	if err != nil {
		return Built{}, err
	}
	for _, must := range []string{stage1Pkg, "init"} {
		if bin[must] == "" {
			return Built{}, fmt.Errorf("build the root: folder %q has no program", must)
		}
	}
	bb, err := b.Rescue(ctx)
	if err != nil {
		return Built{}, err
	}
	tools, pkgs, err := b.Tools(ctx, hostTools)
	if err != nil {
		return Built{}, err
	}
	stub, stubPkg, err := b.Stub(ctx)
	if err != nil {
		return Built{}, err
	}
	loaders, err := b.Loaders(ctx)
	if err != nil {
		return Built{}, err
	}
	netFiles, netPkg, err := b.netLoaders(ctx)
	if err != nil {
		return Built{}, err
	}
	fw, err := b.Firmware(ctx)
	if err != nil {
		return Built{}, err
	}
	for _, l := range fw.LeftOut {
		b.Log("left out: %s", l)
	}
	out := Built{Programs: bin, LeftOut: fw.LeftOut,
		Packages: slices.Concat(pkgs, []debian.Package{k.Package, stubPkg, netPkg}, loaders, fw.Packages)}
	root, inRoot, err := b.Root(ctx, k, bin, bb, slices.Concat(tools, fw.Files), out.Packages)
	if err != nil {
		return Built{}, err
	}
	sum, err := fileDigest(root)
	if err != nil {
		return Built{}, err
	}
	out.Root = wire.Digest("sha256:" + sum)
	first, err := b.Stage1(bin[stage1Pkg])
	if err != nil {
		return Built{}, err
	}
	second, err := b.RootPart(root)
	if err != nil {
		return Built{}, err
	}
	third, index, err := b.Components(ctx, bin, netFiles)
	if err != nil {
		return Built{}, err
	}
	out.Components, out.Images = index, map[string]string{}
	for _, c := range components {
		if bin[c.Pkg] != "" {
			out.Images[c.Name] = b.componentFile(c.Name)
		}
	}
	made := map[release.Part][]Part{release.Stage1: {first}, release.Microcode: fw.Microcode}
	hostParts, err := b.partsOf(k, inRoot, made)
	if err != nil {
		return Built{}, err
	}
	made[release.ComponentsSet] = []Part{third}
	infraParts, err := b.partsOf(k, inRoot, made)
	if err != nil {
		return Built{}, err
	}
	out.Parts = map[release.Profile]release.Parts{release.Host: hostParts, release.Infra: infraParts}
	host, infra := slices.Concat(fw.Microcode, []Part{first, second}), []Part{third}
	if err := b.write(k, stub, system{hostParts, host}, system{infraParts, slices.Concat(host, infra)}); err != nil {
		return Built{}, err
	}
	inside, err := b.inside(bin, bb, tools, fw.Files)
	if err != nil {
		return Built{}, err
	}
	bin[rescuePkg] = bb
	return out, b.Sizes(b.Target.most(fw), host, infra, inside)
}

// OnlyKernel stops after the kernel and its modules.
func (b Builder) OnlyKernel(ctx context.Context) error {
	k, tree, err := b.Kernel(ctx)
	if err != nil {
		return err
	}
	return b.Modules(k, tree)
}

// system is what a profile boots.
type system struct {
	made   release.Parts
	initrd []Part
}

// write writes what boots: of each profile an initrd for whoever is given it with the kernel, and a UKI.
func (b Builder) write(k Kernel, stub []byte, host, infra system) error {
	if err := b.Cmdline(); err != nil {
		return err
	}
	for profile, of := range map[string]system{"host": host, "infra": infra} {
		if err := b.Initrd(profile+".initrd", of.initrd...); err != nil {
			return err
		}
		if err := b.UKI(profile, k, stub, of.made, of.initrd...); err != nil {
			return err
		}
	}
	return nil
}

func (b Builder) allPrograms(ctx context.Context) (map[string]string, error) {
	dirs := []string{stage1Pkg}
	for _, p := range programs {
		dirs = append(dirs, p.Pkg)
	}
	for _, c := range components {
		dirs = append(dirs, c.Pkg)
	}
	bin, missing, err := b.Programs(ctx, dirs)
	if len(missing) > 0 {
		b.Log("not in this tree, so not in the image: %s", strings.Join(missing, ", "))
	}
	return bin, err
}

// inside lists what root.erofs is made of.
func (b Builder) inside(bin map[string]string, bb string, tools, firmware []debian.File) ([]row, error) {
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
	for _, of := range []struct {
		name  string
		files []debian.File
	}{{"mkfs.btrfs with its libraries", tools}, {"firmware", firmware}} {
		var paths []string
		for _, f := range of.files {
			paths = append(paths, f.Source)
		}
		if len(paths) == 0 {
			continue
		}
		if err := add(of.name, paths...); err != nil {
			return nil, err
		}
	}
	mods, err := kmod.Files(b.in("modules"))
	if err != nil {
		return nil, err
	}
	return rows, add("modules", mods...)
}
