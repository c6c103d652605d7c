package importer

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"hardnode.dev/internal/wire"
	"hardnode.dev/orchestrator/registry/flatten"
)

// TestIndex: of an index, the image for this platform is taken, however it lies there (OCI image-index).
func TestIndex(t *testing.T) {
	s := newStore()
	s.push("web:1", types.OCILayer, nil, layerTar("bin/run", "x"))
	image := s.tags["web:1"]
	const manifest, index = "application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json"
	entry := func(media, arch string, d wire.Digest, more string) string {
		platform := ""
		if arch != "" {
			platform = fmt.Sprintf(`,"platform":{"os":"linux","architecture":%q}`, arch)
		}
		return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":1%s%s}`, media, d, platform, more)
	}
	list := func(entries ...string) wire.Digest {
		raw := `{"schemaVersion":2,"mediaType":"` + index + `","manifests":[` + strings.Join(entries, ",") + `]}`
		return wire.Digest(s.put([]byte(raw)).String())
	}
	here, other := entry(manifest, runtime.GOARCH, image, ""), entry(manifest, "s390x", image, "")
	// What buildx writes beside an image, and the same with this machine's platform.
	attested := entry(manifest, "unknown", image, `,"annotations":{"vnd.docker.reference.type":"attestation-manifest"}`)
	attestedHere := entry(manifest, runtime.GOARCH, "sha256:"+wire.Digest(strings.Repeat("0", 64)),
		`,"annotations":{"vnd.docker.reference.type":"attestation-manifest"}`)
	deep := list(here)
	for range maxLevels + 1 {
		deep = list(entry(index, "", deep, ""))
	}
	for _, c := range []struct {
		name string
		root wire.Digest
		want string
	}{
		{"one", list(here), ""},
		{"the second", list(other, here), ""},
		{"buildx: image and attestation", list(here, attested), ""},
		{"attestation first", list(attestedHere, here), ""},
		{"nested", list(entry(index, "", list(other, here), "")), ""},
		{"nested, in the second index", list(entry(index, "", list(other), ""), entry(index, "", list(here), "")), ""},
		{"one without a platform", list(entry(manifest, "", image, "")), ""},
		{"other platforms only", list(other, attested), "it has linux/s390x"},
		{"several without a platform", list(entry(manifest, "", image, ""), entry(manifest, "", image, "")), "without a platform"},
		{"empty", list(), "it is empty"},
		{"missing part", list(entry(manifest, runtime.GOARCH, "sha256:"+wire.Digest(strings.Repeat("0", 64)), "")),
			"is not in the registry"},
		{"too deep", deep, "levels of indexes"},
	} {
		s.tags["many:1"] = c.root
		im, _ := newImporter(t, s)
		_, err := im.Import(t.Context(), "many:1")
		if (err == nil) != (c.want == "") || err != nil && (!strings.Contains(err.Error(), c.want) || !errors.Is(err, flatten.ErrImage)) {
			t.Errorf("%s: got %v, want an error with %q", c.name, err, c.want)
		}
	}
}
