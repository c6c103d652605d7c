package blobs

import (
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"hardnode.dev/orchestrator/registry/importer"
)

const (
	mediaManifest = "application/vnd.oci.image.manifest.v1+json"
	mediaIndex    = "application/vnd.oci.image.index.v1+json"
)

var referrersPath = regexp.MustCompile(`^/v2/(.+)/referrers/([^/]+)$`)

// referrer is one entry of the answer: a manifest whose subject is the one asked for (OCI image-spec, descriptor.md).
type referrer struct {
	MediaType    string            `json:"mediaType"`
	Digest       digest.Digest     `json:"digest"`
	Size         int64             `json:"size"`
	ArtifactType string            `json:"artifactType,omitempty"`
	Annotations  map[string]string `json:"annotations,omitempty"`
}

// referrers answers GET /v2/<name>/referrers/<digest>: signatures, bills of materials and whatever else was pushed about a manifest, which
// need not be there itself (OCI distribution-spec 1.1, "Listing Referrers").
func (s *Store) referrers(w http.ResponseWriter, r *http.Request, repo, of string) {
	subject := digest.Digest(of)
	if err := subject.Validate(); err != nil {
		Refuse(w, http.StatusBadRequest, "DIGEST_INVALID", "want the digest of a manifest: sha256: and 64 hex digits")
		return
	}
	g, err := s.graph(r.Context(), repo)
	if errors.Is(err, importer.ErrNone) {
		Refuse(w, http.StatusNotFound, "NAME_UNKNOWN", "there is no such repository in the registry")
		return
	}
	if err != nil {
		Refuse(w, http.StatusInternalServerError, "UNKNOWN", "the referrers could not be listed")
		return
	}
	q := r.URL.Query()
	list := g.referrers(subject, q.Get("artifactType"))
	if q.Get("artifactType") != "" {
		w.Header().Set("OCI-Filters-Applied", "artifactType")
	}
	if last := digest.Digest(q.Get("last")); last != "" {
		list = slices.DeleteFunc(list, func(e referrer) bool { return e.Digest <= last })
	}
	if page := 500; len(list) > page {
		list = list[:page]
		q.Set("last", string(list[page-1].Digest))
		w.Header().Set("Link", "<"+(&url.URL{Path: r.URL.Path, RawQuery: q.Encode()}).String()+`>; rel="next"`)
	}
	w.Header().Set("Content-Type", mediaIndex)
	send(w, struct {
		SchemaVersion int        `json:"schemaVersion"`
		MediaType     string     `json:"mediaType"`
		Manifests     []referrer `json:"manifests"`
	}{2, mediaIndex, list})
}

// referrers are the manifests whose subject is d, by digest; of one type only, if that is given.
func (g *graph) referrers(d digest.Digest, kind string) []referrer {
	out := []referrer{}
	for at, m := range g.manifests {
		e := referrer{MediaType: m.MediaType, Digest: at, Size: m.size, ArtifactType: m.ArtifactType, Annotations: m.Annotations}
		if e.MediaType == "" {
			e.MediaType = mediaManifest
			if m.Manifests != nil {
				e.MediaType = mediaIndex
			}
		}
		if e.ArtifactType == "" {
			e.ArtifactType = m.Config.MediaType
		}
		if m.Subject.Digest == d && (kind == "" || kind == e.ArtifactType) {
			out = append(out, e)
		}
	}
	slices.SortFunc(out, func(a, b referrer) int { return strings.Compare(string(a.Digest), string(b.Digest)) })
	return out
}
