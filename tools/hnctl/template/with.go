package template

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"hardnode.dev/internal/wire/jem"
	"hardnode.dev/tools/templates/recipe"
)

// readRecipe reads the description of an image that is there already.
func readRecipe(file string, raw []byte) (recipe.Recipe, error) {
	r, err := recipe.Read(file, raw)
	if err == nil && r.Debian != nil {
		err = fmt.Errorf("%s: debian: it says what an image is built of, and this one is there already: leave debian out", file)
	}
	return r, err
}

// with is the image as the recipe wants it: what that does not say stays as it is. What JEM reads is a layer of its own on top.
func with(img v1.Image, r recipe.Recipe) (v1.Image, error) {
	c, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	out, err := mutate.Config(img, r.Onto(c.Config))
	if err != nil {
		return nil, err
	}
	layer, err := forJEM(out, r.Template())
	if err != nil {
		return nil, err
	}
	return mutate.Append(out, mutate.Addendum{Layer: layer, History: v1.History{CreatedBy: "template.yaml"}})
}

// forJEM is a layer with /etc/jem/template.json, of the kind that the image's manifest has. The same image and recipe give the same bytes.
func forJEM(img v1.Image, t jem.Template) (v1.Layer, error) {
	body, err := json.MarshalIndent(t, "", "  ")
	if err != nil {
		return nil, err
	}
	body = append(body, '\n')
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	// The folders above it are the image's, or made by who unpacks it: a name of one here would change whose it is.
	err = w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: strings.TrimPrefix(jem.TemplatePath, "/"), Mode: 0o644,
		Size: int64(len(body))})
	if err == nil {
		_, err = w.Write(body)
	}
	if err := errors.Join(err, w.Close()); err != nil {
		return nil, err
	}
	kind := types.OCILayer
	if m, err := img.MediaType(); err != nil {
		return nil, err
	} else if m == types.DockerManifestSchema2 {
		kind = types.DockerLayer
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil },
		tarball.WithMediaType(kind))
}
