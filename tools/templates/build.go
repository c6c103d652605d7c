package main

import (
	"fmt"
	"time"

	"hardnode.dev/tools/templates/recipe"
)

// assemble builds one template and writes its layout.
func assemble(s recipe.Recipe, dir, layoutDir string, debs []deb, say func(string, ...any)) (built, error) {
	b := built{Packages: map[string]string{}}
	var download int64
	for _, d := range debs {
		b.Packages[d.name] = d.version
		download += d.bytes
	}
	b.Version = b.Packages[s.Debian.VersionOf]
	say("%d packages, %.1f MiB as downloaded", len(debs), mib(download))
	packages, own, err := gather(s, dir, debs)
	if err != nil {
		return b, err
	}
	b.Unpacked = packages.size() + own.size()
	if b.Unpacked > s.Debian.LimitMiB<<20 {
		return b, fmt.Errorf("%s has %.1f MiB unpacked, at most %d are allowed: take less of its packages", s.Name, mib(b.Unpacked),
			s.Debian.LimitMiB)
	}
	var layers []zstdLayer
	created := time.Unix(0, 0)
	for _, t := range []tree{packages, own} {
		raw, err := t.archive()
		if err != nil {
			return b, err
		}
		l, err := newLayer(raw)
		if err != nil {
			return b, err
		}
		for _, i := range t {
			if i.head.ModTime.After(created) {
				created = i.head.ModTime
			}
		}
		b.Packed += int64(len(l.packed))
		layers = append(layers, l)
	}
	img, err := makeImage(s, b.Version, created.UTC().Truncate(time.Second), layers,
		[]string{"files of Debian packages", "files of the template"})
	if err != nil {
		return b, err
	}
	d, err := img.Digest()
	if err != nil {
		return b, fmt.Errorf("hash image: %v", err)
	}
	b.Digest = d.String()
	return b, writeLayout(layoutDir, img, "latest")
}
