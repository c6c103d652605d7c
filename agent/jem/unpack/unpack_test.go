package unpack

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hardnode.dev/agent/jem/contract/contracttest"
	"hardnode.dev/internal/wire/jem"
)

func tarOf(files map[string]string) string {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, text := range files {
		w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text)), Typeflag: tar.TypeReg})
		w.Write([]byte(text))
	}
	w.Close()
	return b.String()
}

func TestUnpack(t *testing.T) {
	good, bad := tarOf(map[string]string{"app/a": "1"}), tarOf(map[string]string{"../a": "1"})
	for _, c := range []struct {
		argv, in string
		told     jem.Told
		code     string
		message  string
		has      string // below srv
	}{
		{"archive /srv/new", good, jem.Told{}, "ok", "tar: 1 entries, 0 KiB, unpacked into /srv/new", "full/x new/app/a"},
		{"archive /srv/new --strip 1", good, jem.Told{}, "ok", "", "full/x new/a"},
		{"archive /srv/full", good, jem.Told{}, "conflict", "/srv/full is not empty", "full/x"},
		{"archive /srv/full --over", good, jem.Told{}, "ok", "", "full/app/a full/x"},
		{"archive /srv/new", bad, jem.Told{}, "invalid", "what was done is taken back", "full/x"},
		{"archive /srv/new", "", jem.Told{}, "invalid", "no archive is sent along", "full/x"},
		{"archive /srv/new", "text", jem.Told{}, "invalid", "none of tar", "full/x"},
		{"archive /srv/full/x", good, jem.Told{}, "conflict", "not a directory", "full/x"},
		{"archive /srv/new --file /a.tar", "", jem.Told{}, "ok", "", "full/x new/app/a"},
		{"archive /srv/new --file /none.tar", "", jem.Told{}, "not_found", "no such file", "full/x"},
		{"archive /srv/new --file a.tar", "", jem.Told{}, "invalid", "is not absolute", "full/x"},
		{"archive srv", good, jem.Told{}, "invalid", "is not absolute", "full/x"},
		{"archive /srv/new", good, jem.Told{DiskUsed: 96999, DiskLimit: 100000}, "exhausted", "more than the 0 MiB", "full/x"},
	} {
		root := contracttest.Root(t, map[string]string{"srv/full/x": "x", "a.tar": good})
		r := contracttest.Call(t, Module, root, contracttest.Options{In: c.in, Told: c.told}, strings.Fields(c.argv)...)
		var has []string
		filepath.WalkDir(filepath.Join(root, "srv"), func(p string, d os.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				has = append(has, strings.TrimPrefix(p, filepath.Join(root, "srv")+"/"))
			}
			return nil
		})
		if _, err := os.Stat(filepath.Join(root, "srv/new")); err == nil && r.Code != "ok" {
			t.Errorf("%s: /srv/new is left behind", c.argv)
		}
		if r.Code != c.code || !strings.Contains(r.Message, c.message) || strings.Join(has, " ") != c.has {
			t.Errorf("%s: %s %q %v", c.argv, r.Code, r.Message, has)
		}
	}
}
