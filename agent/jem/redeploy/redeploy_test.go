package redeploy

import (
	"archive/tar"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hardnode.dev/agent/jem/contract/contracttest"
	"hardnode.dev/internal/wire/jem"
)

func call(t *testing.T, root, in string, argv ...string) jem.Reply {
	t.Helper()
	return contracttest.Call(t, Module, root, contracttest.Options{In: in}, argv...)
}

// TestAlong: what the lists name is in the container of the new image, as it was; that image's own stays.
func TestAlong(t *testing.T) {
	old := contracttest.Root(t, map[string]string{
		"etc/jem/template.json": `{"version":1,"name":"old","keep":["/etc/nginx","/var/www/","/srv/none","/etc/jem"]}`,
		"etc/jem/redeploy.conf": "# mine\n\n/etc/nginx/conf.d\n  /opt/app  \n/var/www\n",
		"etc/jem/env":           "A=b\n", "etc/nginx/conf.d/site.conf": "mine", "etc/nginx/on.conf@": "/etc/nginx/conf.d/site.conf",
		"var/www/index.html": "hello", "opt/app/run": "#!/bin/sh\n", "etc/passwd": "old", "usr/bin/tool": "old", "var/www/odd\nname": "x",
	})
	if err := os.Chmod(filepath.Join(old, "opt/app"), 0o711); err != nil {
		t.Fatal(err)
	}
	r := call(t, old, "", "list")
	want := "[map[is:file of:jem path:/etc/jem/env] map[is:file of:jem path:/etc/jem/redeploy.conf] " +
		"map[is:directory of:template path:/etc/nginx] map[is:directory of:list path:/opt/app] " +
		"map[is:not there of:template path:/srv/none] map[is:directory of:template path:/var/www]]"
	if got := fmt.Sprint(r.Items); got != want {
		t.Errorf("list: got %s, want %s", got, want)
	}
	if r := call(t, old, "", "pack"); r.Code != jem.CodeOK || !strings.HasSuffix(r.Message, "are packed in "+packed) {
		t.Fatalf("pack: %+v", r)
	}
	archive := contracttest.Text(old, packed)
	next := contracttest.Root(t, map[string]string{"etc/jem/template.json": `{"version":1,"name":"new"}`, "etc/passwd": "new",
		"etc/nginx/conf.d/site.conf": "of the image", "etc/nginx/new.conf": "new", "usr/bin/tool": "new"})
	if r := call(t, next, archive, "unpack"); r.Code != jem.CodeOK {
		t.Fatalf("unpack: %+v", r)
	}
	for path, want := range map[string]string{"etc/nginx/conf.d/site.conf": "mine", "var/www/index.html": "hello", "etc/passwd": "new",
		"usr/bin/tool": "new", "etc/nginx/new.conf": "new", "etc/jem/env": "A=b\n", "etc/jem/template.json": `{"version":1,"name":"new"}`,
		"var/www/odd\nname": "x"} {
		if got := contracttest.Text(next, path); got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
	if to, _ := os.Readlink(filepath.Join(next, "etc/nginx/on.conf")); to != "/etc/nginx/conf.d/site.conf" {
		t.Errorf("the link says %q", to)
	}
	if st, err := os.Stat(filepath.Join(next, "opt/app")); err != nil || st.Mode().Perm() != 0o711 {
		t.Errorf("opt/app: %v %v", st, err)
	}
}

// TestHostileLists: what a list must not name is refused with the line, and nothing is packed.
func TestHostileLists(t *testing.T) {
	for text, want := range map[string]string{
		"/var/www\n/\n":               "line 2: path \"/\": / is the image's",
		"/etc/../root\n":              `".." in it`,
		"/proc/self\n":                "/proc is the image's",
		"/usr/bin/passwd\n":           "/usr/bin is the image's",
		"/var/lib/hardnode\n":         "the host's own",
		"relative\n":                  "want an absolute path",
		"/a\x01b\n":                   "control character",
		strings.Repeat("/x\n", 30000): "at most 65536 bytes",
		strings.Repeat("/x\n", 201):   "202 paths are to go along, at most 200",
	} {
		root := contracttest.Root(t, map[string]string{"etc/jem/redeploy.conf": text, "var/www/x": "x"})
		for _, action := range []string{"list", "pack"} {
			r := call(t, root, "", action)
			if r.Code != "conflict" || !strings.Contains(r.Message, want) || contracttest.Text(root, packed) != "" {
				t.Errorf("%s of %.40q: %s %.200q, want %q", action, text, r.Code, r.Message, want)
			}
		}
	}
	pipe := contracttest.Root(t, map[string]string{"etc/jem/redeploy.conf@": "/dev/zero"})
	if r := call(t, pipe, "", "list"); r.Code != "conflict" || !strings.Contains(r.Message, "no regular file") {
		t.Errorf("a list that is a device: %+v", r)
	}
	inside := contracttest.Root(t, map[string]string{"etc/jem/redeploy.conf": "/srv\n", "srv/x": "x"})
	if r := call(t, inside, "", "pack", "--to", "/srv/x.tar"); r.Code != "invalid" || !strings.Contains(r.Message, "is below /srv") {
		t.Errorf("an archive that packs itself: %+v", r)
	}
	if r := call(t, contracttest.Root(t, nil), "", "pack"); r.Code != "not_found" {
		t.Errorf("nothing to pack: %+v", r)
	}
}

// TestHostileArchives: one wrong entry, and nothing is unpacked.
func TestHostileArchives(t *testing.T) {
	for name, c := range map[string]struct {
		h    tar.Header
		want string
	}{
		"out":          {tar.Header{Name: "../victim", Typeflag: tar.TypeReg}, "leads elsewhere"},
		"absolute":     {tar.Header{Name: "/srv/x", Typeflag: tar.TypeReg}, "leads elsewhere"},
		"a program":    {tar.Header{Name: "usr/bin/sh", Typeflag: tar.TypeReg}, "is the image's own"},
		"round about":  {tar.Header{Name: "srv/../usr/bin/sh", Typeflag: tar.TypeReg}, "is the image's own"},
		"the template": {tar.Header{Name: "etc/jem/template.json", Typeflag: tar.TypeReg}, "is the image's own"},
		"etc":          {tar.Header{Name: "etc/", Typeflag: tar.TypeDir}, "is the image's own"},
		"everything":   {tar.Header{Name: "./", Typeflag: tar.TypeDir}, "is the image's own"},
		"a device":     {tar.Header{Name: "srv/null", Typeflag: tar.TypeChar}, "neither a file"},
		"another name": {tar.Header{Name: "srv/x", Linkname: "usr/bin/sh", Typeflag: tar.TypeLink}, "is the image's own"},
	} {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		w.WriteHeader(&tar.Header{Name: "srv/first", Typeflag: tar.TypeReg, Mode: 0o644})
		w.WriteHeader(&c.h)
		w.Close()
		root := contracttest.Root(t, map[string]string{"srv/": "", "usr/bin/sh": "own"})
		r := call(t, root, b.String(), "unpack")
		_, err := os.Lstat(filepath.Join(root, "srv/first"))
		if r.Code != "invalid" || !strings.Contains(r.Message, c.want) || err == nil || contracttest.Text(root, "usr/bin/sh") != "own" {
			t.Errorf("%s: %s %q, want %q; %v", name, r.Code, r.Message, c.want, err)
		}
	}
	for in, want := range map[string]string{"": "no archive is sent along", "no tar": "archive: "} {
		if r := call(t, contracttest.Root(t, nil), in, "unpack"); r.Code != "invalid" || !strings.Contains(r.Message, want) {
			t.Errorf("%q: %+v", in, r)
		}
	}
	// through a link that the container has
	root := contracttest.Root(t, map[string]string{"srv/": "", "out/": ""})
	os.Symlink("/", filepath.Join(root, "srv/l"))
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	w.WriteHeader(&tar.Header{Name: "srv/l/tmp/jem-victim", Typeflag: tar.TypeReg, Mode: 0o644})
	w.Close()
	if r := call(t, root, b.String(), "unpack"); r.Code != "conflict" {
		t.Errorf("through a link: %+v", r)
	}
	if _, err := os.Lstat("/tmp/jem-victim"); err == nil {
		t.Error("it went through the link")
	}
}
