package releases

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/testkit/full"
	"hardnode.dev/internal/testkit/released"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/release"
)

const here = "cl-00000000000000aa"

// site is a cluster's shelf, a clock, and the owner of both repositories.
type site struct {
	t   *testing.T
	dir string
	now time.Time
	*Shelf
	*released.Pair
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), now: time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)}
	s.Pair = released.Both(t, here, s.now.Add(180*24*time.Hour))
	s.restart()
	return s
}

func (s *site) restart() {
	s.t.Helper()
	var err error
	if s.Shelf, err = Open(s.dir, here, func() time.Time { return s.now }); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) trust() {
	s.t.Helper()
	if err := s.Trust(s.Image.Anchor().Pin, s.Director.Anchor().Pin); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) metadata() operator.ReleaseImport {
	return operator.ReleaseImport{Image: s.Image.Files, Director: s.Director.Files}
}

func (s *site) ask() operator.ReleaseImported {
	s.t.Helper()
	got, err := s.Import(s.t.Context(), s.metadata())
	if err != nil {
		s.t.Fatal(err)
	}
	return got
}

func (s *site) refused(err error, words string) {
	s.t.Helper()
	var p *operator.Problem
	if !errors.As(err, &p) || !strings.Contains(err.Error(), words) || p.Next == "" && !strings.Contains(words, "beyond") {
		s.t.Errorf("got %v, want a refusal that says %q, and what to do", err, words)
		return
	}
	s.t.Logf("%s: %v", p.Code, err)
}

// all imports what both name.
func (s *site) all() operator.ReleaseImported {
	s.t.Helper()
	for _, m := range s.ask().Missing {
		if err := s.Put(m.Digest, m.Offset, []byte(s.Content[m.Path][m.Offset:])); err != nil {
			s.t.Fatal(err)
		}
	}
	return s.ask()
}

func TestImport(t *testing.T) {
	s := newSite(t)
	s.Release(t, "1.0.0", "host.efi", "a machine's image")
	_, err := s.Import(t.Context(), s.metadata())
	s.refused(err, "knows no image repository")
	s.refused(s.Trust("sha256:1", s.Director.Anchor().Pin), "sha256:1")
	s.trust()
	got := s.ask()
	if got.Done || len(got.Missing) != 2 {
		t.Fatalf("at first: %+v", got)
	}
	m := got.Missing[0]
	s.refused(s.Put("sha256:"+m.Digest[8:]+"0", 0, []byte("x")), "no import")
	s.refused(s.Put(m.Digest, 3, []byte("x")), "next byte")
	s.refused(s.Put(m.Digest, 0, make([]byte, m.Bytes+1)), "beyond")
	if err := s.Put(m.Digest, 0, []byte(s.Content[m.Path][:4])); err != nil {
		t.Fatal(err)
	}
	s.restart() // in the middle: what came stays
	s.refused(s.Put(m.Digest, 4, []byte("x")), "begin the import again")
	if got := s.ask(); got.Missing[0].Offset != 4 {
		t.Errorf("after a restart it goes on at byte %d, want 4", got.Missing[0].Offset)
	}
	s.refused(s.Put(m.Digest, 4, make([]byte, m.Bytes-4)), "both repositories name")
	if got := s.all(); !got.Done || len(got.Releases) != 1 || len(got.Releases[0].Files) != 2 {
		t.Errorf("at the end: %+v", got)
	}
	s.restart()
	l := s.List()
	if len(l.Releases) != 1 || l.Releases[0].Version != "1.0.0" || l.Expires.Sub(s.now) != 180*24*time.Hour || !l.Imported.Equal(s.now) {
		t.Errorf("list: %+v", l)
	}
	if raw, err := s.Read(m.Digest, 2, 5); err != nil || string(raw) != s.Content[m.Path][2:7] {
		t.Errorf("read: %q %v", raw, err)
	}

	before := s.metadata()
	before.Image, before.Director = cloned(before.Image), cloned(before.Director)
	s.Release(t, "1.1.0", "host.efi", "another image")
	s.Release(t, "1.1.0", "infra.efi", "another image")
	if got := s.ask(); len(got.Missing) != 2 {
		t.Errorf("two files that are the same: %+v", got.Missing)
	}
	if got := s.all(); len(got.Releases) != 2 {
		t.Errorf("the next: %+v", got)
	}
	_, err = s.Import(t.Context(), before)
	s.refused(err, "older")
	for path := range s.Content {
		if strings.HasPrefix(path, "1.0.0/") {
			delete(s.Content, path)
		}
	}
	s.Release(t, "1.2.0", "host.efi", "a third image")
	s.all()
	if _, err := s.Read(m.Digest, 0, 1); err == nil {
		t.Error("a file of a release that was taken back is there still")
	}
	if files, err := os.ReadDir(filepath.Join(s.dir, "files")); err != nil || len(files) != 4 {
		t.Errorf("%d files lie there, want 4: %v", len(files), err)
	}
	s.now = s.now.Add(181 * 24 * time.Hour)
	_, err = s.Import(t.Context(), s.metadata())
	s.refused(err, "what runs here goes on")
	if len(s.List().Releases) != 2 {
		t.Error("what was imported is gone when its metadata ends")
	}
}

func cloned(m map[string][]byte) map[string][]byte {
	out := map[string][]byte{}
	for k, v := range m {
		out[k] = v
	}
	return out
}

func TestImportRefuses(t *testing.T) {
	s := newSite(t)
	s.trust()
	s.Release(t, "latest", "host.efi", "x")
	_, err := s.Import(t.Context(), s.metadata())
	s.refused(err, "no version")

	s = newSite(t)
	s.trust()
	f := s.Release(t, "1.0.0", "host.efi", "x")
	s.free = func() (int64, error) { return Reserve, nil }
	_, err = s.Import(t.Context(), s.metadata())
	s.refused(err, "stay free")
	s.Image.Publish(t)
	_, err = s.Import(t.Context(), s.metadata())
	s.refused(err, f.Path)
	s.Director = released.New(t, "director", "cl-00000000000000bb", s.now.Add(time.Hour))
	s.Director.Publish(t, f)
	s.trust()
	_, err = s.Import(t.Context(), s.metadata())
	s.refused(err, "was made for installation")
}

// On a volume that fills up while a file comes the import says so and what to do, what is kept stays, and it goes on where it was.
func TestImportFull(t *testing.T) {
	s := newSite(t)
	s.dir = full.Disk(t, 512)
	s.restart()
	s.trust()
	s.Release(t, "1.0.0", "host.efi", strings.Repeat("a machine's image", 8000))
	s.free = func() (int64, error) { return 1 << 40, nil } // there was room when it was looked for
	var large operator.ReleasePart
	for _, m := range s.ask().Missing {
		if m.Bytes > large.Bytes {
			large = m
		}
	}
	free := full.Fill(t, s.dir, 16)
	text := []byte(s.Content[large.Path])
	s.refused(s.Put(large.Digest, 0, text), "no room is left")
	free()
	if got := s.all(); !got.Done {
		t.Errorf("with room: %+v", got)
	}
	full.Fill(t, s.dir, 0)
	s.Release(t, "1.1.0", "host.efi", "another image")
	for _, m := range s.ask().Missing {
		s.refused(s.Put(m.Digest, m.Offset, []byte(s.Content[m.Path])), "no room is left")
	}
	s.restart()
	if got := s.List().Releases; len(got) != 1 || got[0].Version != "1.0.0" {
		t.Errorf("kept: %+v", got)
	}
}

// TestCarries: which root a release's systems have is what its imported manifest says.
func TestCarries(t *testing.T) {
	s := newSite(t)
	root := wire.DigestOf([32]byte{1})
	m := release.Manifest{Version: 1, Release: "1.4.0", Arch: release.Arch, Artefacts: []release.Artefact{{Name: "vm-host.initrd",
		Kind: release.Initrd, Bytes: 1, Digest: wire.DigestOf([32]byte{2}), Root: root}}}
	text, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	s.Release(t, "1.4.0", release.ManifestFile, string(text))
	s.Release(t, "1.3.0", "vm-host.initrd", "of a release without a manifest")
	s.trust()
	s.all()
	for _, c := range []struct {
		version  string
		root     wire.Digest
		it, said bool
	}{
		{"1.4.0", root, true, true},
		{"1.4.0", wire.DigestOf([32]byte{3}), false, true},
		{"1.4.0", "", false, true},
		{"1.3.0", root, false, false},
		{"1.5.0", root, false, false},
	} {
		if it, said := s.Carries(c.version, c.root); it != c.it || said != c.said {
			t.Errorf("%+v: %v, %v", c, it, said)
		}
	}
}
