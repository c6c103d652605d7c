package template

import (
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// What builders write as an OCI layout: an index with an attestation beside the image, several platforms, indexes in indexes.
func TestImageOfALayout(t *testing.T) {
	image := func() v1.Image {
		img, err := random.Image(64, 1)
		if err != nil {
			t.Fatal(err)
		}
		return img
	}
	add := func(img mutate.Appendable, os, arch string) mutate.IndexAddendum {
		a := mutate.IndexAddendum{Add: img}
		if os != "" {
			a.Descriptor = v1.Descriptor{Platform: &v1.Platform{OS: os, Architecture: arch}}
		}
		return a
	}
	index := func(of ...mutate.IndexAddendum) v1.ImageIndex {
		return mutate.IndexMediaType(mutate.AppendManifests(empty.Index, of...), types.OCIImageIndex)
	}
	wanted := image()
	deep := index(add(wanted, "linux", "amd64"))
	for range levels {
		deep = index(add(deep, "", ""))
	}
	for _, c := range []struct {
		name  string
		index v1.ImageIndex
		want  string // "" is: the wanted image
	}{
		{"one image", index(add(wanted, "", "")), ""},
		{"an attestation behind it", index(add(index(add(wanted, "linux", "amd64"), add(image(), "unknown", "unknown")), "", "")), ""},
		{"an attestation before it", index(add(image(), "unknown", "unknown"), add(wanted, "linux", "amd64")), ""},
		{"several platforms", index(add(image(), "linux", "arm64"), add(wanted, "linux", "amd64"), add(image(), "windows", "amd64")), ""},
		{"indexes in indexes", index(add(index(add(image(), "linux", "arm64")), "", ""), add(index(add(wanted, "linux", "amd64")), "", "")),
			""},
		{"other platforms only", index(add(image(), "linux", "arm64"), add(image(), "linux", "s390x")),
			"no image for linux/amd64, but linux/arm64, linux/s390x"},
		{"two images without a platform", index(add(image(), "", ""), add(image(), "", "")), "2 images that name no platform"},
		{"nothing", index(), "its index is empty"},
		{"too deep", deep, "more than 4 deep"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			if _, err := layout.Write(dir, c.index); err != nil {
				t.Fatal(err)
			}
			got, err := fromLayout(dir)
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("got %v, want an error with %q", err, c.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			have, err := got.Digest()
			want, werr := wanted.Digest()
			if err != nil || werr != nil || have != want {
				t.Errorf("got image %s, %v, want %s", have, err, want)
			}
		})
	}
}
