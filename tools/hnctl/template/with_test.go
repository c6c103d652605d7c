package template

import (
	"archive/tar"
	"encoding/json"
	"io"
	"slices"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"hardnode.dev/internal/wire/jem"
)

// TestWith: a description says how an image runs, and what it leaves out stays as the image has it; JEM's part lies on top. The result is
// whole, the same each time, and of the image's own kind.
func TestWith(t *testing.T) {
	r, err := readRecipe("own.yaml", []byte("version: 1\nname: own\nprocess: {env: [A=2], stopAfter: 30}\nhttp: 8080\n"+
		"volumes: [{path: /data, nodatacow: true}]\njem: {keep: [/etc/own], health: [{tcp: \"127.0.0.1:8080\"}]}\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []struct{ manifest, config, layer types.MediaType }{
		{types.DockerManifestSchema2, types.DockerConfigJSON, types.DockerLayer},
		{types.OCIManifestSchema1, types.OCIConfigJSON, types.OCILayer},
	} {
		img, err := random.Image(512, 2)
		if err != nil {
			t.Fatal(err)
		}
		img = mutate.ConfigMediaType(mutate.MediaType(img, kind.manifest), kind.config)
		if img, err = mutate.Config(img, v1.Config{Entrypoint: []string{"/own"}, User: "7", Env: []string{"A=1", "B=1"}}); err != nil {
			t.Fatal(err)
		}
		got, err := with(img, r)
		if err != nil {
			t.Fatal(err)
		}
		if err := whole(got); err != nil {
			t.Error(err)
		}
		again, _ := with(img, r)
		one, _ := got.Digest()
		if two, _ := again.Digest(); one != two {
			t.Errorf("%s: %s and %s of the same image", kind.manifest, one, two)
		}
		c, err := got.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		if c := c.Config; c.Entrypoint[0] != "/own" || c.User != "7" || !slices.Equal(c.Env, []string{"B=1", "A=2"}) ||
			c.Labels["io.hardnode.http-port"] != "8080" || c.Labels["io.hardnode.nodatacow"] != "/data" || len(c.Volumes) != 1 {
			t.Errorf("%s: got %+v", kind.manifest, c)
		}
		layers, err := got.Layers()
		if err != nil || len(layers) != 3 {
			t.Fatalf("%s: %d layers, %v", kind.manifest, len(layers), err)
		}
		if media, _ := layers[2].MediaType(); media != kind.layer {
			t.Errorf("%s: its layer is %s, want %s", kind.manifest, media, kind.layer)
		}
		u, err := layers[2].Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		in := tar.NewReader(u)
		h, err := in.Next()
		if err != nil || h.Name != "etc/jem/template.json" || h.Mode != 0o644 {
			t.Fatalf("%s: got %+v, %v", kind.manifest, h, err)
		}
		raw, err := io.ReadAll(in)
		u.Close()
		var said jem.Template
		if err != nil || json.Unmarshal(raw, &said) != nil || said.Validate() != nil || said.Name != "own" || len(said.Health) != 1 {
			t.Errorf("%s: JEM is told %s, %v", kind.manifest, raw, err)
		}
		if _, err := in.Next(); err != io.EOF {
			t.Errorf("%s: there is more than one file: %v", kind.manifest, err)
		}
	}
}
