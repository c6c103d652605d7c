package release

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/release"
)

// File is an artefact that lies ready.
type File struct {
	Name    string
	Kind    release.Kind
	Target  release.Target
	Profile release.Profile
	Source  string // the file on this machine; "": it is Data
	Data    []byte
	Parts   release.Parts // of a UKI
	Root    wire.Digest   // of a UKI and an initrd
}

// Content is what a release's folder is made of.
type Content struct {
	Description
	Time       int64 // of the commit, Unix seconds
	Files      []File
	Components []boot.BundledImage
	LeftOut    []string
}

// Write makes the folder dir: the files, their manifest and their sums. What was there is replaced when all of it is written. A file that
// can be linked to its source is: nobody changes either in place.
func Write(dir string, c Content) (release.Manifest, error) {
	tmp := dir + ".new"
	m, err := write(tmp, c)
	if err == nil {
		err = os.RemoveAll(dir)
	}
	if err == nil {
		err = os.Rename(tmp, dir)
	}
	if err != nil {
		os.RemoveAll(tmp)
		return release.Manifest{}, fmt.Errorf("write release %q: %w", dir, err)
	}
	return m, nil
}

func write(dir string, c Content) (release.Manifest, error) {
	m := release.Manifest{Version: 1, Release: c.Version, Channel: c.Channel, Severity: c.Severity, Notes: c.Notes, Arch: release.Arch,
		Time: c.Time, Floors: c.Floors, Components: c.Components, LeftOut: c.LeftOut}
	if err := os.RemoveAll(dir); err != nil {
		return m, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return m, err
	}
	for _, f := range slices.SortedFunc(slices.Values(c.Files), func(a, b File) int { return cmp.Compare(a.Name, b.Name) }) {
		if err := release.CheckName(f.Name); err != nil {
			return m, err
		}
		path := filepath.Join(dir, f.Name)
		if err := place(path, f); err != nil {
			return m, fmt.Errorf("add %q: %w", f.Name, err)
		}
		sum, bytes, err := weigh(path)
		if err != nil {
			return m, err
		}
		m.Artefacts = append(m.Artefacts, release.Artefact{Name: f.Name, Kind: f.Kind, Target: f.Target, Profile: f.Profile, Bytes: bytes,
			Digest: sum, Parts: f.Parts, Root: f.Root})
	}
	if err := m.Validate(); err != nil {
		return m, fmt.Errorf("manifest: %w", err)
	}
	text, err := m.Encode()
	if err != nil {
		return m, err
	}
	if err := os.WriteFile(filepath.Join(dir, release.ManifestFile), text, 0o644); err != nil {
		return m, err
	}
	return m, os.WriteFile(filepath.Join(dir, release.SumsFile), []byte(sums(m, text)), 0o644)
}

// place puts a file into the folder.
func place(path string, f File) error {
	if f.Source == "" {
		return os.WriteFile(path, f.Data, 0o644)
	}
	if os.Link(f.Source, path) == nil {
		return nil
	}
	from, err := os.Open(f.Source)
	if err != nil {
		return err
	}
	defer from.Close()
	st, err := from.Stat()
	if err != nil {
		return err
	}
	to, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, st.Mode().Perm())
	if err != nil {
		return err
	}
	if _, err := io.Copy(to, from); err != nil {
		to.Close()
		return err
	}
	return to.Close()
}

func weigh(path string) (wire.Digest, int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	return wire.DigestOf([32]byte(h.Sum(nil))), n, err
}

// sums is the text that sha256sum --check reads: of all files of the manifest, and of the manifest itself.
func sums(m release.Manifest, manifest []byte) string {
	lines := []string{wire.DigestOf(sha256.Sum256(manifest)).Hex() + "  " + release.ManifestFile + "\n"}
	for _, a := range m.Artefacts {
		lines = append(lines, a.Digest.Hex()+"  "+a.Name+"\n")
	}
	slices.SortFunc(lines, func(a, b string) int { return cmp.Compare(a[66:], b[66:]) })
	return strings.Join(lines, "")
}

// Check reads the folder of a release and compares each file with what the manifest says of it.
func Check(dir string) (release.Manifest, error) {
	raw, err := os.ReadFile(filepath.Join(dir, release.ManifestFile))
	if err != nil {
		return release.Manifest{}, fmt.Errorf("read release %q: %w", dir, err)
	}
	m, err := release.Decode(raw)
	if err != nil {
		return m, fmt.Errorf("read release %q: %w", dir, err)
	}
	for _, a := range m.Artefacts {
		sum, bytes, err := weigh(filepath.Join(dir, a.Name))
		switch {
		case err != nil:
			return m, fmt.Errorf("read release %q: %w", dir, err)
		case bytes != a.Bytes:
			return m, fmt.Errorf("read release %q: %q has %d bytes, the manifest says %d: build it again", dir, a.Name, bytes, a.Bytes)
		case sum != a.Digest:
			return m, fmt.Errorf("read release %q: %q is another file than the manifest says: build it again", dir, a.Name)
		}
	}
	return m, nil
}
