package assemble

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"hardnode.dev/internal/build"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/host"
)

// component is one program of the environment "jelastic", carried on the infra boot medium as an image of its own. Its notices are on the
// host (noticesFile): of its Go modules, and of what firmware loads, which is all that it has of Debian's.
type component struct {
	Name    string // /<name> in the image; the image is "jelastic/<name>"
	Pkg     string
	Loaders bool // it has the programs that firmware loads over the network (pxePrograms), below /firmware
}

var components = []component{
	{Name: "registry", Pkg: "orchestrator/registry"},
	{Name: "jls", Pkg: "jls"},
	{Name: "orchestrator", Pkg: "orchestrator"},
	{Name: "resolver", Pkg: "orchestrator/resolver"},
	{Name: "patcher", Pkg: "orchestrator/patcher"},
	{Name: "metering", Pkg: "orchestrator/metering"},
	{Name: "netboot", Pkg: "orchestrator/netboot", Loaders: true},
}

// Components makes an erofs image of every component that exists, and the archive that carries them with their index.
func (b Builder) Components(ctx context.Context, bin map[string]string, loaders []string) (Part, []boot.BundledImage, error) {
	var t tree
	index := []boot.BundledImage{}
	for _, c := range components {
		path, ok := bin[c.Pkg]
		if !ok {
			continue
		}
		image, err := b.component(ctx, c, path, loaders)
		if err != nil {
			return Part{}, nil, fmt.Errorf("component %q: %w", c.Name, err)
		}
		sum, err := fileDigest(image)
		if err != nil {
			return Part{}, nil, err
		}
		st, err := os.Stat(image)
		if err != nil {
			return Part{}, nil, fmt.Errorf("component %q: %v", c.Name, err)
		}
		t.file(imagesDir+"/"+sum+".erofs", image, 0o444)
		index = append(index, boot.BundledImage{
			Image:   host.Image{Name: wire.TemplateName("jelastic/" + c.Name), Digest: wire.Digest("sha256:" + sum), Bytes: st.Size()},
			Process: host.Process{Argv: []string{"/" + c.Name}},
		})
		b.Log("component %-12s %6.1f MiB  sha256:%s", c.Name, mib(int(st.Size())), sum[:12])
	}
	text, err := json.MarshalIndent(index, "", "  ")
	if err != nil {
		return Part{}, nil, fmt.Errorf("encode the index of images: %v", err)
	}
	t.text(imagesDir+"/index.json", string(text)+"\n")
	if err := replace(b.in("images.json"), append(text, '\n'), 0o644); err != nil {
		return Part{}, nil, err
	}
	raw, err := t.cpio()
	return Part{"component images", align(raw)}, index, err
}

// componentFile is where the image of a component is made.
func (b Builder) componentFile(name string) string {
	return b.path("cache", "components", name+".erofs")
}

func (b Builder) component(ctx context.Context, c component, binary string, loaders []string) (string, error) {
	var t tree
	t.dir(0o755, "dev", "etc", "proc", "sys", "run", "data", "root", "usr/bin", "usr/sbin", "usr/lib", "usr/lib64")
	t.dir(os.ModeSticky|0o777, "tmp")
	t.link("bin", "usr/bin")
	t.link("sbin", "usr/sbin")
	t.link("lib", "usr/lib")
	t.link("lib64", "usr/lib64")
	t.text("etc/passwd", "root:x:0:0:root:/root:\nnobody:x:65534:65534:nobody:/:\n")
	t.text("etc/group", "root:x:0:\nnogroup:x:65534:\n")
	t.text("etc/hosts", "127.0.0.1 localhost\n::1 localhost\n")
	t.text(build.File, build.Text(b.Stamp.Version, b.Stamp.Time))
	t.file(c.Name, binary, 0o755)
	if c.Loaders {
		t.dir(0o755, "firmware")
		for _, l := range loaders {
			t.file("firmware/"+filepath.Base(l), l, 0o444)
		}
	}
	image := b.componentFile(c.Name)
	if err := os.MkdirAll(filepath.Dir(image), 0o755); err != nil {
		return "", err
	}
	sum, err := t.digest()
	if err != nil {
		return "", err
	}
	st := stamp{file: image + ".stamp", inputs: digest("component 1", sum), outputs: []string{image}}
	if st.fresh() {
		return image, nil
	}
	if err := t.erofs(ctx, b.path("cache", "components", c.Name+".stage"), image); err != nil {
		return "", err
	}
	return image, st.mark()
}
