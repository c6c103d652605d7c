package main

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"hardnode.dev/internal/testkit/full"
	"hardnode.dev/internal/wire/host"
)

// TestFullDisk: on a volume without a byte left all that is stored is served whole, a push and an import say what is wrong and what to do,
// and what they say can be done: templates are deleted, and their bytes are free.
func TestFullDisk(t *testing.T) {
	w := newWorld(t)
	dir := filepath.Join(w.dir, "data")
	full.At(t, dir, 12<<10)
	w.start()
	for i, n := range []string{"keep:1", "go:1", "go:2", "go:3"} {
		if err := w.push(n, w.image(2, int64(200_000+i*1000)), token); err != nil {
			t.Fatal(err)
		}
	}
	names := func() string {
		l, _ := w.list()
		var out []string
		for _, e := range l.Templates {
			out = append(out, string(e.Name))
		}
		return strings.Join(out, " ")
	}
	w.until("all are templates", func() bool { return names() == "go:1 go:2 go:3 keep:1" })
	l, _ := w.list()
	keep := l.Templates[3]
	raw, _ := json.Marshal(host.Used{Uses: []host.Use{{Name: keep.Name, Digest: keep.Digest, By: "node 100 of environment hello"}}})
	orch := w.as(anOrchestrator)
	ask := func(what string, want int, c *http.Client, method, path, body, bearer string) (freed host.Freed) {
		t.Helper()
		code, said, _ := w.do(c, method, path, body, bearer)
		json.Unmarshal([]byte(said), &freed)
		if code != want {
			t.Errorf("%s: got %d %s, want %d", what, code, said, want)
		}
		return freed
	}
	whole := func(when string) {
		t.Helper()
		img, err := remote.Image(w.ref("keep:1"), remote.WithTransport(w.transport(aHost)))
		if err == nil {
			err = validate.Image(img)
		}
		if err != nil {
			t.Errorf("%s: the image in use is not whole: %v", when, err)
		}
		if code, body, _ := w.do(w.as(aHost), "GET", host.ImagePath(keep.Digest), "", ""); code != 200 || int64(len(body)) != keep.Bytes {
			t.Errorf("%s: the template in use: %d, %d bytes of %d", when, code, len(body), keep.Bytes)
		}
	}
	ask("in use", 204, orch, "PUT", host.PathUsed, string(raw), "")

	// A push: without room to begin, and without room for its content.
	const words = "the registry's volume is full: delete templates (hnctl template rm)"
	for _, room := range []int64{0, 64} {
		free := full.Fill(t, dir, room)
		err := w.push("more:1", w.image(1, 400_000), token)
		if err == nil || !strings.Contains(err.Error(), words) || strings.Contains(err.Error(), dir) {
			t.Errorf("a push with %d KiB left: %v, want it to say %q and no file of the registry's", room, err, words)
		}
		whole("after the push")
		free()
		ask("collect", 200, orch, "POST", host.PathCollect, "", "")
	}
	// An import: all parts are there, and no room for the template.
	if err := w.push("more:1", w.image(1, 500_000), token); err != nil {
		t.Fatal(err)
	}
	w.until("it is imported", func() bool { return names() == "go:1 go:2 go:3 keep:1 more:1" })
	img := w.image(1, 600_000)
	if err := w.push("tight:sha256-"+strings.Repeat("0", 64), img, token); err != nil { // such a tag is no template's
		t.Fatal(err)
	}
	free := full.Fill(t, dir, 64)
	if err := w.push("tight:1", img, token); err != nil {
		t.Fatalf("a tag for what is there: %v", err)
	}
	w.until("the list says why it is not imported", func() bool {
		l, _ := w.list()
		return slices.ContainsFunc(l.Imports, func(i host.Import) bool { return strings.Contains(i.Reason, "volume is full") }) &&
			l.Runs[0].Name == "tight:1" && l.Runs[0].State == host.ImportFailed && l.Runs[0].Code == "exhausted" && l.Runs[0].Next != ""
	})
	free()

	// What one is told to do.
	free = full.Fill(t, dir, 0)
	ask("collect", 200, orch, "POST", host.PathCollect, "", "")
	ask("in use", 409, orch, "DELETE", host.PathTemplates+"keep:1", "", "")
	if freed := ask("delete", 200, orch, "DELETE", host.PathTemplates+"go:1", "", ""); freed.Images != 1 || freed.Bytes < 400_000 {
		t.Errorf("deleted: %+v", freed)
	}
	free()
	free = full.Fill(t, dir, 0)
	ask("delete with a container tool", 202, w.as(nil), "DELETE", "/v2/go/manifests/2", "", token)
	whole("after deletions")
	if got, want := names(), "go:3 keep:1 more:1"; got != want {
		t.Errorf("the list is %q, want %q", got, want)
	}
	free()
	ask("with room: collect", 200, orch, "POST", host.PathCollect, "", "")
	if code, body, _ := w.do(w.as(nil), "POST", host.PathImport, `{"name":"tight:1"}`, token); code != 200 {
		t.Errorf("with room: import: %d %s", code, body)
	}
	whole("at the end")
	if _, ok := slices.BinarySearch(strings.Fields(names()), "tight:1"); !ok {
		t.Errorf("the list is %q", names())
	}
}
