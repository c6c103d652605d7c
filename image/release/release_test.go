package release

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/release"
)

func TestDescribed(t *testing.T) {
	if _, err := Described(); err != nil {
		t.Error(err)
	}
}

func TestDescriptionRefused(t *testing.T) {
	const good = "version: 1.4.0\nchannel: stable\nseverity: normal\nfloors: [1.1.0, 1.10.0-rc.1]\nnotes: new\n"
	if d, err := describe([]byte(strings.Replace(good, "1.10.0-rc.1", "1.3.10", 1))); err != nil || d.Floors[1] != "1.3.10" {
		t.Fatalf("%+v, %v", d, err)
	}
	for _, c := range []struct{ from, to, want string }{
		{"1.4.0", "1.4", `release.yaml:1:1: version: version "1.4": want three numbers`},
		{"1.4.0", "v1.4.0", `want three numbers`},
		{"version: 1.4.0\n", "", "version"},
		{"stable", "tomorrow", `release.yaml:2:1: channel: "tomorrow" is none`},
		{"severity: normal", "severity: Critical", `severity: "Critical" is none`},
		{"[1.1.0, 1.10.0-rc.1]", "[1.4.0]", "floors: floors[0]: 1.4.0 is not older than the release"},
		{"", "", "floors[1]: 1.10.0-rc.1 is not older"},
		{"notes: new", "notes: ' '", "notes: has 0 bytes"},
		{"notes: new", "notes: new\nnote: x", "note"},
	} {
		if _, err := describe([]byte(strings.Replace(good, c.from, c.to, 1))); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q in place of %q: got %v, want an error with %q", c.to, c.from, err, c.want)
		}
	}
}

// content is that of a small release, whose files lie in dir.
func content(t *testing.T, dir string) Content {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"host.efi": "a UKI", "registry.erofs": "an image"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	sum, size, err := weigh(filepath.Join(dir, "registry.erofs"))
	if err != nil {
		t.Fatal(err)
	}
	return Content{Description: Description{Version: "1.4.0", Channel: release.Stable, Severity: release.Normal, Notes: "new"}, Time: 1,
		Files: []File{
			{Name: "vm-host.efi", Kind: release.UKI, Target: release.VM, Profile: release.Host, Source: filepath.Join(dir, "host.efi")},
			{Name: "registry.erofs", Kind: release.Component, Source: filepath.Join(dir, "registry.erofs")},
			{Name: release.SBOMFile, Kind: release.Document, Data: []byte("{}\n")}},
		Components: []boot.BundledImage{{Image: host.Image{Name: "jelastic/registry", Digest: sum, Bytes: size},
			Process: host.Process{Argv: []string{"/registry"}}}}}
}

func TestWrite(t *testing.T) {
	var dirs [2]string
	for i := range dirs {
		from := filepath.Join(t.TempDir(), strings.Repeat("longer", i))
		dirs[i] = filepath.Join(t.TempDir(), "1.4.0")
		c := content(t, from)
		old := time.Unix(int64(i), 0)
		if err := os.Chtimes(filepath.Join(from, "host.efi"), old, old); err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second time over the first
			if _, err := Write(dirs[i], c); err != nil {
				t.Fatal(err)
			}
		}
		m, err := Check(dirs[i])
		if err != nil {
			t.Fatal(err)
		}
		if a, ok := m.For(release.UKI, release.VM, release.Host); !ok || a.Bytes != 5 {
			t.Errorf("the UKI is %+v, %v", a, ok)
		}
		cmd := exec.Command("sha256sum", "--check", "--strict", release.SumsFile)
		cmd.Dir = dirs[i]
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("sha256sum: %v\n%s", err, out)
		}
	}
	if where, err := Differ(dirs[0], dirs[1]); where != "" || err != nil {
		t.Errorf("two folders of the same files differ: %s, %v", where, err)
	}
	bad := content(t, t.TempDir())
	bad.Files[0].Name = "../host.efi"
	if _, err := Write(dirs[0], bad); err == nil {
		t.Error("a file outside the folder is taken")
	}
	if _, err := Check(dirs[0]); err != nil {
		t.Errorf("a release that can't be written hurts the one that is there: %v", err)
	}
}

func TestCheckAndDiffer(t *testing.T) {
	good := filepath.Join(t.TempDir(), "1.4.0")
	if _, err := Write(good, content(t, t.TempDir())); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name          string
		change        func(dir string) error
		check, differ string
	}{
		{"another byte", func(d string) error { return os.WriteFile(d+"/vm-host.efi", []byte("a UKi"), 0o644) }, "is another file",
			`vm-host.efi: byte 4 differs: "I", and in the second build "i"`},
		{"cut off", func(d string) error { return os.WriteFile(d+"/vm-host.efi", []byte("a U"), 0o644) },
			"has 3 bytes, the manifest says 5",
			"vm-host.efi: the first 3 bytes are the same, but it has 5 in the first build, 3 in the second"},
		{"gone", func(d string) error { return os.Remove(d + "/registry.erofs") }, "no such file", "registry.erofs: only the first build"},
		{"one more", func(d string) error { return os.WriteFile(d+"/a", nil, 0o644) }, "", "a: only the second build"},
		{"no manifest", func(d string) error { return os.Remove(d + "/manifest.json") }, "no such file", "manifest.json: only"},
		{"another mode", func(d string) error { return os.Chmod(d+"/vm-host.efi", 0o755) }, "", "vm-host.efi: its mode is"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "1.4.0")
			if err := os.CopyFS(dir, os.DirFS(good)); err != nil {
				t.Fatal(err)
			}
			if where, err := Differ(good, dir); where != "" || err != nil {
				t.Fatalf("the copy differs: %s, %v", where, err)
			}
			if err := c.change(dir); err != nil {
				t.Fatal(err)
			}
			if _, err := Check(dir); (err == nil) != (c.check == "") || err != nil && !strings.Contains(err.Error(), c.check) {
				t.Errorf("check: %v, want %q", err, c.check)
			}
			if where, err := Differ(good, dir); err != nil || !strings.Contains(where, c.differ) {
				t.Errorf("differ: %q, %v; want %q", where, err, c.differ)
			}
		})
	}
}

func TestSBOM(t *testing.T) {
	info := &debug.BuildInfo{GoVersion: "go1.26.8", Deps: []*debug.Module{
		{Path: "example.org/b", Version: "v1.0.0+incompatible", Sum: "h1:x"},
		{Path: "example.org/a", Version: "v1.0.0", Replace: &debug.Module{Path: "example.org/fork", Version: "v1.0.1"}}}}
	p := Parts{Version: "1.4.0", Time: 1_790_000_000, Programs: map[string]*debug.BuildInfo{"init/stage1": info, "agent": info},
		Debs: []Deb{{"zlib1g", "1:1.2.13.dfsg-1+b1", "zlib 1:1.2.13.dfsg-1", string(wire.DigestOf([32]byte{}).Hex())},
			{"zlib1g", "1:1.2.13.dfsg-1+b1", "zlib 1:1.2.13.dfsg-1", string(wire.DigestOf([32]byte{}).Hex())}}}
	raw, err := SBOM(p)
	if err != nil {
		t.Fatal(err)
	}
	again, err := SBOM(p)
	if err != nil || !bytes.Equal(raw, again) {
		t.Errorf("a second list of the same parts is another one: %v", err)
	}
	var bom struct {
		BOMFormat, SpecVersion, SerialNumber string
		Components                           []struct{ Name, Purl string }
		Dependencies                         []struct {
			Ref       string
			DependsOn []string
		}
	}
	if err := json.Unmarshal(raw, &bom); err != nil {
		t.Fatal(err)
	}
	if bom.BOMFormat != "CycloneDX" || bom.SpecVersion != "1.6" || !strings.HasPrefix(bom.SerialNumber, "urn:uuid:") {
		t.Errorf("the head is %+v", bom)
	}
	for _, want := range []string{"pkg:golang/example.org/b@v1.0.0%2Bincompatible\"",
		"pkg:golang/example.org/fork@v1.0.1\"", "pkg:golang/stdlib@1.26.8\"",
		"pkg:deb/debian/zlib1g@1%3A1.2.13.dfsg-1%2Bb1?arch=amd64"} {
		if n := bytes.Count(raw, []byte(`"purl": "`+want)); n != 1 {
			t.Errorf("%q is there %d times", want, n)
		}
	}
	if d := bom.Dependencies; len(d) != 3 || len(d[0].DependsOn) != 3 || d[1].Ref != "program:agent" || len(d[1].DependsOn) != 3 {
		t.Errorf("the dependencies are %+v", d)
	}
}
