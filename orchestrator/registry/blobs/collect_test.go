package blobs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"hardnode.dev/orchestrator/registry/importer"
)

// later moves the store's clock.
func (r *registry) later(d time.Duration) {
	was := r.store.now
	r.store.now = func() time.Time { return was().Add(d) }
}

func (r *registry) collect() Collected {
	r.Helper()
	got, err := r.store.Collect(r.Context())
	if err != nil {
		r.Fatal(err)
	}
	return got
}

// has tells whether an image can be read with all its parts.
func (r *registry) has(repo, ref string) bool {
	r.Helper()
	code, body, _ := r.do("GET", "/v2/"+repo+"/manifests/"+ref, "", "Accept", manifestType)
	if code != 200 {
		return false
	}
	for _, d := range []string{`{"os":"linux","architecture":"amd64"}`, "text of " + repo + ":" + ref} {
		if code, _, _ := r.do("GET", "/v2/"+repo+"/blobs/"+digestOf(d), ""); strings.Contains(body, digestOf(d)) && code != 200 {
			return false
		}
	}
	return true
}

func (r *registry) hasBlob(repo, content string) bool {
	code, _, _ := r.do("GET", "/v2/"+repo+"/blobs/"+digestOf(content), "")
	return code == 200
}

// disk are the bytes of all files.
func (r *registry) disk() (n int64) {
	filepath.WalkDir(r.dir, func(_ string, e fs.DirEntry, err error) error {
		if st, _ := e.Info(); err == nil && e.Name() == "data" && st.Mode().IsRegular() {
			n += st.Size()
		}
		return nil
	})
	return n
}

// TestDelete: by tag, by digest; what isn't there, and what can't be deleted (OCI distribution-spec 1.1, "Content Management").
func TestDelete(t *testing.T) {
	r := newRegistry(t)
	m := r.push("team/web", "text", "1", "2", "3")
	for _, c := range []struct {
		path string
		want int
		word string
	}{
		{"/v2/team/web/manifests/9", 404, "MANIFEST_UNKNOWN"},
		{"/v2/none/manifests/1", 404, "MANIFEST_UNKNOWN"},
		{"/v2/team/web/manifests/" + digestOf("other"), 404, "MANIFEST_UNKNOWN"},
		{"/v2/team/web/blobs/" + digestOf("text"), 405, "UNSUPPORTED"},
		{"/v2/team/web/tags/list", 405, ""},
		{"/v2/team/web/manifests/1", 202, ""},
		{"/v2/team/web/manifests/1", 404, "MANIFEST_UNKNOWN"},
		{"/v2/team/web/manifests/" + digestOf(m), 202, ""},
		{"/v2/team/web/manifests/" + digestOf(m), 404, "MANIFEST_UNKNOWN"},
		{"/v2/team/web/manifests/2", 404, "MANIFEST_UNKNOWN"},
	} {
		if code, body, _ := r.do("DELETE", c.path, ""); code != c.want || !strings.Contains(body, c.word) {
			t.Errorf("DELETE %s: %d %s, want %d %s", c.path, code, body, c.want, c.word)
		}
	}
	if code, body, _ := r.do("GET", "/v2/team/web/tags/list", ""); code == 200 && !strings.Contains(body, `"tags":[]`) {
		t.Errorf("tags are left: %d %s", code, body)
	}
}

// TestCollect: what was deleted goes at once, what anything still needs stays.
func TestCollect(t *testing.T) {
	r := newRegistry(t)
	base := strings.Repeat("base", 1000)
	r.push("a", base, "1")
	r.push("b", base, "1") // the same blobs in another repository
	own := strings.Repeat("own", 1000)
	r.push("b", own, "2")
	if got := r.collect(); got != (Collected{}) {
		t.Errorf("a collection with nothing to do: %+v", got)
	}
	before := r.disk()
	r.do("DELETE", "/v2/b/manifests/2", "")
	got := r.collect()
	if freed := before - r.disk(); got.Bytes != freed || freed < int64(len(own)) || got.Manifests != 1 || got.Later != 0 {
		t.Errorf("got %+v, %d bytes are free", got, freed)
	}
	if !r.has("a", "1") || !r.has("b", "1") || r.hasBlob("b", own) {
		t.Error("what is needed is gone, or what isn't is there")
	}
	r.do("DELETE", "/v2/b/manifests/1", "")
	if got := r.collect(); got.Manifests != 1 || got.Bytes != 0 || !r.hasBlob("a", base) || r.hasBlob("b", base) {
		t.Errorf("shared blobs: got %+v", got)
	}
	r.do("DELETE", "/v2/a/manifests/1", "")
	if r.collect(); r.disk() != 0 {
		t.Errorf("%d bytes are left of an empty registry", r.disk())
	}
	if got := r.pages("/v2/_catalog", "repositories"); len(got[0]) != 0 {
		t.Errorf("an empty registry lists %v", got)
	}
}

// TestCollectLeavesPushes: a part that was uploaded, or found, before its manifest is kept; also over a restart; not for ever.
func TestCollectLeavesPushes(t *testing.T) {
	r := newRegistry(t)
	r.blob("a", "uploaded")
	if got := r.collect(); got.Blobs != 0 || got.Later != int64(len("uploaded")) || !r.hasBlob("a", "uploaded") {
		t.Errorf("got %+v", got)
	}
	// A client finds a blob, which then loses its only image: it will name it all the same.
	r.push("a", "found", "1")
	if code, _, _ := r.do("HEAD", "/v2/a/blobs/"+digestOf("found"), ""); code != 200 {
		t.Fatal("not found")
	}
	r.do("DELETE", "/v2/a/manifests/1", "")
	r.collect()
	if !r.hasBlob("a", "found") {
		t.Error("a blob that a push found is gone")
	}
	r.push("a", "found", "2")
	// A mount is a find in another repository.
	if code, _, _ := r.do("POST", "/v2/b/blobs/uploads/?mount="+digestOf("found")+"&from=a", ""); code != 201 {
		t.Fatal("not mounted")
	}
	r.do("DELETE", "/v2/a/manifests/2", "")
	if r.collect(); !r.hasBlob("b", "found") {
		t.Error("a mounted blob is gone")
	}
	// A manifest without a tag waits for its index, with its parts.
	child := r.push("c", "child")
	r.put("c", digestOf(child), manifestType, child)
	if r.collect(); !r.has("c", digestOf(child)) || !r.hasBlob("c", "child") {
		t.Error("a manifest that waits for its index is gone")
	}
	r.later(20 * time.Hour)
	index := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[%s]}`, indexType, descriptor(manifestType, child))
	r.put("c", "all", indexType, index)
	r.later(5 * time.Hour)
	if got := r.collect(); got.Blobs == 0 || r.hasBlob("a", "uploaded") || r.hasBlob("b", "found") {
		t.Errorf("a day later they are still kept: %+v", got)
	}
	if !r.has("c", digestOf(child)) || !r.hasBlob("c", "child") {
		t.Error("an index's manifest is gone")
	}
	r.do("DELETE", "/v2/c/manifests/all", "")
	if r.collect(); r.has("c", digestOf(child)) || r.hasBlob("c", "child") {
		t.Error("the parts of a deleted index stay")
	}
	// After a restart nothing is known of what clients found: all waits again.
	r.blob("d", "restart")
	again, err := Open(t.Context(), r.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	again.now = func() time.Time { return time.Now().Add(23 * time.Hour) }
	if got, err := again.Collect(t.Context()); err != nil || got.Blobs != 0 {
		t.Errorf("just after a restart: %+v, %v", got, err)
	}
	again.now = func() time.Time { return time.Now().Add(25 * time.Hour) }
	if got, err := again.Collect(t.Context()); err != nil || got.Blobs == 0 {
		t.Errorf("a day after a restart: %+v, %v", got, err)
	}
}

// TestCollectKilled ends the program at every step of a deletion and a collection: afterwards every tag that is listed is whole, and the
// next collection ends the work.
func TestCollectKilled(t *testing.T) {
	for at := 1; ; at++ {
		r := newRegistry(t)
		r.push("a", "text of a:1", "1")
		r.push("a", "text of a:2", "2", "3")
		r.push("b", "text of b:1", "1")
		n, killed := 0, errors.New("killed")
		r.store.step = func(string) error {
			if n++; n == at {
				return killed
			}
			return nil
		}
		_, err := r.store.Delete(t.Context(), "a", digestOf(manifestOf("text of a:2")))
		if err == nil {
			_, err = r.store.Collect(t.Context())
		}
		again, e := Open(t.Context(), r.dir)
		if e != nil {
			t.Fatal(e)
		}
		again.now = func() time.Time { return time.Now().Add(25 * time.Hour) }
		r.store.step = nil
		for name, want := range map[string][]string{"a": {"1", "2", "3"}, "b": {"1"}} {
			tags, e := again.tagsOf(t.Context(), name)
			if e != nil || !slices.Contains(tags, "1") {
				t.Errorf("killed at step %d: tags of %s are %v, %v, of %v", at, name, tags, e, want)
			}
			for _, tag := range tags {
				if !r.has(name, tag) {
					t.Errorf("killed at step %d: %s:%s is listed and not whole", at, name, tag)
				}
			}
		}
		if _, e := again.Collect(t.Context()); e != nil {
			t.Errorf("killed at step %d: the next collection: %v", at, e)
		}
		if !r.has("a", "1") || !r.has("b", "1") {
			t.Errorf("killed at step %d: an image is gone after the next collection", at)
		}
		again.Close()
		if err == nil {
			if r.hasBlob("a", "text of a:2") {
				t.Error("the deleted image is still there")
			}
			return // it was not killed any more
		}
		if !errors.Is(err, killed) || at > 50 {
			t.Fatalf("step %d: %v", at, err)
		}
	}
}

func manifestOf(text string) string {
	config := `{"os":"linux","architecture":"amd64"}`
	return fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":%s,"layers":[%s]}`, manifestType, descriptor(configType, config),
		descriptor("application/vnd.oci.image.layer.v1.tar", text))
}

// TestTornTag: a tag that was being made or deleted when the program was killed points nowhere. It is not listed, and goes.
func TestTornTag(t *testing.T) {
	r := newRegistry(t)
	r.push("a", "text of a:1", "1", "torn")
	dir := filepath.Join(r.dir, "docker/registry/v2/repositories/a/_manifests/tags/torn")
	if err := os.RemoveAll(filepath.Join(dir, "current")); err != nil {
		t.Fatal(err)
	}
	if got := r.pages("/v2/a/tags/list", "tags"); len(got) != 1 || !slices.Equal(got[0], []string{"1"}) {
		t.Errorf("listed: %v", got)
	}
	if names, err := r.store.Names(t.Context()); err != nil || len(names) != 1 || names[0] != "a:1" {
		t.Errorf("names: %v, %v", names, err)
	}
	r.collect()
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) || !r.has("a", "1") {
		t.Errorf("after a collection: %v", err)
	}
}

// TestTouched: only what is there is a push's; what is known of pushes is forgotten in time.
func TestTouched(t *testing.T) {
	r := newRegistry(t)
	r.push("a", "text", "1")
	for i := range 20 {
		r.do("HEAD", "/v2/a/blobs/"+digestOf(fmt.Sprint(i)), "")
		r.do("HEAD", "/v2/a/manifests/"+digestOf(fmt.Sprint(i)), "")
		r.do("HEAD", fmt.Sprintf("/v2/r%d/blobs/%s", i, digestOf("text")), "")
		r.do("POST", fmt.Sprintf("/v2/a/blobs/uploads/?mount=%s&from=b", digestOf(fmt.Sprint(i))), "")
	}
	if n := len(r.store.flight.touched); n != 0 {
		t.Errorf("%d parts of no push are known", n)
	}
	r.do("HEAD", "/v2/a/blobs/"+digestOf("text"), "")
	r.blob("b", "text")
	if by := r.store.flight.touched; len(by) != 1 || len(by[digest.Digest(digestOf("text"))]) != 2 {
		t.Errorf("known: %v, want the text in two repositories", by)
	}
	r.later(grace + time.Hour)
	r.collect()
	if n := len(r.store.flight.touched); n != 0 {
		t.Errorf("%d parts are known a day later", n)
	}
}

// TestCollectOnFullDisk: a deletion or a collection that a full disk stops at any step says so, loses nothing that is in use, and the next
// one ends the work.
func TestCollectOnFullDisk(t *testing.T) {
	for at := 1; ; at++ {
		r := newRegistry(t)
		r.push("a", "text of a:1", "1")
		r.push("a", "text of a:2", "2", "3")
		r.push("b", "text of b:1", "1")
		n, where := 0, ""
		r.store.step = func(step string) error {
			if n++; n == at {
				where = step
				return &fs.PathError{Op: "write", Path: step, Err: syscall.ENOSPC}
			}
			return nil
		}
		gone := digestOf(manifestOf("text of a:2"))
		_, err := r.store.Delete(t.Context(), "a", gone)
		if err == nil {
			_, err = r.store.Collect(t.Context())
		}
		r.store.step = nil
		if err == nil {
			if at < 5 {
				t.Errorf("only %d steps were stopped", at-1)
			}
			return
		}
		if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), where) || at > 50 {
			t.Fatalf("stopped at step %d, %q: %v", at, where, err)
		}
		if !r.has("a", "1") || !r.has("b", "1") {
			t.Errorf("stopped at step %d, %q: an image in use is not whole", at, where)
		}
		if _, err := r.store.Delete(t.Context(), "a", gone); err != nil && !errors.Is(err, importer.ErrNone) {
			t.Errorf("stopped at step %d, %q: deleted again: %v", at, where, err)
		}
		r.later(25 * time.Hour)
		if _, err := r.store.Collect(t.Context()); err != nil {
			t.Errorf("stopped at step %d, %q: the next collection: %v", at, where, err)
		}
		if !r.has("a", "1") || !r.has("b", "1") || r.hasBlob("a", "text of a:2") ||
			r.disk() != r.size("a", "text of a:1", "b", "text of b:1") {
			t.Errorf("stopped at step %d, %q: after the next collection the wrong things are there, %d bytes", at, where, r.disk())
		}
	}
}

// size are the bytes of images, and of the configuration that they share.
func (r *registry) size(images ...string) (n int64) {
	for i := 1; i < len(images); i += 2 {
		n += int64(len(images[i]) + len(manifestOf(images[i])))
	}
	return n + int64(len(`{"os":"linux","architecture":"amd64"}`))
}
