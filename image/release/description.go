// Package release makes the folder of a release out of what was built.
//
// Owns: what people write of a release (release.yaml, strict); the folder's files and their names; the software bill of materials.
// In: artefacts that lie ready, and what they are made of.
// Out: the folder, whole or not at all; the difference between two such folders.
// Never: builds an artefact, signs, or puts a time, a path or an order of its own into the folder: same inputs, same bytes.
package release

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"hardnode.dev/internal/wire/document"
	"hardnode.dev/internal/wire/release"
)

// descriptionFile is the file of people, as errors name it.
const descriptionFile = "image/release/release.yaml"

//go:embed release.yaml
var described []byte

// Description is what people say of the next release.
type Description struct {
	Version  release.Version   `yaml:"version" required:"true"`
	Channel  release.Channel   `yaml:"channel" required:"true"`
	Severity release.Severity  `yaml:"severity" required:"true"`
	Floors   []release.Version `yaml:"floors"`
	Notes    string            `yaml:"notes" required:"true"`
}

// Described is the Description that this program was built with.
func Described() (Description, error) { return describe(described) }

// mostNotes is the longest text of notes, in bytes: they go to every host with the manifest.
const mostNotes = 64 << 10

func describe(raw []byte) (Description, error) {
	var d Description
	src, err := document.Parse(descriptionFile, raw, &d)
	if err != nil {
		return Description{}, err
	}
	var faults []*document.Error
	fault := func(path, format string, args ...any) {
		faults = append(faults, src.Fault(path, fmt.Sprintf(format, args...)))
	}
	if err := d.Version.Validate(); err != nil {
		fault("version", "%v", err)
	} else if err := release.CheckFloors(d.Version, d.Floors); err != nil {
		fault("floors", "%v", err)
	}
	if channels := []release.Channel{release.Dev, release.Beta, release.Stable}; !slices.Contains(channels, d.Channel) {
		fault("channel", "%q is none: want one of %q", d.Channel, channels)
	}
	if all := []release.Severity{release.Normal, release.High, release.Critical}; !slices.Contains(all, d.Severity) {
		fault("severity", "%q is none: want one of %q", d.Severity, all)
	}
	if d.Notes = strings.TrimSpace(d.Notes); d.Notes == "" || len(d.Notes) > mostNotes {
		fault("notes", "has %d bytes, want 1 to %d: say in a sentence what is new", len(d.Notes), mostNotes)
	}
	return d, document.Join(faults)
}
