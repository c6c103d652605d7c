package main

import (
	"archive/tar"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"hardnode.dev/internal/keep"
	"hardnode.dev/tools/templates/recipe"
)

// built is what the last build of a template was made of: <name>.json beside the layout.
type built struct {
	Inputs   string            `json:"inputs"`
	Digest   string            `json:"digest"` // of the OCI manifest
	Version  string            `json:"version"`
	Packages map[string]string `json:"packages"` // package → version
	Unpacked int64             `json:"unpacked"` // bytes
	Packed   int64             `json:"packed"`   // bytes
}

func build(ctx context.Context, dir, out string, fresh bool) error {
	start := time.Now()
	s, err := readSpec(dir)
	if err != nil {
		return err
	}
	say := func(format string, args ...any) { fmt.Printf("%s: %s\n", s.Name, fmt.Sprintf(format, args...)) }
	debs, err := fetch(ctx, filepath.Join(out, "packages"), s.Debian.Names(), fresh, say)
	if err != nil {
		return err
	}
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %v", err)
	}
	in, err := inputs(program, dir, s, debs)
	if err != nil {
		return err
	}
	layoutDir, record := filepath.Join(out, string(s.Name)), filepath.Join(out, string(s.Name)+".json")
	again := fresh && s.Debian.Whole != nil // what it was installed of is not among the inputs
	if old, ok := last(record); ok && !again && old.Inputs == in && exists(filepath.Join(layoutDir, "index.json")) {
		say("up to date, %s, %s", old.Version, old.Digest)
		return nil
	}
	b, err := assemble(ctx, s, dir, layoutDir, debs, say)
	if err != nil {
		return err
	}
	b.Inputs = in
	raw, err := json.MarshalIndent(b, "", "  ")
	if err != nil {
		return fmt.Errorf("record build: %v", err)
	}
	if err := keep.WriteFile(record, append(raw, '\n'), 0o644); err != nil {
		return err
	}
	say("%s in %s, %s", b.Version, layoutDir, b.Digest)
	say("%.1f MiB unpacked (limit %d), %.1f MiB packed, %s", mib(b.Unpacked), s.Debian.LimitMiB, mib(b.Packed),
		time.Since(start).Round(10*time.Millisecond))
	return nil
}

// assemble builds one template and writes its layout.
func assemble(ctx context.Context, s recipe.Recipe, dir, layoutDir string, debs []deb, say func(string, ...any)) (built, error) {
	b := built{Packages: map[string]string{}}
	var layers [][]byte
	var err error
	created := epoch
	if s.Debian.Whole != nil {
		layers, b.Version, err = whole(ctx, s, dir, say)
	} else {
		layers, created, err = picked(s, dir, debs, &b, say)
	}
	if err != nil {
		return b, err
	}
	var packed []zstdLayer
	for _, raw := range layers {
		n, err := sizeOf(raw)
		if err != nil {
			return b, err
		}
		if b.Unpacked += n; b.Unpacked > s.Debian.LimitMiB<<20 {
			return b, fmt.Errorf("%s has %.1f MiB unpacked or more, at most %d are allowed: take less of its packages", s.Name,
				mib(b.Unpacked), s.Debian.LimitMiB)
		}
		l, err := newLayer(raw)
		if err != nil {
			return b, err
		}
		b.Packed += int64(len(l.packed))
		packed = append(packed, l)
	}
	img, err := makeImage(s, b.Version, created.UTC().Truncate(time.Second), packed,
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

// picked are the layers of an image of single files, and when the newest was made.
func picked(s recipe.Recipe, dir string, debs []deb, b *built, say func(string, ...any)) (layers [][]byte, created time.Time, err error) {
	var download int64
	for _, d := range debs {
		b.Packages[d.name] = d.version
		download += d.bytes
	}
	b.Version = b.Packages[s.Debian.VersionOf]
	say("%d packages, %.1f MiB as downloaded", len(debs), mib(download))
	packages, own, err := gather(s, dir, debs)
	if err != nil {
		return nil, created, err
	}
	created = time.Unix(0, 0)
	for _, t := range []tree{packages, own} {
		raw, err := t.archive()
		if err != nil {
			return nil, created, err
		}
		for _, i := range t {
			if i.head.ModTime.After(created) {
				created = i.head.ModTime
			}
		}
		layers = append(layers, raw)
	}
	return layers, created, nil
}

// whole are the layers of an installed Debian.
func whole(ctx context.Context, s recipe.Recipe, dir string, say func(string, ...any)) (layers [][]byte, version string, err error) {
	own, err := ownFiles(s, dir, epoch)
	if err != nil {
		return nil, "", err
	}
	own.parents(tar.Header{Typeflag: tar.TypeDir, Mode: 0o755, ModTime: epoch}, nil)
	files, err := own.archive()
	if err != nil {
		return nil, "", err
	}
	root, version, err := install(ctx, s, say)
	return [][]byte{root, files}, version, err
}

func last(record string) (b built, ok bool) {
	raw, err := os.ReadFile(record)
	return b, err == nil && json.Unmarshal(raw, &b) == nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }
