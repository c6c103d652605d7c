//go:build qemu

package story

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/qemu-tests/cluster"
	"hardnode.dev/qemu-tests/harness"
	"hardnode.dev/qemu-tests/harness/ask"
)

// variant writes the template nginx, changed, as an OCI layout of its own and returns its folder.
func (s story) variant(name string, change func(*v1.ConfigFile)) string {
	s.Helper()
	index, err := layout.ImageIndexFromPath(filepath.Join(s.Root, "out/templates/nginx"))
	if err != nil {
		s.Fatal(err)
	}
	list, err := index.IndexManifest()
	if err != nil {
		s.Fatal(err)
	}
	img, err := index.Image(list.Manifests[0].Digest)
	if err != nil {
		s.Fatal(err)
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		s.Fatal(err)
	}
	cfg = cfg.DeepCopy()
	change(cfg)
	if img, err = mutate.ConfigFile(img, cfg); err != nil {
		s.Fatal(err)
	}
	dir := filepath.Join(s.TempDir(), name)
	to, err := layout.Write(dir, empty.Index)
	if err == nil {
		err = to.AppendImage(img)
	}
	if err != nil {
		s.Fatal(err)
	}
	return dir
}

// refusedPush pushes a layout that must be refused with all the words.
func (s story) refusedPush(dir string, want ...string) {
	s.Helper()
	out, err := s.HNCTL(s.Context(), "template", "push", dir)
	if err == nil {
		s.Errorf("%s was accepted: %s", filepath.Base(dir), out)
		return
	}
	s.figure("%s: %s", filepath.Base(dir), lastLines(err, 1))
	for _, w := range want {
		if !strings.Contains(err.Error(), w) {
			s.Errorf("%s: the answer doesn't say %q: %v", filepath.Base(dir), w, err)
		}
	}
}

// badTemplates: content that is not what its digest says gets in nowhere: not past hnctl, not past the registry, not past a host.
func badTemplates(s story) {
	made := func() (names []string, failed string) {
		var list []operator.Template
		if err := s.Get(s.Context(), &list, "template", "list"); err != nil {
			s.Fatal(err)
		}
		for _, t := range list {
			if t.Digest != "" {
				names = append(names, string(t.Name))
			} else {
				failed += fmt.Sprintf("%s %s: %s\n", t.Name, t.State, t.Reason)
			}
		}
		return names, failed
	}
	before, _ := made()
	torn := s.variant("torn-layer", func(c *v1.ConfigFile) { c.Author = "torn-layer" })
	blob := s.largest(filepath.Join(torn, "blobs/sha256"))
	flip(s, blob)
	s.refusedPush(torn, "layer sha256:"+filepath.Base(blob), "its content has digest sha256:", "build or copy the image again")
	lies := s.variant("wrong-diff", func(c *v1.ConfigFile) { c.RootFS.DiffIDs[0].Hex = strings.Repeat("0", 64) })
	s.refusedPush(lies, "templates/wrong-diff:latest", "layer sha256:"+strings.Repeat("0", 64), "its content hashes to sha256:", "mend the image and push it again")
	wrong := "sha256:" + strings.Repeat("1", 64)
	if status, words, err := s.Put(s.Context(), "wrong-blob", wrong, []byte("hello")); err != nil || status != 400 || !strings.Contains(words, "DIGEST_INVALID") {
		s.Errorf("the registry took a blob that isn't %s: %d %s %v", wrong, status, words, err)
	}
	s.until("the list says why the import failed", func() bool {
		_, failed := made()
		return strings.HasPrefix(failed, "wrong-diff:latest failed: ") && strings.Contains(failed, "its content hashes to sha256:")
	})
	if after, failed := made(); !slices.Equal(after, before) {
		s.Errorf("templates were %q, are %q; not made: %s", before, after, failed)
	}
	s.damagedOnDisk()
}

// damagedOnDisk: the registry's disk turns a bit of a template round. Hosts refuse it and keep nothing of it, the create that needs it
// fails and, as it was asked to, is undone, and pushing the template again mends it.
func (s story) damagedOnDisk() {
	s.Helper()
	dir := s.variant("torn", func(c *v1.ConfigFile) { c.Author = "torn" })
	var t host.Template
	if err := json.Unmarshal([]byte(s.hnctl("template", "push", dir, "-o", "json")), &t); err != nil {
		s.Fatal(err)
	}
	s.listed("torn")
	counts, images := s.counts(), s.images()
	s.ask(s.Infra, ask.Request{What: "damage", Path: path.Join("/data/ct/1/vol-data/images", t.Digest.Hex()+".erofs")})
	marks := map[*cluster.Machine]int{}
	for _, h := range s.Hosts {
		marks[h] = h.VM().Console.Mark()
	}
	out, err := s.HNCTL(s.Context(), "env", "create", "--undo", "-f", s.file("torn", 2, "template: nginx", "template: torn"))
	if err == nil {
		s.Fatalf("an environment of a damaged template was created: %s", out)
	}
	s.figure("damaged template: %s", lastLines(err, 2))
	for _, w := range []string{"environments/torn", "is broken", "image torn:latest (" + string(t.Digest) + ")", "its content has digest sha256:", "next: "} {
		if !strings.Contains(err.Error(), w) {
			s.Errorf("the answer doesn't say %q: %v", w, err)
		}
	}
	ctx, cancel := context.WithTimeout(s.Context(), 10*time.Second*harness.Scale())
	defer cancel()
	said := 0 // by the agent's warning, or by the status: that is looked at once a second, and the create may be undone before
	for h, mark := range marks {
		if line, err := h.VM().WaitAfter(ctx, mark, `image torn:latest \(`+string(t.Digest)+`\) from .*: its content has digest .*push the template again`); err == nil {
			said++
			s.figure("damaged template, console of %s: %s", h.Name, line[0])
		}
	}
	if said == 0 {
		s.Error("no host's console says what is wrong")
	}
	s.gone("torn")
	s.sameCounts(counts)
	if after := s.images(); !slices.EqualFunc(images, after, slices.Equal) {
		s.Errorf("images on the hosts were %q, are %q", images, after)
	}
	s.hnctl("template", "push", dir)
	s.hnctl("env", "create", "-f", s.file("torn", 2, "template: nginx", "template: torn"))
	s.settled("torn")
	s.delete("torn")
	s.sameCounts(counts)
}

// lastLines are an error's last lines, as one: hnctl's progress comes before them.
func lastLines(err error, n int) string {
	all := strings.Split(err.Error(), "\n")
	return strings.Join(all[max(0, len(all)-n):], "; ")
}

// images are the files in every user host's image store.
func (s story) images() (out [][]string) {
	s.Helper()
	for _, h := range s.Hosts {
		out = append(out, s.ask(h, ask.Request{What: "list", Path: "/data/images"}).Names)
	}
	return out
}

// listed waits until the orchestrator knows the template.
func (s story) listed(name string) {
	s.Helper()
	s.until("template "+name+" is listed", func() bool {
		var list []operator.Template
		err := s.Get(s.Context(), &list, "template", "list")
		return err == nil && slices.ContainsFunc(list, func(t operator.Template) bool { return string(t.Name) == name+":latest" })
	})
}

func (s story) largest(dir string) (file string) {
	s.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		s.Fatal(err)
	}
	var size int64
	for _, e := range list {
		if st, err := e.Info(); err == nil && st.Size() > size {
			file, size = filepath.Join(dir, e.Name()), st.Size()
		}
	}
	return file
}

// flip turns the last bit of a file's last byte round.
func flip(s story, file string) {
	s.Helper()
	raw, err := os.ReadFile(file)
	if err == nil {
		raw[len(raw)-1] ^= 1
		err = os.WriteFile(file, raw, 0o600)
	}
	if err != nil {
		s.Fatal(err)
	}
}
