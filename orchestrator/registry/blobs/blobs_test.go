package blobs

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/testkit/full"
)

const (
	manifestType = "application/vnd.oci.image.manifest.v1+json"
	indexType    = "application/vnd.oci.image.index.v1+json"
	configType   = "application/vnd.oci.image.config.v1+json"
)

// registry is a store behind a server on loopback.
type registry struct {
	*testing.T
	dir   string
	store *Store
	url   string
}

func newRegistry(t *testing.T) *registry {
	t.Helper()
	dir := t.TempDir()
	s, err := Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(s)
	t.Cleanup(func() { srv.Close(); s.Close() })
	return &registry{t, dir, s, srv.URL}
}

// do is one request; head are pairs of names and values.
func (r *registry) do(method, path, body string, head ...string) (int, string, http.Header) {
	r.Helper()
	if !strings.HasPrefix(path, "http") {
		path = r.url + path
	}
	req, err := http.NewRequest(method, path, strings.NewReader(body))
	if err != nil {
		r.Fatal(err)
	}
	for i := 0; i < len(head); i += 2 {
		req.Header.Set(head[i], head[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		r.Fatal(err)
	}
	return resp.StatusCode, string(raw), resp.Header
}

func digestOf(content string) string { return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(content))) }

// blob uploads content.
func (r *registry) blob(repo, content string) string {
	r.Helper()
	code, body, head := r.do("POST", "/v2/"+repo+"/blobs/uploads/", "")
	if code != http.StatusAccepted {
		r.Fatalf("begin upload: %d %s", code, body)
	}
	at := head.Get("Location")
	if !strings.Contains(at, "?") {
		at += "?"
	}
	if code, body, _ := r.do("PUT", at+"&digest="+digestOf(content), content, "Content-Type",
		"application/octet-stream"); code != http.StatusCreated {
		r.Fatalf("upload: %d %s", code, body)
	}
	return digestOf(content)
}

func descriptor(media, content string) string {
	return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d}`, media, digestOf(content), len(content))
}

// push stores an image whose only layer is the text, under each of the tags, and gives the manifest.
func (r *registry) push(repo, text string, tags ...string) (manifest string) {
	r.Helper()
	r.blob(repo, `{"os":"linux","architecture":"amd64"}`)
	r.blob(repo, text)
	manifest = manifestOf(text)
	for _, tag := range tags {
		r.put(repo, tag, manifestType, manifest)
	}
	return manifest
}

func (r *registry) put(repo, ref, media, manifest string) http.Header {
	r.Helper()
	code, body, head := r.do("PUT", "/v2/"+repo+"/manifests/"+ref, manifest, "Content-Type", media)
	if code != http.StatusCreated {
		r.Fatalf("put %s/%s: %d %s", repo, ref, code, body)
	}
	return head
}

// pages follows the Links of a list to its end.
func (r *registry) pages(path, field string) (all [][]string) {
	r.Helper()
	for range 20 {
		code, body, head := r.do("GET", path, "")
		var doc map[string]json.RawMessage
		var page []string
		if err := json.Unmarshal([]byte(body), &doc); code != 200 || err != nil || json.Unmarshal(doc[field], &page) != nil || page == nil {
			r.Fatalf("GET %s: %d %s", path, code, body)
		}
		all = append(all, page)
		link := head.Get("Link")
		if link == "" {
			return all
		}
		next, rel, ok := strings.Cut(strings.TrimPrefix(link, "<"), ">; ")
		if !ok || rel != `rel="next"` {
			r.Fatalf("GET %s: link %s", path, link)
		}
		path = next
	}
	r.Fatalf("%s has no end", path)
	return nil
}

// TestLists: repositories and tags come sorted, in parts of n, with a Link while there is more (OCI distribution-spec 1.1).
func TestLists(t *testing.T) {
	r := newRegistry(t)
	if got := r.pages("/v2/_catalog", "repositories"); len(got) != 1 || len(got[0]) != 0 {
		t.Errorf("a new registry lists %v", got)
	}
	for _, repo := range []string{"team/web", "a", "team", "b-1", "b/c"} {
		r.push(repo, repo, "1")
	}
	for _, tag := range []string{"b", "C", "A", "a", "9", "c", "_x"} {
		r.push("a", "text", tag)
	}
	repos, tags := []string{"a", "b-1", "b/c", "team", "team/web"}, []string{"1", "9", "_x", "A", "a", "b", "C", "c"}
	for _, c := range []struct {
		path, field string
		want        []string
		parts       int
	}{
		{"/v2/_catalog", "repositories", repos, 1},
		{"/v2/_catalog?n=1000", "repositories", repos, 1}, // what crane asks for
		{"/v2/_catalog?n=100000000", "repositories", repos, 1},
		{"/v2/_catalog?n=5", "repositories", repos, 1},
		{"/v2/_catalog?n=2", "repositories", repos, 3},
		{"/v2/_catalog?n=1", "repositories", repos, 5},
		{"/v2/_catalog?n=2&last=b-1", "repositories", repos[2:], 2},
		{"/v2/_catalog?last=b", "repositories", repos[1:], 1}, // there is none of that name
		{"/v2/_catalog?last=zzz", "repositories", nil, 1},
		{"/v2/_catalog?n=0", "repositories", nil, 1},
		{"/v2/a/tags/list", "tags", tags, 1},
		{"/v2/a/tags/list?n=3", "tags", tags, 3},
		{"/v2/a/tags/list?n=4&last=A", "tags", tags[4:], 1},
		{"/v2/a/tags/list?n=0", "tags", nil, 1},
		{"/v2/a/tags/list?n=0&last=A", "tags", nil, 1},
		{"/v2/a/tags/list?last=c", "tags", nil, 1},
		{"/v2/team/web/tags/list?n=7", "tags", []string{"1"}, 1},
	} {
		got := r.pages(c.path, c.field)
		if all := slices.Concat(got...); !slices.Equal(all, c.want) || len(got) != c.parts {
			t.Errorf("%s: got %v in %d parts, want %v in %d", c.path, all, len(got), c.want, c.parts)
		}
	}
	for path, want := range map[string]string{
		"/v2/_catalog?n=-1": "PAGINATION_NUMBER_INVALID", "/v2/_catalog?n=x": "PAGINATION_NUMBER_INVALID",
		"/v2/_catalog?n=":       "PAGINATION_NUMBER_INVALID",
		"/v2/a/tags/list?n=1.5": "PAGINATION_NUMBER_INVALID", "/v2/none/tags/list": "NAME_UNKNOWN", "/v2/BAD/tags/list": "NAME_UNKNOWN",
	} {
		if code, body, _ := r.do("GET", path, ""); code/100 != 4 || !strings.Contains(body, want) {
			t.Errorf("%s: got %d %s, want %s", path, code, body, want)
		}
	}
}

// TestReferrers: what was pushed about a manifest is found by it, filtered by type, and goes with it (OCI distribution-spec 1.1).
func TestReferrers(t *testing.T) {
	r := newRegistry(t)
	image := r.push("a", "text", "1")
	r.blob("a", "{}")
	r.blob("a", "signature")
	about := func(kind, config, subject string) string {
		return fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q%s,"config":%s,"layers":[%s],"subject":%s,"annotations":{"who":"test"}}`,
			manifestType, kind, descriptor(config, "{}"), descriptor("application/x", "signature"), descriptor(manifestType, subject))
	}
	const empty = "application/vnd.oci.empty.v1+json"
	sig := about(`,"artifactType":"application/sig"`, empty, image)
	sbom := about("", "application/sbom", image)
	early := about(`,"artifactType":"application/sig"`, empty, "not there")
	index := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"artifactType":"application/list","manifests":[],"subject":%s}`, indexType,
		descriptor(manifestType, image))
	for _, c := range []struct{ media, raw, subject string }{{manifestType, sig, image}, {manifestType, sbom, image},
		{manifestType, early, "not there"}, {indexType, index, image}} {
		if head := r.put("a", digestOf(c.raw), c.media, c.raw); head.Get("OCI-Subject") != digestOf(c.subject) {
			t.Errorf("OCI-Subject is %q, want %s", head.Get("OCI-Subject"), digestOf(c.subject))
		}
	}
	if head := r.put("a", "1", manifestType, image); head.Get("OCI-Subject") != "" {
		t.Error("an image without a subject is said to have one")
	}
	for _, c := range []struct {
		path, filter string
		want         []string
	}{
		{digestOf(image), "", []string{sig, sbom, index}},
		{digestOf(image) + "?artifactType=application/sig", "artifactType", []string{sig}},
		{digestOf(image) + "?artifactType=application/sbom", "artifactType", []string{sbom}},
		{digestOf(image) + "?artifactType=application/list", "artifactType", []string{index}},
		{digestOf(image) + "?artifactType=none", "artifactType", nil},
		{digestOf("not there"), "", []string{early}},
		{digestOf(sig), "", nil},
	} {
		code, body, head := r.do("GET", "/v2/a/referrers/"+c.path, "")
		var list struct {
			SchemaVersion int
			MediaType     string
			Manifests     []struct {
				Digest, MediaType, ArtifactType string
				Size                            int
				Annotations                     map[string]string
			}
		}
		if err := json.Unmarshal([]byte(body), &list); err != nil || code != 200 || head.Get("Content-Type") != indexType ||
			list.MediaType != indexType || list.SchemaVersion != 2 ||
			head.Get("OCI-Filters-Applied") != c.filter || !strings.Contains(body, `"manifests":[`) {
			t.Errorf("%s: %d %v %s", c.path, code, head, body)
		}
		var got, want []string
		for _, m := range list.Manifests {
			got = append(got, fmt.Sprint(m.Digest, " ", m.Size))
			if m.ArtifactType == "" || m.MediaType == "" || m.Digest == digestOf(sig) && m.Annotations["who"] != "test" {
				t.Errorf("%s: %+v", c.path, m)
			}
		}
		for _, raw := range c.want {
			want = append(want, fmt.Sprint(digestOf(raw), " ", len(raw)))
		}
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", c.path, got, want)
		}
	}
	for path, want := range map[string]int{"/v2/a/referrers/x": 400, "/v2/a/referrers/sha256:12": 400,
		"/v2/none/referrers/" + digestOf(image): 200} {
		if code, body, _ := r.do("GET", path, ""); code != want {
			t.Errorf("%s: %d %s, want %d", path, code, body, want)
		}
	}
	// They stay as long as the image, and go with it.
	r.later(30 * time.Hour)
	if got := r.collect(); got.Manifests != 1 || !r.has("a", digestOf(sig)) { // the one whose subject never came
		t.Errorf("got %+v", got)
	}
	r.do("DELETE", "/v2/a/manifests/1", "")
	if r.collect(); r.has("a", digestOf(sig)) || r.hasBlob("a", "signature") {
		t.Error("the signature of a deleted image stays")
	}
}

// TestOtherContent: content under another digest than SHA-256 is refused in words; a layer that is not to be distributed needs no blob.
func TestOtherContent(t *testing.T) {
	r := newRegistry(t)
	sum := "sha512:" + strings.Repeat("ab", 64)
	_, _, head := r.do("POST", "/v2/a/blobs/uploads/", "")
	for _, c := range [][2]string{{"POST", "/v2/a/blobs/uploads/?digest=" + sum}, {"PUT", head.Get("Location") + "&digest=" + sum},
		{"PUT", "/v2/a/manifests/" + sum}} {
		if code, body, _ := r.do(c[0], c[1], "{}", "Content-Type", manifestType); code != 400 || !strings.Contains(body, "sha256 only") {
			t.Errorf("%s %s: %d %s", c[0], c[1], code, body)
		}
	}
	if code, _, _ := r.do("GET", "/v2/a/blobs/"+sum, ""); code != 404 {
		t.Errorf("GET of a sha512 blob: %d", code)
	}
	config := `{"os":"linux","architecture":"amd64"}`
	r.blob("a", config)
	r.put("a", "foreign", manifestType,
		fmt.Sprintf(
			`{"schemaVersion":2,"mediaType":%q,"config":%s,"layers":[{"mediaType":"application/vnd.oci.image.layer.nondistributable.v1.tar","digest":%q,"size":9,"urls":["https://example.test/x"]}]}`,
			manifestType, descriptor(configType, config), digestOf("elsewhere")))
}

// TestUploadOnFullDisk: what a full disk did not take is not said to be there, however small; the upload goes on when there is room.
func TestUploadOnFullDisk(t *testing.T) {
	disk := full.Disk(t, 1<<10)
	s, err := Open(t.Context(), disk)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(s)
	t.Cleanup(func() { srv.Close(); s.Close() })
	r := &registry{t, disk, s, srv.URL}
	for _, size := range []int{0, 1, 392, 300_000} {
		what := strings.Repeat("x", size)
		_, _, head := r.do("POST", "/v2/web/blobs/uploads/", "")
		at := head.Get("Location")
		free := full.Fill(t, disk, 0)
		code, body, head := r.do("PATCH", at, what, "Content-Type", "application/octet-stream")
		if size < 2 { // a range can't tell nothing from one byte: its PUT says that it is not there
			if code != 202 {
				t.Errorf("%d bytes on a full disk: %d %s", size, code, body)
			}
		} else if code != 507 || !strings.Contains(body, "full: delete templates (hnctl template rm)") || strings.Contains(body, disk) ||
			head.Get("Range") != "" {
			t.Errorf("%d bytes on a full disk: %d %s, Range %q", size, code, body, head.Get("Range"))
		}
		free()
		if got := r.blob("web", what); size > 1 && !r.hasBlob("web", what) {
			t.Errorf("%d bytes, %s, once there is room: not there", size, got)
		}
	}
}
