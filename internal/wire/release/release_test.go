package release

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/host"
)

var (
	one = wire.Digest("sha256:" + strings.Repeat("1", 64))
	two = wire.Digest("sha256:" + strings.Repeat("2", 64))
)

// sample is a small release, whole.
func sample() Manifest {
	return Manifest{Version: 1, Release: "1.4.0", Channel: Stable, Severity: Normal, Notes: "the first", Arch: Arch, Time: 1_790_000_000,
		Floors: []Version{"1.1.0", "1.3.0"},
		Artefacts: []Artefact{
			{Name: "registry.erofs", Kind: Component, Bytes: 20, Digest: two},
			{Name: "vm-host.efi", Kind: UKI, Target: VM, Profile: Host, Bytes: 10, Digest: one},
			{Name: "vm-vmlinuz", Kind: Kernel, Target: VM, Bytes: 10, Digest: one},
		},
		Components: []boot.BundledImage{{Image: host.Image{Name: "jelastic/registry", Digest: two, Bytes: 20},
			Process: host.Process{Argv: []string{"/registry"}}}},
	}
}

func TestRoundTrip(t *testing.T) {
	raw, err := sample().Encode()
	if err != nil {
		t.Fatal(err)
	}
	m, err := Decode(raw)
	if err != nil {
		t.Fatal(err)
	}
	again, err := m.Encode()
	if err != nil || !bytes.Equal(raw, again) {
		t.Errorf("a manifest that is read and written again is %s, %v; want %s", again, err, raw)
	}
	later := bytes.Replace(raw, []byte(`"kind": "uki"`), []byte(`"kind": "of-next-year", "what": 1`), 1)
	if _, err := Decode(later); err != nil {
		t.Errorf("the manifest of a later program is refused: %v", err)
	}
}

func TestRefused(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Manifest)
		want   string
	}{
		{"another form", func(m *Manifest) { m.Version = 2 }, "version: 2 is not known"},
		{"no version", func(m *Manifest) { m.Release = "" }, "release: version \"\""},
		{"a short version", func(m *Manifest) { m.Release = "1.4" }, "want three numbers"},
		{"a version with a v", func(m *Manifest) { m.Release = "v1.4.0" }, "want three numbers"},
		{"build metadata", func(m *Manifest) { m.Release = "1.4.0+x" }, "want three numbers"},
		{"a leading zero", func(m *Manifest) { m.Release = "1.04.0" }, "want three numbers"},
		{"a path as version", func(m *Manifest) { m.Release = "../1.4.0" }, "want three numbers"},
		{"no architecture", func(m *Manifest) { m.Arch = "" }, "arch: is empty"},
		{"floor of its own", func(m *Manifest) { m.Floors = []Version{"1.4.0"} }, "floors[0]: 1.4.0 is not older"},
		{"floors in another order", func(m *Manifest) { m.Floors = []Version{"1.3.0", "1.1.0"} }, "oldest first"},
		{"nothing in it", func(m *Manifest) { m.Artefacts, m.Components = nil, nil }, "artefacts: there are 0"},
		{"a path as name", func(m *Manifest) { m.Artefacts[1].Name = "../../etc/passwd" }, `artefacts[1]: name "../../etc/passwd"`},
		{"a hidden file", func(m *Manifest) { m.Artefacts[1].Name = ".ssh" }, `artefacts[1]: name ".ssh"`},
		{"dots", func(m *Manifest) { m.Artefacts[1].Name = "a..b" }, `artefacts[1]: name "a..b"`},
		{"an end of line", func(m *Manifest) { m.Artefacts[1].Name = "a\n" }, `artefacts[1]: name "a\n"`},
		{"the manifest in itself", func(m *Manifest) { m.Artefacts[1].Name = ManifestFile }, "says what the release is"},
		{"a name twice", func(m *Manifest) { m.Artefacts[2].Name = "vm-host.efi" }, `artefacts[2]: name "vm-host.efi": is there twice`},
		{"no kind", func(m *Manifest) { m.Artefacts[1].Kind = "" }, `kind of "vm-host.efi": is empty`},
		{"no bytes", func(m *Manifest) { m.Artefacts[1].Bytes = 0 }, `bytes of "vm-host.efi": 0`},
		{"fewer than no bytes", func(m *Manifest) { m.Artefacts[1].Bytes = -1 }, `bytes of "vm-host.efi": -1`},
		{"a digest of another kind", func(m *Manifest) { m.Artefacts[1].Digest = "md5:00" }, `digest of "vm-host.efi"`},
		{"a component without a file", func(m *Manifest) { m.Components[0].Image.Digest = one }, "no artefact of kind"},
		{"a component of another size", func(m *Manifest) { m.Components[0].Image.Bytes = 21 }, "has 21 bytes, its artefact"},
		{"a component without a program", func(m *Manifest) { m.Components[0].Process.Argv = nil }, "process.argv: is empty"},
		{"a component twice", func(m *Manifest) { m.Components = append(m.Components, m.Components[0]) }, "is there twice"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := sample()
			c.change(&m)
			raw, err := m.Encode()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Decode(raw); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
	for _, raw := range []string{"", "{", "[]", "null", `{"version":1}`, strings.Repeat(" ", MaxBytes+1)} {
		if _, err := Decode([]byte(raw)); err == nil {
			t.Errorf("%.20q is taken for a manifest", raw)
		}
	}
}

func TestOrder(t *testing.T) {
	want := []Version{"nonsense", "0.1.0-dev", "0.1.0", "1.0.0-rc.1", "1.0.0-rc.2", "1.0.0-rc.10", "1.0.0", "1.9.0", "1.10.0"}
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortFunc(got, Version.Compare)
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestNext(t *testing.T) {
	m := sample()
	for _, c := range []struct {
		runs, next Version
		ok         bool
	}{
		{"0.9.0", "1.1.0", true},
		{"1.1.0-rc.1", "1.1.0", true},
		{"1.1.0", "1.3.0", true},
		{"1.2.7", "1.3.0", true},
		{"1.3.0", "1.4.0", true},
		{"1.4.0-rc.1", "1.4.0", true},
		{"1.4.0", "", false},
		{"2.0.0", "", false},
	} {
		if next, ok := m.Next(c.runs); next != c.next || ok != c.ok {
			t.Errorf("from %s: %q, %v; want %q, %v", c.runs, next, ok, c.next, c.ok)
		}
	}
}

func TestFor(t *testing.T) {
	m := sample()
	if a, ok := m.For(UKI, VM, Host); !ok || m.Path(a) != "1.4.0/vm-host.efi" {
		t.Errorf("the UKI of a host is %+v, %v", a, ok)
	}
	if a, ok := m.For(Kernel, VM, Infra); !ok || a.Name != "vm-vmlinuz" {
		t.Errorf("the kernel of both profiles is %+v, %v", a, ok)
	}
	if a, ok := m.For(UKI, Metal, Host); ok {
		t.Errorf("there is no UKI for servers, got %+v", a)
	}
}

func FuzzDecode(f *testing.F) {
	raw, err := sample().Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := Decode(raw)
		if err != nil {
			return
		}
		text, err := json.Marshal(m)
		if err != nil {
			t.Fatalf("what was read can't be written: %v", err)
		}
		if _, err := Decode(text); err != nil {
			t.Fatalf("what was read and written isn't read again: %v", err)
		}
	})
}
