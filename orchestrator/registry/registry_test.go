package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/host/pull"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/registry/catalog"
)

const (
	cluster = "cl-0123456789abcdef"
	token   = "push-token-of-the-test"
)

// TestMain runs the program itself when the test started it as a child.
func TestMain(m *testing.M) {
	if os.Getenv("REGISTRY_CHILD") != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// world is a cluster's trust, an agent that signs certificates, and a place for a registry.

func TestPushImportPull(t *testing.T) {
	w := newWorld(t)
	w.start()
	img := w.image(3, 100_000)
	if err := w.push("team/web:1.2", img, "wrong"); err == nil {
		t.Error("a push with a wrong token went through")
	}
	if err := w.push("team/web:1.2", img, token); err != nil {
		t.Fatal(err)
	}
	code, body, _ := w.do(w.as(nil), http.MethodPost, host.PathImport, `{"name":"team/web:1.2"}`, token)
	if code != http.StatusOK {
		t.Fatalf("import: %d %s", code, body)
	}
	var tpl host.Template
	if err := json.Unmarshal([]byte(body), &tpl); err != nil || tpl.Validate() != nil {
		t.Fatalf("import answers %s: %v, %v", body, err, tpl.Validate())
	}
	if l, _ := w.list(); len(l.Templates) != 1 || l.Templates[0].Digest != tpl.Digest || l.Templates[0].HTTPPort != 80 {
		t.Errorf("got list %+v", l)
	}
	code, body, head := w.do(w.as(aHost), http.MethodGet, host.ImagePath(tpl.Digest), "", "")
	if code != http.StatusOK || wire.DigestOf(sha256.Sum256([]byte(body))) != tpl.Digest || head.Get("ETag") != `"`+string(tpl.Digest)+`"` {
		t.Errorf("image: %d, %d bytes, ETag %s", code, len(body), head.Get("ETag"))
	}
	req, err := pull.NewImageRequest(w.addr, tpl.Digest, tpl.Bytes-100)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := w.as(aHost).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	rest, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if resp.StatusCode != http.StatusPartialContent || string(rest) != body[len(body)-100:] {
		t.Errorf("range: %d, %d bytes", resp.StatusCode, len(rest))
	}
	pulled, err := remote.Image(w.ref("team/web:1.2"), remote.WithTransport(w.transport(aHost)))
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(pulled); err != nil {
		t.Error(err)
	}
}

func TestDoor(t *testing.T) {
	w := newWorld(t)
	w.start()
	none := strings.Repeat("0", 64)
	for _, c := range []struct {
		name, method, path, body, bearer string
		peer                             *identity.Peer
		want                             int
		code                             operator.Code
	}{
		{"list without a certificate", "GET", host.PathImages, "", "", nil, 403, operator.Denied},
		{"list with the push token only", "GET", host.PathImages, "", token, nil, 403, operator.Denied},
		{"image without a certificate", "GET", host.PathImages + "/sha256:" + none, "", "", nil, 403, operator.Denied},
		{"image that is not there", "GET", host.PathImages + "/sha256:" + none, "", "", aHost, 404, operator.NotFound},
		{"image with a path", "GET", host.PathImages + "/..%2fcatalog.json", "", "", aHost, 404, operator.NotFound},
		{"import without a token", "POST", host.PathImport, `{"name":"a:1"}`, "", aHost, 401, operator.Denied},
		{"import with a wrong token", "POST", host.PathImport, `{"name":"a:1"}`, token + "x", nil, 401, operator.Denied},
		{"import of nothing", "POST", host.PathImport, `{"name":"a:1"}`, token, nil, 404, operator.NotFound},
		{"import of a bad name", "POST", host.PathImport, `{"name":"../a"}`, token, nil, 422, operator.Invalid},
		{"import of a bad document", "POST", host.PathImport, `{"nome":"a"}`, token, nil, 422, operator.Invalid},
		{"pull without anything", "GET", "/v2/", "", "", nil, 401, operator.Denied},
		{"push with a certificate only", "POST", "/v2/a/blobs/uploads/", "", "", aHost, 401, operator.Denied},
		{"push of a name that can't be", "PUT", "/v2/a/manifests/" + strings.Repeat("x", 120), "{}", token, nil, 422, operator.Invalid},
	} {
		code, body, _ := w.do(w.as(c.peer), c.method, c.path, c.body, c.bearer)
		var p operator.Problem
		if err := json.Unmarshal([]byte(body), &p); err != nil || code != c.want || p.Code != c.code || p.Next == "" {
			t.Errorf("%s: got %d %s, want %d with code %s", c.name, code, body, c.want, c.code)
		}
	}
	other := newWorld(t)
	other.addr = w.addr
	if _, err := other.as(nil).Get("https://" + w.addr + host.PathHealthz); err == nil || !strings.Contains(err.Error(), "check CA pin") {
		t.Errorf("a client of another cluster got %v, want a word on the CA pin", err)
	}
}

// TestKilled kills the registry at some moment of a push and import, many times: afterwards the list names whole images only, nothing
// temporary is left, and the next import succeeds.
func TestKilled(t *testing.T) {
	w := newWorld(t)
	img := w.image(2, 4_000_000)
	rounds := 6
	if testing.Short() {
		rounds = 2
	}
	var want wire.Digest
	for i := range rounds {
		kill := w.start()
		done := make(chan struct{})
		go func() {
			defer close(done)
			if w.push(fmt.Sprintf("web:%d", i), img, token) == nil {
				req, _ := http.NewRequest(http.MethodPost, "https://"+w.addr+host.PathImport,
					strings.NewReader(fmt.Sprintf(`{"name":"web:%d"}`, i)))
				req.Header.Set("Authorization", "Bearer "+token)
				if resp, err := w.as(nil).Do(req); err == nil {
					resp.Body.Close()
				}
			}
		}()
		run.Wait(context.Background(), time.Duration(rand.Int64N(int64(250*time.Millisecond))))
		kill()
		<-done
		files, _ := filepath.Glob(filepath.Join(w.dir, "data/images/*.erofs"))
		for _, f := range files {
			raw, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			if got := wire.DigestOf(sha256.Sum256(raw)).Hex() + ".erofs"; got != filepath.Base(f) {
				t.Errorf("round %d: %s holds %s", i, filepath.Base(f), got)
			}
		}
	}
	kill := w.start()
	if err := w.push("web:last", img, token); err != nil {
		t.Fatal(err)
	}
	code, body, _ := w.do(w.as(nil), http.MethodPost, host.PathImport, `{"name":"web:last"}`, token)
	if code != http.StatusOK {
		t.Fatalf("import after the kills: %d %s", code, body)
	}
	w.until("no import waits for ever", func() bool {
		l, _ := w.list()
		return !slices.ContainsFunc(l.Runs, func(r host.ImportRun) bool { return !r.State.Final() })
	})
	l, _ := w.list()
	for _, r := range l.Runs {
		if r.State == host.ImportFailed && r.Reason != "the registry ended before it was done" {
			t.Errorf("after the kills: %+v", r)
		}
	}
	for _, e := range l.Templates {
		if want == "" {
			want = e.Digest
		}
		if code, body, _ := w.do(w.as(aHost), http.MethodGet, host.ImagePath(e.Digest), "", ""); code != 200 ||
			wire.DigestOf(sha256.Sum256([]byte(body))) != e.Digest || e.Digest != want {
			t.Errorf("%s: %d, digest of the content differs from %s or %s", e.Name, code, e.Digest, want)
		}
	}
	kill() // it may be importing what the earlier ones were pushed: only a start tidies up
	if _, err := catalog.Open(filepath.Join(w.dir, "data/images"), nil); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(w.dir, "data/images/.*")); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

// TestFailedImportIsTold: a push whose import fails is explained by the list, also after the registry was killed.
func TestFailedImportIsTold(t *testing.T) {
	w := newWorld(t)
	kill := w.start()
	img := w.image(1, 1000)
	cf, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	cf.Architecture = "s390x"
	if img, err = mutate.ConfigFile(img, cf); err != nil {
		t.Fatal(err)
	}
	if err := w.push("team/bad:1", img, token); err != nil {
		t.Fatal(err)
	}
	failed := func() bool {
		l, _ := w.list()
		return len(l.Imports) == 1 && l.Imports[0].Name == "team/bad:1" && l.Imports[0].State == host.ImportFailed &&
			strings.Contains(l.Imports[0].Reason, "is for linux/s390x")
	}
	w.until("the list says why the import failed", failed)
	before, _ := w.list()
	kill()
	w.start()
	w.until("it says so after a restart", failed)
	if err := w.push("web:1", w.image(1, 1000), token); err != nil { // once it is imported, what was there at the start has been looked at
		t.Fatal(err)
	}
	w.until("another image is a template", func() bool { l, _ := w.list(); return len(l.Templates) == 1 && len(l.Imports) == 1 })
	l, _ := w.list()
	if len(before.Runs) != 1 || len(l.Runs) != 2 || l.Runs[1] != before.Runs[0] || l.Runs[0].State != host.ImportDone {
		t.Errorf("the record of imports: %+v, before the restart %+v", l.Runs, before.Runs)
	}
	if r := before.Runs[0]; r.Name != "team/bad:1" || r.State != host.ImportFailed || r.Code != string(operator.Invalid) ||
		!strings.Contains(r.Reason, "is for linux/s390x") {
		t.Errorf("the failed import's record: %+v", r)
	}
	if err := w.push("team/bad:1", w.image(1, 1000), token); err != nil {
		t.Fatal(err)
	}
	w.until("the mended image is a template and nothing else", func() bool {
		l, _ := w.list()
		return len(l.Imports) == 0 && len(l.Templates) == 2
	})
}

// TestSignatureTags: what tools push about an image, under a tag made of its digest, is stored and is no template.
func TestSignatureTags(t *testing.T) {
	w := newWorld(t)
	w.start()
	hex := strings.Repeat("0123456789abcdef", 4)
	for _, tag := range []string{"sha256-" + hex, "sha256-" + hex + ".sig", "sha256-" + hex + ".att"} {
		if err := w.push("team/web:"+tag, w.image(1, 1000), token); err != nil {
			t.Errorf("%s: %v", tag, err)
		}
	}
	for _, tag := range []string{"sha256-" + hex[:40] + strings.Repeat("x", 30), strings.Repeat("a", 70)} {
		if err := w.push("team/web:"+tag, w.image(1, 1000), token); err == nil || !strings.Contains(err.Error(), "422") {
			t.Errorf("%s: %v, want it refused: it can't be a template's name", tag, err)
		}
	}
	if err := w.push("team/web:1", w.image(1, 1000), token); err != nil {
		t.Fatal(err)
	}
	w.until("the image is a template", func() bool { l, _ := w.list(); return len(l.Templates) == 1 && len(l.Imports) == 0 })
}

var anOrchestrator = &identity.Peer{CTID: 3, Component: "orchestrator", Host: "h-0123456789ab"}

// TestRetire: a template is deleted by the orchestrator's word or with the push token, unless it is in use; its bytes become free, and what
// hosts may still fetch stays.
func TestRetire(t *testing.T) {
	w := newWorld(t)
	w.start()
	images := func() (n int) {
		files, _ := filepath.Glob(filepath.Join(w.dir, "data/images/*.erofs"))
		return len(files)
	}
	for n, size := range map[string]int64{"team/web:1": 100_000, "team/web:2": 200_000, "team/web:3": 300_000, "db:1": 400_000} {
		if err := w.push(n, w.image(1, size), token); err != nil {
			t.Fatal(err)
		}
	}
	w.until("all are templates", func() bool { l, _ := w.list(); return len(l.Templates) == 4 })
	l, _ := w.list()
	tpl := map[string]host.Template{}
	for _, e := range l.Templates {
		tpl[string(e.Name)] = e
	}
	orch := w.as(anOrchestrator)
	refused := func(what string, code int, says, method, path string, c *http.Client, body, bearer string) {
		t.Helper()
		if got, answer, _ := w.do(c, method, path, body, bearer); got != code || !strings.Contains(answer, says) {
			t.Errorf("%s: got %d %s, want %d saying %q", what, got, answer, code, says)
		}
	}
	refused("before anybody said what is in use", 503, "not known what is in use", "DELETE", "/v2/db/manifests/1", w.as(nil), "", token)
	refused("a host deletes", 403, "only the orchestrator", "DELETE", host.PathTemplates+"db:1", w.as(aHost), "", "")
	refused("a host says what is in use", 403, "only the orchestrator", "PUT", host.PathUsed, w.as(aHost), "{}", "")
	refused("the push token collects", 403, "only the orchestrator", "POST", host.PathCollect, w.as(nil), "", token)
	refused("a use without a user", 422, "uses[0].by", "PUT", host.PathUsed, orch, `{"uses":[{"name":"a:1"}]}`, "")
	use := func(uses ...host.Use) {
		t.Helper()
		raw, _ := json.Marshal(host.Used{Uses: uses})
		refused("in use", 204, "", "PUT", host.PathUsed, orch, string(raw), "")
	}
	one := host.Use{Name: "team/web:1", Digest: tpl["team/web:1"].Digest, By: "layer cp of environment hello"}
	// its tag was pushed again since
	old := host.Use{Name: "team/web:3", Digest: tpl["team/web:2"].Digest, By: "node 100 of environment old"}
	use(one, old)
	refused("in use by name", 409, "layer cp of environment hello", "DELETE", host.PathTemplates+"team/web:1", orch, "", "")
	refused("in use by name, with crane", 409, "layer cp of environment hello", "DELETE", "/v2/team/web/manifests/1", w.as(nil), "", token)
	refused("in use by digest, with crane", 409, "layer cp", "DELETE", "/v2/team/web/manifests/"+string(tpl["team/web:1"].OCI),
		w.as(nil), "", token)
	refused("its image runs", 409, "node 100", "DELETE", host.PathTemplates+"team/web:2", orch, "", "")
	refused("without a token", 401, "push token", "DELETE", "/v2/db/manifests/1", w.as(nil), "", "")
	refused("with a certificate", 401, "push token", "DELETE", "/v2/db/manifests/1", w.as(aHost), "", "")
	refused("none", 404, "no such template", "DELETE", host.PathTemplates+"team/web:9", orch, "", "")
	refused("none, with crane", 404, "MANIFEST_UNKNOWN", "DELETE", "/v2/team/web/manifests/9", w.as(nil), "", token)
	refused("a blob", 405, "goes by itself", "DELETE", "/v2/team/web/blobs/"+string(tpl["team/web:1"].OCI), w.as(nil), "", token)
	if l, _ := w.list(); len(l.Templates) != 4 || images() != 4 {
		t.Fatalf("something was deleted: %+v", l)
	}
	code, body, _ := w.do(orch, "DELETE", host.PathTemplates+"db@"+string(tpl["db:1"].OCI), "", "")
	var freed host.Freed
	if err := json.Unmarshal([]byte(body), &freed); err != nil || code != 200 || len(freed.Names) != 1 || freed.Names[0] != "db:1" ||
		freed.Images != 1 || freed.Bytes < tpl["db:1"].Bytes+400_000 || images() != 3 {
		t.Errorf("got %d %s, %d images", code, body, images())
	}
	// By a container's tool: what was told may be old, so the image stays a while.
	if code, body, _ := w.do(w.as(nil), "DELETE", "/v2/team/web/manifests/3", "", token); code == 202 {
		t.Errorf("a tag in use was deleted: %s", body)
	}
	use(one)
	if code, body, _ := w.do(w.as(nil), "DELETE", "/v2/team/web/manifests/2", "", token); code != 202 || images() != 3 {
		t.Errorf("got %d %s, %d images", code, body, images())
	}
	if l, _ := w.list(); len(l.Templates) != 2 {
		t.Errorf("got %+v", l)
	}
	if code, _, _ := w.do(w.as(aHost), "GET", host.ImagePath(tpl["team/web:2"].Digest), "", ""); code != 200 {
		t.Errorf("an image that a node may be about to fetch: %d", code)
	}
	if err := w.push("team/web:2", w.image(1, 200_000), token); err != nil {
		t.Errorf("pushed again: %v", err)
	}
	w.until("what was deleted is a template again", func() bool { l, _ := w.list(); return len(l.Templates) == 3 })
	refused("a collection", 200, `"bytes":0`, "POST", host.PathCollect, orch, "", "")
}

func TestRefusesBadConfiguration(t *testing.T) {
	w := newWorld(t)
	for name, doc := range map[string]string{"none": "", "unknown field": `{"version":1,"nope":2}`,
		"plain token": `{"version":1,"cluster":"` + cluster + `","caPin":"` + w.pin() + `","pushToken":"x"}`} {
		os.WriteFile(filepath.Join(w.dir, "bad.json"), []byte(doc), 0o600)
		err := registry(context.Background(), nil, filepath.Join(w.dir, "bad.json"), w.dir, "127.0.0.1:0", "")
		if err == nil || !strings.Contains(err.Error(), "registry configuration") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// TestTag: an image gets another name, by its tag or its digest; another image's tag is moved only when that is said.
func TestTag(t *testing.T) {
	w := newWorld(t)
	kill := w.start()
	for n, size := range map[string]int64{"team/web:1": 100_000, "team/web:2": 200_000} {
		if err := w.push(n, w.image(1, size), token); err != nil {
			t.Fatal(err)
		}
	}
	tpl := func() map[wire.TemplateName]host.Template {
		out := map[wire.TemplateName]host.Template{}
		l, _ := w.list()
		for _, e := range l.Templates {
			out[e.Name] = e
		}
		return out
	}
	w.until("both are templates", func() bool { return len(tpl()) == 2 })
	first, second := tpl()["team/web:1"], tpl()["team/web:2"]
	orch := w.as(anOrchestrator)
	for _, q := range []struct {
		what string
		as   *http.Client
		body string
		code int
		says string
	}{
		{"a host", w.as(aHost), `{"of":"team/web:1","tag":"a"}`, 403, "only the orchestrator"},
		{"no document", orch, `{`, 422, "tag request"},
		{"no tag", orch, `{"of":"team/web:1"}`, 422, "is missing"},
		{"a tag that is none", orch, `{"of":"team/web:1","tag":"a/b"}`, 422, "template name"},
		{"a name that is none", orch, `{"of":"../web:1","tag":"a"}`, 422, "template name"},
		{"of none", orch, `{"of":"team/web:9","tag":"a"}`, 404, "no such image"},
		{"of no digest", orch, `{"of":"team/web@sha256:` + strings.Repeat("0", 64) + `","tag":"a"}`, 404, "no such image"},
		{"of no repository", orch, `{"of":"team/nosuch:1","tag":"a"}`, 404, "no such image"},
		{"by tag", orch, `{"of":"team/web:1","tag":"stable"}`, 200, `"team/web:stable"`},
		{"again", orch, `{"of":"team/web:1","tag":"stable"}`, 200, string(first.Digest)},
		{"another's", orch, `{"of":"team/web:2","tag":"stable"}`, 409, "there is another image by this name"},
		{"moved, by digest", orch, `{"of":"team/web@` + string(second.OCI) + `","tag":"stable","move":true}`, 200, string(second.Digest)},
		{"its own", orch, `{"of":"team/web:1","tag":"1"}`, 200, string(first.Digest)},
	} {
		if code, body, _ := w.do(q.as, "POST", host.PathTag, q.body, ""); code != q.code || !strings.Contains(body, q.says) {
			t.Errorf("%s: got %d %s, want %d saying %q", q.what, code, body, q.code, q.says)
		}
	}
	right := func(when string) {
		t.Helper()
		if got := tpl(); len(got) != 3 || got["team/web:stable"].Digest != second.Digest || got["team/web:1"].Digest != first.Digest {
			t.Errorf("%s: got %+v", when, got)
		}
	}
	right("after all")
	kill()
	w.start()
	right("after a restart")
	if d, err := remote.Head(w.ref("team/web:stable"), remote.WithTransport(w.transport(aHost))); err != nil ||
		d.Digest.String() != string(second.OCI) {
		t.Errorf("a container's tool gets %v, %v", d, err)
	}
}
