package archive

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

var plenty = Limits{Bytes: 1 << 20, Entries: 100}

func tarOf(t testing.TB, headers ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		text := h.Uname // the content, in a field that nothing reads
		h.Uname = ""
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
		}
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(text))
		}
		if h.Mode == 0 {
			h.Mode = 0o644
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			w.Write([]byte(text))
		}
	}
	w.Close()
	return b.Bytes()
}

func zipOf(t testing.TB, names ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, n := range names {
		h := &zip.FileHeader{Name: n}
		name, link, isLink := strings.Cut(n, "->")
		if h.SetMode(0o4755); isLink {
			h.Name = name
			h.SetMode(fs.ModeSymlink | 0o777)
		}
		f, err := w.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(n, "/") {
			f.Write([]byte(link + "x"))
		}
	}
	w.Close()
	return b.Bytes()
}

// tree is what is below a directory, as text.
func tree(t testing.TB, dir string) string {
	t.Helper()
	var list []string
	filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == dir {
			return err
		}
		rel, _ := filepath.Rel(dir, p)
		st, _ := d.Info()
		switch {
		case d.IsDir():
			rel += "/"
		case d.Type()&fs.ModeSymlink != 0:
			to, _ := os.Readlink(p)
			rel += "->" + to
		default:
			b, _ := os.ReadFile(p)
			rel += fmt.Sprintf("=%s(%o)", b, st.Mode()&(fs.ModePerm|fs.ModeSetuid))
		}
		list = append(list, rel)
		return nil
	})
	slices.Sort(list)
	return strings.Join(list, " ")
}

func extract(t testing.TB, raw []byte, l Limits) (string, Summary, error) {
	t.Helper()
	above := t.TempDir()
	dir := filepath.Join(above, "in")
	os.Mkdir(dir, 0o755)
	os.WriteFile(filepath.Join(above, "victim"), []byte("safe"), 0o644)
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	sum, err := Extract(t.Context(), bytes.NewReader(raw), int64(len(raw)), root, l)
	if b, _ := os.ReadFile(filepath.Join(above, "victim")); string(b) != "safe" {
		t.Errorf("a file outside was written: %q", b)
	}
	if list, _ := os.ReadDir(above); len(list) != 2 {
		t.Errorf("something was made outside: %v", list)
	}
	return tree(t, dir), sum, err
}

func TestFormats(t *testing.T) {
	plain := tarOf(t, tar.Header{Name: "app/", Typeflag: tar.TypeDir, Mode: 0o750}, tar.Header{Name: "app/run", Mode: 0o4755, Uname: "go"},
		tar.Header{Name: "app/l", Typeflag: tar.TypeSymlink, Linkname: "run"}, tar.Header{Name: "app/h", Typeflag: tar.TypeLink,
			Linkname: "app/run"})
	var gz, x, z bytes.Buffer
	g := gzip.NewWriter(&gz)
	g.Write(plain)
	g.Close()
	xw, _ := xz.NewWriter(&x)
	xw.Write(plain)
	xw.Close()
	zw, _ := zstd.NewWriter(&z)
	zw.Write(plain)
	zw.Close()
	const want = "app/ app/h=go(755) app/l->run app/run=go(755)"
	for format, raw := range map[string][]byte{"tar": plain, "tar.gz": gz.Bytes(), "tar.xz": x.Bytes(), "tar.zst": z.Bytes()} {
		got, sum, err := extract(t, raw, plenty)
		if got != want || err != nil || sum.Format != format || sum.Bytes != 2 {
			t.Errorf("%s: %s %+v %v", format, got, sum, err)
		}
	}
	got, sum, err := extract(t, zipOf(t, "a/", "a/b", "a/c->b"), plenty)
	if got != "a/ a/b=x(755) a/c->bx" || err != nil || sum.Format != "zip" {
		t.Errorf("zip: %s %+v %v", got, sum, err)
	}
	strip := plenty
	strip.Strip = 1
	if got, _, err := extract(t, plain, strip); got != "h=go(755) l->run run=go(755)" || err != nil {
		t.Errorf("stripped: %s %v", got, err)
	}
}

// TestHostile: an archive is the attacker.
func TestHostile(t *testing.T) {
	link := func(name, to string) tar.Header {
		return tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: to}
	}
	for name, c := range map[string]struct {
		raw []byte
		err string
	}{
		"above":                {tarOf(t, tar.Header{Name: "../victim", Uname: "x"}), `".." in it`},
		"above, in the middle": {tarOf(t, tar.Header{Name: "a/../../victim", Uname: "x"}), `".." in it`},
		"absolute":             {tarOf(t, tar.Header{Name: "/victim", Uname: "x"}), "is absolute"},
		"a link out":           {tarOf(t, link("l", "../victim")), "which is outside"},
		"an absolute link":     {tarOf(t, link("l", "/etc/passwd")), "which is outside"},
		"a link out by a link": {tarOf(t, link("a", "."), link("a/l", "../victim")), "no directory"},
		"a link out by links of its own": {tarOf(t, tar.Header{Name: "x/", Typeflag: tar.TypeDir}, link("x/y", ".."),
			link("z", "x/y/../etc")),
			"which is outside"},
		"through a link":           {tarOf(t, link("d", "e"), tar.Header{Name: "d/x", Uname: "x"}), "no directory"},
		"a hard link out":          {tarOf(t, tar.Header{Name: "h", Typeflag: tar.TypeLink, Linkname: "../victim"}), "outside"},
		"a hard link to a link":    {tarOf(t, link("l", "x"), tar.Header{Name: "h", Typeflag: tar.TypeLink, Linkname: "l"}), "no file"},
		"a device":                 {tarOf(t, tar.Header{Name: "d", Typeflag: tar.TypeChar, Devmajor: 1}), "neither a file"},
		"a pipe":                   {tarOf(t, tar.Header{Name: "d", Typeflag: tar.TypeFifo}), "neither a file"},
		"too deep":                 {tarOf(t, tar.Header{Name: strings.Repeat("d/", 70) + "x", Uname: "x"}), "deeper"},
		"zip, above":               {zipOf(t, "../victim"), `".." in it`},
		"zip, above by backslash":  {zipOf(t, `..\victim`), `".." in it`},
		"zip, a link out":          {zipOf(t, "l->../../y"), "outside"},
		"no archive":               {[]byte("hello"), "is none of tar"},
		"empty":                    {nil, "is none of tar"},
		"broken gz":                {[]byte("\x1f\x8bxxxxxxxxxxxx"), "read archive"},
		"broken zip":               {[]byte("PK\x03\x04xxxx"), "read archive"},
		"a file where a directory": {tarOf(t, tar.Header{Name: "a", Uname: "x"}, tar.Header{Name: "a/b", Uname: "x"}), "no directory"},
	} {
		if got, _, err := extract(t, c.raw, plenty); err == nil || !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %s %v, want %q", name, got, err, c.err)
		}
	}
	// A file takes the place of a link and is not written through it.
	got, _, err := extract(t, tarOf(t, tar.Header{Name: "x", Uname: "1"}, link("l", "x"), tar.Header{Name: "l", Uname: "2"}), plenty)
	if got != "l=2(644) x=1(644)" || err != nil {
		t.Errorf("over a link: %s %v", got, err)
	}
}

func TestBounds(t *testing.T) {
	big := tarOf(t, tar.Header{Name: "a", Uname: "12345"}, tar.Header{Name: "b", Uname: "67890"})
	if _, _, err := extract(t, big, Limits{Bytes: 10, Entries: 2}); err != nil {
		t.Errorf("just enough: %v", err)
	}
	if _, _, err := extract(t, big, Limits{Bytes: 9, Entries: 2}); err == nil || !strings.Contains(err.Error(), "more than 9 bytes") {
		t.Error(err)
	}
	if _, _, err := extract(t, big, Limits{Bytes: 10, Entries: 1}); err == nil || !strings.Contains(err.Error(), "more than 1 entries") {
		t.Error(err)
	}
}

func FuzzExtract(f *testing.F) {
	f.Add(tarOf(f, tar.Header{Name: "a/b", Uname: "12345"}, tar.Header{Name: "l", Typeflag: tar.TypeSymlink, Linkname: "a"}))
	f.Add(zipOf(f, "a/", "a/b", "l->a"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		extract(t, raw, Limits{Bytes: 1 << 16, Entries: 50})
	})
}
