package assemble

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"strings"

	"hardnode.dev/internal/build"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/release"
)

// rootParts are the parts of a system that lie in its root. What says the release's name, or is only read by people, is of none: it may be
// another one where nothing that runs is.
func rootParts(t *tree) (release.Parts, error) {
	names := map[string]release.Part{}
	for _, p := range programs {
		names[p.Dest] = release.Part(filepath.Base(p.Pkg))
	}
	for _, path := range []string{build.File, "etc/os-release", noticesFile} {
		names[strings.Trim(path, "/")] = ""
	}
	parts := release.Parts{}
	for path, name := range names {
		e, ok := t.byPath[path]
		if !ok || name == "" {
			continue
		}
		sum, err := fileDigest(e.Source)
		if err != nil {
			return nil, err
		}
		parts[name] = wire.Digest("sha256:" + sum)
	}
	for name, of := range map[release.Part]func(path string) bool{
		release.Modules: isModule,
		release.Root:    func(path string) bool { _, named := names[path]; return !named && !isModule(path) },
	} {
		var some tree
		for _, e := range t.sorted() {
			if !e.Mode.IsDir() && of(e.Path) {
				some.add(e)
			}
		}
		sum, err := some.digest()
		if err != nil {
			return nil, err
		}
		parts[name] = wire.Digest("sha256:" + sum)
	}
	return parts, nil
}

func isModule(path string) bool { return strings.HasPrefix(path, "usr/lib/modules/") }

// partsOf are the parts of a profile's system: those of its root, and of what it is booted with.
func (b Builder) partsOf(k Kernel, root release.Parts, initrd map[release.Part][]Part) (release.Parts, error) {
	all := maps.Clone(root)
	kernel, err := fileDigest(b.in("vmlinuz"))
	if err != nil {
		return nil, fmt.Errorf("read the kernel: %v", err)
	}
	all[release.KernelPart] = wire.Digest("sha256:" + digest(kernel, k.Release))
	all[release.Arguments] = wire.Digest("sha256:" + digest(ukiArguments()))
	for name, list := range initrd {
		var data []string
		for _, p := range list {
			data = append(data, string(p.Data))
		}
		if len(data) > 0 {
			all[name] = wire.Digest("sha256:" + digest(data...))
		}
	}
	return all, all.Validate()
}

// partsText is how a system says what it is made of.
func partsText(p release.Parts) ([]byte, error) {
	text, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("encode the parts: %v", err)
	}
	return text, nil
}
