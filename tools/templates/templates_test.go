package main

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"
)

// writeDeb makes a package file of the given files (tarGz says how).
func writeDeb(t *testing.T, cache, name, version string, files map[string]string) {
	t.Helper()
	files["./usr/share/doc/"+name+"/copyright"] = "free"
	control := map[string]string{"./control": "Package: " + name +
		"\nVersion: 1:2.5-1\nSource: huge (1:2.5)\nBuilt-Using: glibc (= 2.36-9)\nDescription: x\n y\n"}
	var ar bytes.Buffer
	ar.WriteString("!<arch>\n")
	for _, m := range []struct {
		name string
		body []byte
	}{{"debian-binary", []byte("2.0\n")}, {"control.tar.gz", tarGz(t, control)}, {"data.tar.gz", tarGz(t, files)}} {
		fmt.Fprintf(&ar, "%-16s%-12d%-6d%-6d%-8s%-10d`\n", m.name, 0, 0, 0, "100644", len(m.body))
		ar.Write(m.body)
		if len(m.body)%2 == 1 {
			ar.WriteByte('\n')
		}
	}
	if err := os.WriteFile(filepath.Join(cache, name+"_"+version+"_amd64.deb"), ar.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// tarGz packs files; a name that ends in ">target" is a symbolic link.
func tarGz(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var data bytes.Buffer
	z := gzip.NewWriter(&data)
	w := tar.NewWriter(z)
	for n, body := range files {
		h := &tar.Header{Name: n, Typeflag: tar.TypeReg, Mode: 0o755, Size: int64(len(body)), ModTime: time.Unix(1_600_000_000, 0)}
		if l, target, ok := strings.Cut(n, ">"); ok {
			h = &tar.Header{Name: l, Typeflag: tar.TypeSymlink, Linkname: target, Mode: 0o777, ModTime: h.ModTime}
			body = ""
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, body)
	}
	w.Close()
	z.Close()
	return data.Bytes()
}

const yaml = `version: 1
name: tiny
process:
  entrypoint: [tiny]
  stopSignal: SIGQUIT
http: 80
volumes: [{path: /var/lib/tiny, nodatacow: true}]
jem: {keep: [/etc/tiny]}
debian:
  versionOf: tiny
  limitMiB: 1
  packages:
    tiny: [bin/tiny, lib/x.so*]
  links: {bin: usr/bin, lib: usr/lib}
  directories: [tmp, usr/bin]
  sticky: [tmp]
  owned: {var/lib/tiny: {uid: 7, gid: 8, mode: "0700"}}
`

// setUp makes a template's folder and a full package cache, so that nothing is downloaded.
func setUp(t *testing.T, spec string, files map[string]string) (dir, out string) {
	t.Helper()
	dir, out = filepath.Join(t.TempDir(), "tiny"), t.TempDir()
	cache := filepath.Join(out, "packages")
	for _, d := range []string{filepath.Join(dir, "files/etc"), cache} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	os.WriteFile(filepath.Join(dir, "template.yaml"), []byte(spec), 0o600)
	os.WriteFile(filepath.Join(dir, "files/etc/passwd"), []byte("root:x:0:0::/:/bin/sh\n"), 0o600)
	writeDeb(t, cache, "tiny", "1%3a2.5-1", files)
	return dir, out
}

func tinyFiles() map[string]string {
	return map[string]string{"./bin/tiny": "#!x", "./lib/x.so.1.2": "lib", "./lib/x.so.1>x.so.1.2": "",
		"./usr/share/man/man1/tiny.1": "not wanted"}
}

func TestBuild(t *testing.T) {
	dir, out := setUp(t, yaml, tinyFiles())
	if err := build(context.Background(), dir, out, false); err != nil {
		t.Fatal(err)
	}
	b, ok := last(filepath.Join(out, "tiny.json"))
	if !ok || b.Version != "1:2.5-1" || b.Packages["tiny"] != "1:2.5-1" {
		t.Fatalf("got record %+v", b)
	}
	p, err := layout.FromPath(filepath.Join(out, "tiny"))
	if err != nil {
		t.Fatal(err)
	}
	idx, err := p.ImageIndex()
	if err != nil {
		t.Fatal(err)
	}
	m, err := idx.IndexManifest()
	if err != nil || len(m.Manifests) != 1 || m.Manifests[0].Digest.String() != b.Digest {
		t.Fatalf("got index %+v, %v", m, err)
	}
	if got := m.Manifests[0].Annotations["org.opencontainers.image.ref.name"]; got != "latest" {
		t.Errorf("got tag %q", got)
	}
	img, err := p.Image(m.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	cf, err := img.ConfigFile()
	if err != nil || cf.Config.StopSignal != "SIGQUIT" || cf.Config.Entrypoint[0] != "tiny" ||
		cf.Config.Labels["org.opencontainers.image.version"] != "1:2.5-1" ||
		cf.Config.Labels["io.hardnode.nodatacow"] != "/var/lib/tiny" {
		t.Errorf("got configuration %+v, %v", cf, err)
	}
	man, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range man.Layers {
		if l.MediaType != types.OCILayerZStd {
			t.Errorf("got media type %s", l.MediaType)
		}
	}

	again := filepath.Join(t.TempDir(), "out")
	os.MkdirAll(again, 0o755)
	os.Rename(filepath.Join(out, "packages"), filepath.Join(again, "packages"))
	if err := build(context.Background(), dir, again, false); err != nil {
		t.Fatal(err)
	}
	if c, _ := last(filepath.Join(again, "tiny.json")); c.Digest != b.Digest {
		t.Errorf("the same inputs give %s, then %s", b.Digest, c.Digest)
	}
}

func TestArchiveHoldsWhatIsWanted(t *testing.T) {
	dir, out := setUp(t, yaml, tinyFiles())
	s, err := readSpec(dir)
	if err != nil {
		t.Fatal(err)
	}
	debs, err := fetch(context.Background(), filepath.Join(out, "packages"), s.Debian.Names(), false, func(string, ...any) {})
	if err != nil {
		t.Fatal(err)
	}
	packages, own, err := gather(s, dir, debs)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, tr := range []tree{packages, own} {
		raw, err := tr.archive()
		if err != nil {
			t.Fatal(err)
		}
		r := tar.NewReader(bytes.NewReader(raw))
		for {
			h, err := r.Next()
			if err != nil {
				break
			}
			lines = append(lines, fmt.Sprintf("%s%o%s", h.Name, h.Mode, h.Linkname))
			if h.Name == "var/lib/tiny/" && (h.Uid != 7 || h.Gid != 8) {
				t.Errorf("%s is %d:%d's, want 7:8", h.Name, h.Uid, h.Gid)
			}
		}
	}
	want := "bin777usr/bin lib777usr/lib tmp/1777 usr/755 usr/bin/755 usr/bin/tiny755 usr/lib/755 usr/lib/x.so.1777x.so.1.2 " +
		"usr/lib/x.so.1.2755 usr/share/755 usr/share/doc/755 usr/share/doc/hardnode/755 usr/share/doc/hardnode/SOURCES644 " +
		"usr/share/doc/tiny/755 usr/share/doc/tiny/copyright755 var/755 var/lib/755 var/lib/tiny/700 " +
		"etc/755 etc/jem/755 etc/jem/template.json644 etc/passwd644"
	if got := strings.Join(lines, " "); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestSourcesNamed(t *testing.T) {
	_, out := setUp(t, yaml, tinyFiles())
	d := deb{name: "tiny", version: "1:2.5-1+b1", file: filepath.Join(out, "packages/tiny_1%3a2.5-1_amd64.deb")}
	raw, err := sourcesFile([]deb{d})
	want := "\ntiny 1:2.5-1+b1\n  from Debian's source package huge, version 1:2.5\n" +
		"  built using Debian's source package glibc, version 2.36-9\n"
	if err != nil || !strings.HasSuffix(string(raw), want) {
		t.Errorf("got %q, %v, want its end %q", raw, err, want)
	}
}

func TestBuildUpToDate(t *testing.T) {
	dir, out := setUp(t, yaml, tinyFiles())
	if err := build(context.Background(), dir, out, false); err != nil {
		t.Fatal(err)
	}
	index := filepath.Join(out, "tiny/index.json")
	before, err := os.Stat(index)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		change func()
		same   bool
	}{
		{"nothing changed", func() {}, true},
		{"a file changed", func() { os.WriteFile(filepath.Join(dir, "files/etc/passwd"), []byte("other"), 0o600) }, false},
	} {
		c.change()
		if err := build(context.Background(), dir, out, false); err != nil {
			t.Fatal(err)
		}
		after, err := os.Stat(index)
		if err != nil || os.SameFile(before, after) != c.same {
			t.Errorf("%s: built anew: %v, want %v (%v)", c.name, !os.SameFile(before, after), !c.same, err)
		}
	}
}

func TestBuildRefuses(t *testing.T) {
	elf, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Skip("needs /proc")
	}
	for _, c := range []struct {
		name, spec, want string
		files            map[string]string
	}{
		{"unknown field", yaml + "colour: red\n", "template.yaml:", tinyFiles()},
		{"version", strings.Replace(yaml, "version: 1", "version: 2", 1), "version: 2", tinyFiles()},
		{"path out", strings.Replace(yaml, "bin/tiny,", "../etc/passwd,", 1), "clean path", tinyFiles()},
		{"option as package", strings.Replace(yaml, "  tiny: [", "  -oDir=x: [", 1), "no name of a Debian package", tinyFiles()},
		{"nothing to build", yaml[:strings.Index(yaml, "debian:")], "say in debian which packages", tinyFiles()},
		{"two files at one place", strings.Replace(yaml, "bin/tiny, ", "bin/tiny, usr/lib/x.so, ", 1), "comes twice", map[string]string{
			"./bin/tiny": "x", "./lib/x.so": "", "./usr/lib/x.so": ""}},
		{"nothing to run", strings.Replace(yaml, "entrypoint: [tiny]", "entrypoint: []", 1), "entrypoint", tinyFiles()},
		{"pattern without a file", strings.Replace(yaml, "bin/tiny,", "bin/huge,", 1), `nothing in it matches "bin/huge"`, tinyFiles()},
		{"too large", yaml, "at most 1 are allowed", map[string]string{"./bin/tiny": string(make([]byte, 2<<20)), "./lib/x.so": ""}},
		{"program that can't be read", yaml, "read program", map[string]string{"./bin/tiny": string(elf[:100]), "./lib/x.so": ""}},
	} {
		dir, out := setUp(t, c.spec, c.files)
		err := build(context.Background(), dir, out, false)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", c.name, err, c.want)
		}
		if exists(filepath.Join(out, "tiny")) || exists(filepath.Join(out, "tiny.new")) {
			t.Errorf("%s: left a layout", c.name)
		}
	}
}

// TestRecipes: every template's recipe is right, has its folder's name, and is one of the table's.
func TestRecipes(t *testing.T) {
	files, err := filepath.Glob("*/template.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		s, err := readSpec(filepath.Dir(f))
		if err != nil {
			t.Error(err)
		} else if string(s.Name) != filepath.Dir(f) || s.Summary == "" {
			t.Errorf("%s: has name %q and summary %q, want its folder's name and a summary", f, s.Name, s.Summary)
		}
	}
}

// TestTable: the manual lists each template with its volumes and the size that it may have.
func TestTable(t *testing.T) {
	manual, err := os.ReadFile("../docs/environments.md")
	if err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob("*/template.yaml")
	for _, f := range files {
		s, err := readSpec(filepath.Dir(f))
		if err != nil {
			t.Fatal(err)
		}
		var volumes []string
		for _, v := range s.Volumes {
			volumes = append(volumes, v.Path)
		}
		row := fmt.Sprintf("| %s | %s | %s | %d |\n", s.Name, s.Summary, strings.Join(volumes, ", "), s.Debian.LimitMiB)
		if !strings.Contains(string(manual), row) {
			t.Errorf("tools/docs/environments.md lacks the row %q", row)
		}
	}
}

// TestLibraries: what programs need is taken from the packages of libraries, with what it is a link to and what it needs itself; nothing
// else of these is, and a package that nothing needs is told.
func TestLibraries(t *testing.T) {
	sh, err := os.ReadFile("/bin/sh")
	if err != nil || !bytes.HasPrefix(sh, []byte("\x7fELF")) {
		t.Skip("needs a dynamically linked /bin/sh")
	}
	names, err := needed(sh)
	if err != nil || len(names) == 0 {
		t.Skip("needs a dynamically linked /bin/sh: ", err)
	}
	libc := map[string]string{"./lib/other.so.1": "not wanted", "./lib/real": "not wanted"}
	for _, n := range names {
		libc["./lib/"+n+">real-"+n], libc["./lib/real-"+n] = "", "library"
	}
	spec := strings.Replace(yaml, "  links:", "  libraries: [libc6]\n  links:", 1)
	files := tinyFiles()
	files["./bin/tiny"] = string(sh)
	dir, out := setUp(t, spec, files)
	writeDeb(t, filepath.Join(out, "packages"), "libc6", "2.5-1", libc)
	s, err := readSpec(dir)
	if err != nil {
		t.Fatal(err)
	}
	debs, err := fetch(t.Context(), filepath.Join(out, "packages"), s.Debian.Names(), false, func(string, ...any) {})
	if err != nil {
		t.Fatal(err)
	}
	got, _, err := gather(s, dir, debs)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		if string(got["usr/lib/real-"+n].body) != "library" || got["usr/lib/"+n].head.Linkname != "real-"+n {
			t.Errorf("library %s is not there", n)
		}
	}
	if _, there := got["usr/lib/other.so.1"]; there || string(got["usr/share/doc/libc6/copyright"].body) != "free" {
		t.Error("a library that nothing needs was taken, or the licence was not")
	}
	spec = strings.Replace(spec, "[libc6]", "[libc6, libidle]", 1)
	dir, out = setUp(t, spec, files)
	writeDeb(t, filepath.Join(out, "packages"), "libc6", "2.5-1", libc)
	writeDeb(t, filepath.Join(out, "packages"), "libidle", "2.5-1", map[string]string{"./lib/idle.so": "x"})
	if err := build(t.Context(), dir, out, false); err == nil || !strings.Contains(err.Error(), "libidle") {
		t.Errorf("got %v, want the package's name that nothing needs", err)
	}
}

func TestCompleteNamesMissingLibraries(t *testing.T) {
	sh, err := os.ReadFile("/bin/sh")
	if err != nil || !bytes.HasPrefix(sh, []byte("\x7fELF")) {
		t.Skip("needs a dynamically linked /bin/sh")
	}
	err = complete(tree{"usr/bin/sh": {tar.Header{Typeflag: tar.TypeReg}, sh}})
	if err == nil || !strings.Contains(err.Error(), "usr/bin/sh needs libc.so.6") {
		t.Errorf("got %v, want the missing library's name", err)
	}
}
