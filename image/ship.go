package main

import (
	"context"
	"debug/buildinfo"
	"fmt"
	"maps"
	"path/filepath"
	"strconv"

	"hardnode.dev/image/assemble"
	"hardnode.dev/image/release"
	wire "hardnode.dev/internal/wire/release"
)

// shipped builds for all targets, and writes the release's folder, whose path it returns.
func shipped(ctx context.Context, b assemble.Builder, about release.Description) (string, error) {
	c := release.Content{Description: about}
	var err error
	if c.Time, err = strconv.ParseInt(b.Stamp.Time, 10, 64); err != nil {
		return "", fmt.Errorf("read the commit's time: %v", err)
	}
	all := assemble.Built{Programs: map[string]string{}}
	for _, t := range []struct {
		target assemble.Target
		name   wire.Target
	}{{assemble.VM, wire.VM}, {assemble.Metal, wire.Metal}} {
		b.Target = t.target
		built, err := b.Image(ctx)
		if err != nil {
			return "", err
		}
		c.Files = append(c.Files, bootFiles(filepath.Join(b.Out, t.target.Folder), t.name, built)...)
		maps.Copy(all.Programs, built.Programs)
		all.Packages, all.Components = append(all.Packages, built.Packages...), built.Components
		all.Images, all.LeftOut = built.Images, append(all.LeftOut, built.LeftOut...)
	}
	for name, path := range all.Images {
		c.Files = append(c.Files, release.File{Name: name + ".erofs", Kind: wire.Component, Source: path})
	}
	hnctl, pkg, err := b.Hnctl(ctx)
	if err != nil {
		return "", err
	}
	all.Programs[pkg] = hnctl
	notices, err := b.Notices(ctx, b.Cached("release.NOTICES"), all.Packages, pkg)
	if err != nil {
		return "", err
	}
	var debs []release.Deb
	for _, p := range all.Packages {
		sources, err := b.Sources(ctx, p)
		if err != nil {
			return "", err
		}
		debs = append(debs, release.Deb{Name: p.Name, Version: p.Version, SHA256: p.SHA256,
			Source: sources[0].Name + " " + sources[0].Version})
	}
	programs := map[string]*buildinfo.BuildInfo{}
	for folder, binary := range all.Programs {
		if programs[folder], err = buildinfo.ReadFile(binary); err != nil {
			return "", fmt.Errorf("read what the program of %q is built from: %v", folder, err)
		}
	}
	sbom, err := release.SBOM(release.Parts{Version: about.Version, Time: c.Time, Programs: programs, Debs: debs})
	if err != nil {
		return "", err
	}
	c.Components, c.LeftOut = all.Components, all.LeftOut
	c.Files = append(c.Files, release.File{Name: "hnctl", Kind: wire.Program, Source: hnctl},
		release.File{Name: wire.NoticesFile, Kind: wire.Document, Source: notices},
		release.File{Name: wire.SBOMFile, Kind: wire.Document, Data: sbom})
	dir := filepath.Join(b.Out, "release", string(about.Version))
	m, err := release.Write(dir, c)
	if err != nil {
		return "", err
	}
	for _, a := range m.Artefacts {
		b.Log("release: %-22s %7.1f MiB", a.Name, float64(a.Bytes)/(1<<20))
	}
	for _, l := range m.LeftOut {
		b.Log("left out: %s", l)
	}
	b.Log("release %s: %s", m.Release, dir)
	return dir, nil
}

// bootFiles are those that a target's build made in dir.
func bootFiles(dir string, target wire.Target, built assemble.Built) []release.File {
	file := func(name string, kind wire.Kind, profile wire.Profile) release.File {
		return release.File{Name: string(target) + "-" + name, Kind: kind, Target: target, Profile: profile,
			Source: filepath.Join(dir, name)}
	}
	list := []release.File{file("vmlinuz", wire.Kernel, ""), file("cmdline", wire.Cmdline, "")}
	for _, p := range []wire.Profile{wire.Host, wire.Infra} {
		initrd, uki := file(string(p)+".initrd", wire.Initrd, p), file(string(p)+".efi", wire.UKI, p)
		initrd.Root, uki.Root, uki.Parts = built.Root, built.Root, built.Parts[p]
		list = append(list, initrd, uki)
	}
	return list
}

// differ says where two folders of releases differ first.
func differ(a, b string) error {
	where, err := release.Differ(a, b)
	if err == nil && where != "" {
		err = fmt.Errorf("the folders differ: %s", where)
	}
	if err == nil {
		fmt.Printf("image: %s and %s are the same\n", a, b)
	}
	return err
}
