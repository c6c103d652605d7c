package debian

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestSourcesOf(t *testing.T) {
	for _, c := range []struct {
		name, control string
		want          []Source
	}{
		{"named like its source", "Package: btrfs-progs\nVersion: 6.2-1\n", []Source{{"btrfs-progs", "6.2-1"}}},
		{"another name, the same version", "Package: libc6\nVersion: 2.36-9\nSource: glibc\n", []Source{{"glibc", "2.36-9"}}},
		{"built anew without a change of source", "Package: libext2fs2\nVersion: 1.47.0-2+b2\nSource: e2fsprogs (1.47.0-2)\n",
			[]Source{{"e2fsprogs", "1.47.0-2"}}},
		{"a signed kernel", "Package: linux-image\nVersion: 6.12-1\nSource: linux-signed (6.12+1)\nBuilt-Using: linux (= 6.12-1)\n",
			[]Source{{"linux-signed", "6.12+1"}, {"linux", "6.12-1"}}},
		{"folded lists, epochs", "Package: x\nVersion: 1:2\nBuilt-Using: a (= 1:3),\n b (= 4)\nStatic-Built-Using: c (= 5)\n",
			[]Source{{"x", "1:2"}, {"a", "1:3"}, {"b", "4"}, {"c", "5"}}},
	} {
		if got, err := SourcesOf(c.control); err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %v, %v, want %v", c.name, got, err, c.want)
		}
	}
	if _, err := SourcesOf("Package: x\n"); err == nil {
		t.Error("a package without a version was taken")
	}
}

func TestCommonLicences(t *testing.T) {
	text := "see `/usr/share/common-licenses/GPL-2'. On Debian: /usr/share/common-licenses/LGPL.\n/usr/share/common-licenses/GPL-2, and\n" +
		"(/usr/share/common-licenses/Apache-2.0). The folder /usr/share/common-licenses/ itself is no licence."
	if got, want := commonLicences(text), []string{"Apache-2.0", "GPL-2", "GPL-3", "LGPL"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// cached puts a package into the archive's cache as if it had been downloaded and unpacked.
func cached(t *testing.T, a Archive, name string, files map[string]string) Package {
	t.Helper()
	p := Package{Name: name, Version: "1", SHA256: "sum of " + name, Deb: name + "_1_amd64.deb"}
	dir := filepath.Join(a.Cache, "unpacked", name)
	files[".unpacked"] = p.SHA256
	for f, text := range files {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, f)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, f), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func TestCopyrightIsThePackagesOwn(t *testing.T) {
	a := Archive{Cache: t.TempDir()}
	with := cached(t, a, "with", map[string]string{"usr/share/doc/with/copyright": "free"})
	if text, err := a.copyright(t.Context(), with); err != nil || text != "free" {
		t.Errorf("got %q, %v", text, err)
	}
	without := cached(t, a, "without", map[string]string{"usr/share/doc/without/changelog": "x"})
	if _, err := a.copyright(t.Context(), without); err == nil || !strings.Contains(err.Error(), `"without"`) {
		t.Errorf("got %v, want an error that names the package", err)
	}
}

func TestCommonTextsComeOnceEach(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"GPL-2": "two", "GPL-3": "three\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("GPL-3", filepath.Join(dir, "GPL")); err != nil {
		t.Fatal(err)
	}
	line := strings.Repeat("=", 78)
	want := "\n" + line + "\n/usr/share/common-licenses/GPL-2\n" + line + "\n\ntwo\n" +
		"\n" + line + "\n/usr/share/common-licenses/GPL, /usr/share/common-licenses/GPL-3\n" + line + "\n\nthree\n"
	if got, err := commonTexts(dir, []string{"GPL", "GPL-2", "GPL-3"}); err != nil || got != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	if _, err := commonTexts(dir, []string{"GPL-9"}); err == nil || !strings.Contains(err.Error(), "GPL-9") {
		t.Errorf("got %v, want an error that names the licence", err)
	}
}

func TestOwnersAreThePackagesWithFiles(t *testing.T) {
	pkgs := []Package{{Name: "libc6"}, {Name: "gcc-base"}, {Name: "libc"}}
	files := []File{{Source: "/cache/unpacked/libc6/lib/libc.so.6"}, {Source: "/cache/unpacked/libc6/lib/ld.so"}}
	if got, want := owners(files, "/cache/unpacked", pkgs), []Package{{Name: "libc6"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
