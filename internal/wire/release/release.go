// Package release is what a release is: all that ships together, by name, size and digest, and who may go to it from where.
//
// Owns: the manifest, which is the file ManifestFile of a release's folder; versions and their order; which stop-overs lie on a way.
// In: the manifest's JSON, as a neighbouring program wrote it.
// Out: a valid Manifest, or an error that names the field; the artefacts that a machine needs.
// Never: does I/O, checks a signature, or decides that a release shall run.
//
// What people write of a release is image/release.yaml (strict, package image/release). History: 2026-11-26 first form;
// 2026-11-27 the parts of a UKI.
package release

import (
	"encoding/json"
	"errors"
	"fmt"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/form"
	"hardnode.dev/internal/wire/neighbour"
)

// Names of files in a release's folder that are there in every release.
const (
	ManifestFile = "manifest.json" // the Manifest; it names all others but SumsFile
	SumsFile     = "SHA256SUMS"    // for people: sha256sum --check SHA256SUMS
	SBOMFile     = "sbom.cdx.json" // CycloneDX: what the release is made of
	NoticesFile  = "NOTICES"       // the notices and licences of that
)

// MaxBytes is the longest manifest read.
const MaxBytes = 1 << 20

// maxArtefacts and maxFile bound what a manifest may name: a release is some dozens of files, the largest a few hundred MiB.
const (
	maxArtefacts = 500
	maxFile      = 4 << 30
)

// Kind is what an artefact is for. A program passes over kinds that it doesn't know.
type Kind string

// The kinds.
const (
	UKI       Kind = "uki"       // one EFI program: kernel, command line and initramfs; for slots, UEFI PXE and HTTP boot
	Kernel    Kind = "kernel"    // for iPXE, BIOS and QEMU, with the initrd and the command line of the same target
	Initrd    Kind = "initrd"    //
	Cmdline   Kind = "cmdline"   // text: kernel arguments that belong to the kernel and initrd
	Component Kind = "component" // the image of a component of "jelastic": erofs, named by Manifest.Components
	Program   Kind = "program"   // for people's own machines: hnctl
	Document  Kind = "document"  // the software bill of materials, the notices
)

// Target is the kind of machine that an artefact is for: VM or Metal; "" is any.
type Target string

// The targets.
const (
	VM    Target = "vm"
	Metal Target = "metal"
)

// Profile is the part that a machine plays with an artefact; "" is any.
type Profile string

// The profiles. The rescue system is none: it is a UKI of either, booted by an entry that says so.
const (
	Host  Profile = "host"
	Infra Profile = "infra"
)

// Severity says how urgent a release is; a rollout's soak times follow it. A program takes one that it doesn't know for Normal.
type Severity string

// The severities.
const (
	Normal   Severity = "normal"
	High     Severity = "high"
	Critical Severity = "critical" // soaks are shortened
)

// Channel says how far a release has come. A program takes one that it doesn't know for Dev.
type Channel string

// The channels.
const (
	Dev    Channel = "dev"
	Beta   Channel = "beta"
	Stable Channel = "stable"
)

// Arch is the only architecture that images are built for, as Go names it.
const Arch = "amd64"

// Manifest is one release.
type Manifest struct {
	Version  int      `json:"version"` // of this form: 1
	Release  Version  `json:"release"`
	Channel  Channel  `json:"channel"`
	Severity Severity `json:"severity"`
	Notes    string   `json:"notes"` // for people; plain text
	Arch     string   `json:"arch"`  // of the machines, as Go names it
	Time     int64    `json:"time"`  // of the commit it was built from, Unix seconds
	// Floors are mandatory stop-overs, oldest first: a host that runs an older release than one of them goes to that one first (Next).
	// Each is older than the release.
	Floors []Version `json:"floors,omitempty"`
	// Artefacts are the files of the release's folder, by name, but for the manifest and SumsFile.
	Artefacts []Artefact `json:"artefacts"`
	// Components are those of "jelastic", in the order in which they start. The file of each is the artefact with its digest.
	Components []boot.BundledImage `json:"components"`
	// LeftOut is, for people, what the images would carry if the build had found it: firmware, microcode.
	LeftOut []string `json:"leftOut,omitempty"`
}

// Artefact is one file of a release.
type Artefact struct {
	Name    string      `json:"name"` // of the file: letters, digits, "." "_" and "-"; unique in the release
	Kind    Kind        `json:"kind"`
	Target  Target      `json:"target,omitempty"`
	Profile Profile     `json:"profile,omitempty"`
	Bytes   int64       `json:"bytes"`  // of the file
	Digest  wire.Digest `json:"digest"` // of the file
	// Parts of a UKI: what tells whether it can replace another one's programs without a reboot (Hot).
	Parts Parts `json:"parts,omitempty"`
	// Root is, of a UKI and an initrd, the digest of the root's filesystem image that it carries: what a machine that runs it can measure.
	Root wire.Digest `json:"root,omitempty"`
}

// fileName is what a file may be called in a folder, in a URL, as a TUF target and on a FAT volume alike.
var fileName = form.New(`^[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*$`)

// CheckName says why s can't name an artefact, or nil.
func CheckName(s string) error {
	if len(s) > 100 || !fileName.MatchString(s) {
		return fmt.Errorf("name %q: use letters, digits, hyphens, underscores and single dots, at most 100 in all", s)
	}
	if s == ManifestFile || s == SumsFile {
		return fmt.Errorf("name %q: it is that of a file which says what the release is", s)
	}
	return nil
}

// Decode reads a manifest that a program wrote. The error is for people.
func Decode(raw []byte) (Manifest, error) {
	if len(raw) > MaxBytes {
		return Manifest{}, fmt.Errorf("manifest: it has %d bytes, at most %d are read", len(raw), MaxBytes)
	}
	var m Manifest
	if err := neighbour.Decode(raw, &m); err != nil {
		return Manifest{}, fmt.Errorf("manifest: %v", err)
	}
	if err := m.Validate(); err != nil {
		return Manifest{}, fmt.Errorf("manifest: %v", err)
	}
	return m, nil
}

// Encode is the manifest as it is written: the same bytes for the same value.
func (m Manifest) Encode() ([]byte, error) {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode the manifest: %v", err)
	}
	return append(text, '\n'), nil
}

// Validate says all that is wrong with the manifest, or nil.
func (m Manifest) Validate() error {
	if m.Version != 1 {
		return fmt.Errorf("version: %d is not known, want 1: a newer program reads it", m.Version)
	}
	if err := m.Release.Validate(); err != nil {
		return fmt.Errorf("release: %v", err)
	}
	err := CheckFloors(m.Release, m.Floors)
	if m.Arch == "" {
		err = errors.Join(err, errors.New("arch: is empty"))
	}
	if n := len(m.Artefacts); n == 0 || n > maxArtefacts {
		return errors.Join(err, fmt.Errorf("artefacts: there are %d, want 1 to %d", n, maxArtefacts))
	}
	names, digests := map[string]bool{}, map[wire.Digest]Artefact{}
	for i, a := range m.Artefacts {
		if e := a.validate(); e != nil {
			err = errors.Join(err, fmt.Errorf("artefacts[%d]: %v", i, e))
		}
		if names[a.Name] {
			err = errors.Join(err, fmt.Errorf("artefacts[%d]: name %q: is there twice", i, a.Name))
		}
		names[a.Name] = true
		if a.Kind == Component {
			digests[a.Digest] = a
		}
	}
	images := map[wire.TemplateName]bool{}
	for i, c := range m.Components {
		if e := checkComponent(c, digests); e != nil {
			err = errors.Join(err, fmt.Errorf("components[%d]: %v", i, e))
		}
		if images[c.Image.Name] {
			err = errors.Join(err, fmt.Errorf("components[%d]: name %q: is there twice", i, c.Image.Name))
		}
		images[c.Image.Name] = true
	}
	return err
}

func (a Artefact) validate() error {
	err := CheckName(a.Name)
	if a.Kind == "" {
		err = errors.Join(err, fmt.Errorf("kind of %q: is empty", a.Name))
	}
	if a.Bytes < 1 || a.Bytes > maxFile {
		err = errors.Join(err, fmt.Errorf("bytes of %q: %d, want 1 to %d", a.Name, a.Bytes, int64(maxFile)))
	}
	if e := a.Digest.Validate(); e != nil {
		err = errors.Join(err, fmt.Errorf("digest of %q: %v", a.Name, e))
	}
	if a.Root != "" {
		if e := a.Root.Validate(); e != nil {
			err = errors.Join(err, fmt.Errorf("root of %q: %v", a.Name, e))
		}
	}
	if e := a.Parts.Validate(); e != nil {
		err = errors.Join(err, fmt.Errorf("parts of %q: %v", a.Name, e))
	}
	return err
}

func checkComponent(c boot.BundledImage, files map[wire.Digest]Artefact) error {
	if err := c.Image.Name.Validate(); err != nil {
		return err
	}
	if len(c.Process.Argv) == 0 {
		return fmt.Errorf("%q: process.argv: is empty", c.Image.Name)
	}
	a, ok := files[c.Image.Digest]
	switch {
	case !ok:
		return fmt.Errorf("%q: no artefact of kind %q has its digest %q", c.Image.Name, Component, c.Image.Digest)
	case a.Bytes != c.Image.Bytes:
		return fmt.Errorf("%q: has %d bytes, its artefact %q %d", c.Image.Name, c.Image.Bytes, a.Name, a.Bytes)
	}
	return nil
}

// Carries tells whether one of the release's systems has this root, and whether it says of any which root it has.
func (m Manifest) Carries(root wire.Digest) (it, said bool) {
	for _, a := range m.Artefacts {
		said = said || a.Root != ""
		it = it || a.Root == root && root != ""
	}
	return it, said
}

// For is the artefact of a kind that a machine of the target uses for the profile; false if there is none.
func (m Manifest) For(kind Kind, target Target, profile Profile) (Artefact, bool) {
	for _, a := range m.Artefacts {
		if a.Kind == kind && (a.Target == target || a.Target == "") && (a.Profile == profile || a.Profile == "") {
			return a, true
		}
	}
	return Artefact{}, false
}

// Path is an artefact's name where many releases lie together, as TUF targets and in download folders: "1.4.0/vm-host.efi".
func (m Manifest) Path(a Artefact) string { return string(m.Release) + "/" + a.Name }
