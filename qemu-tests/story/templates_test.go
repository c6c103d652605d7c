//go:build qemu

package story

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/qemu-tests/cluster"
	"hardnode.dev/qemu-tests/harness"
	"hardnode.dev/qemu-tests/harness/ask"
)

// small writes an image of busybox, whose config is as change makes it, as an OCI layout of its own and returns its folder. It is some 2
// MiB, so that what is tried with it does not wait for imports.
func (s story) small(name string, change func(*v1.ConfigFile)) string {
	s.Helper()
	layer, err := busybox()
	if err != nil {
		s.Fatal(err)
	}
	img, err := mutate.AppendLayers(mutate.MediaType(empty.Image, types.OCIManifestSchema1), layer)
	if err != nil {
		s.Fatal(err)
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		s.Fatal(err)
	}
	cfg = cfg.DeepCopy()
	cfg.Architecture, cfg.OS, cfg.Author = "amd64", "linux", name
	cfg.Config.Entrypoint = []string{"sh", "-c", "while :; do sleep 60; done"}
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

// busybox is a layer with this machine's busybox, its applets and the folders of a usual root.
func busybox() (v1.Layer, error) {
	bin, err := exec.LookPath("busybox")
	if err != nil {
		return nil, fmt.Errorf("busybox is not installed (make deps): %w", err)
	}
	raw, err := os.ReadFile(bin)
	if err != nil {
		return nil, err
	}
	applets, err := exec.Command(bin, "--list").Output()
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	var all error
	put := func(h tar.Header, content []byte) {
		h.Size = int64(len(content))
		all = errors.Join(all, w.WriteHeader(&h))
		_, err := w.Write(content)
		all = errors.Join(all, err)
	}
	for _, d := range []string{"bin", "dev", "etc", "proc", "root", "run", "sys", "var"} {
		put(tar.Header{Typeflag: tar.TypeDir, Name: d + "/", Mode: 0o755}, nil)
	}
	put(tar.Header{Typeflag: tar.TypeDir, Name: "tmp/", Mode: 0o1777}, nil)
	put(tar.Header{Typeflag: tar.TypeReg, Name: "etc/passwd", Mode: 0o644}, []byte("root:x:0:0:root:/root:/bin/sh\n"))
	put(tar.Header{Typeflag: tar.TypeReg, Name: "bin/busybox", Mode: 0o755}, raw)
	for _, a := range strings.Fields(string(applets)) {
		if a != "busybox" {
			put(tar.Header{Typeflag: tar.TypeSymlink, Name: "bin/" + a, Linkname: "busybox", Mode: 0o777}, nil)
		}
	}
	if err := errors.Join(all, w.Close()); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(out.Bytes())), nil })
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
	torn := s.small("torn-layer", func(*v1.ConfigFile) {})
	blob := s.largest(filepath.Join(torn, "blobs/sha256"))
	flip(s, blob)
	s.refusedPush(torn, "layer sha256:"+filepath.Base(blob), "its content has digest sha256:", "build or copy the image again")
	lies := s.small("wrong-diff", func(c *v1.ConfigFile) { c.RootFS.DiffIDs[0].Hex = strings.Repeat("0", 64) })
	s.refusedPush(lies, "templates/wrong-diff:latest", "layer sha256:"+strings.Repeat("0", 64), "its content hashes to sha256:",
		"mend the image and push it again")
	wrong := "sha256:" + strings.Repeat("1", 64)
	if status, words, err := s.Put(s.Context(), "wrong-blob", wrong, []byte("hello")); err != nil || status != 400 ||
		!strings.Contains(words, "DIGEST_INVALID") {
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
	dir := s.small("torn", func(*v1.ConfigFile) {})
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
	for _, w := range []string{"environments/torn", "is broken", "image torn:latest (" + string(t.Digest) + ")",
		"its content has digest sha256:", "next: "} {
		if !strings.Contains(err.Error(), w) {
			s.Errorf("the answer doesn't say %q: %v", w, err)
		}
	}
	ctx, cancel := context.WithTimeout(s.Context(), 10*time.Second*harness.Scale())
	defer cancel()
	said := 0 // by the agent's warning, or by the status: that is looked at now and then, and the create may be undone before
	for h, mark := range marks {
		if line, err := h.VM().WaitAfter(ctx, mark,
			`image torn:latest \(`+string(t.Digest)+`\) from .*: its content has digest .*push the template again`); err == nil {
			said++
			s.figure("damaged template, console of %s: %s", h.Name, line[0])
		}
	}
	if said == 0 {
		s.Error("no host's console says what is wrong")
	}
	s.gone("torn")
	s.noMoreThan(counts)
	if after := s.images(); !slices.EqualFunc(images, after, slices.Equal) {
		s.Errorf("images on the hosts were %q, are %q", images, after)
	}
	s.hnctl("template", "push", dir)
	s.hnctl("env", "create", "-f", s.file("torn", 2, "template: nginx", "template: torn"))
	s.settled("torn")
	s.delete("torn")
	s.noMoreThan(counts)
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
