package jls

import (
	"fmt"

	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/neighbour"
)

// The paths of the director: which of the image repository's files an installation shall have.
const (
	PathDirector = "/v1/director"       // Signed Direct → DirectorReply
	PathReleases = "/v1/admin/releases" // GET → Releases; PUT Offer → Releases
	// PathInstallations/{id}/releases: PUT Assign → Releases; PathInstallations/{id}/director: GET → DirectorReply, good for half a year
)

// Director is the director's part of the JLS's Config, made by `jls director init`. Its root's private key is never part of it.
type Director struct {
	Roots [][]byte     `json:"roots"` // all its root documents, the first one first
	Key   secret.Bytes `json:"key"`   // Ed25519 seed (32 bytes) that signs targets, snapshots and timestamps
}

// MaxReleaseFiles is the most files that may be offered.
const MaxReleaseFiles = 5000

// ReleaseFile is one file of a release, as the image repository names it.
type ReleaseFile struct {
	Path    string      `json:"path" minLength:"1" maxLength:"300"`
	Release string      `json:"release" minLength:"1" maxLength:"60"`
	Length  int64       `json:"length" minimum:"0"` // bytes
	Digest  wire.Digest `json:"digest"`
}

// Offer is all files that may be assigned from now on.
type Offer struct {
	Files []ReleaseFile `json:"files" maxItems:"5000"`
}

// Assign is the releases that an installation shall have: one, and those that are stop-overs to it.
type Assign struct {
	Releases []string `json:"releases" maxItems:"20"`
}

// Releases is what is offered, and which installation shall have what.
type Releases struct {
	Files    []ReleaseFile               `json:"files"`
	Assigned map[InstallationID][]string `json:"assigned"`
}

// Direct asks for the director's metadata of the installation.
type Direct struct{ Head }

// DirectorReply is the director's whole repository for one installation: metadata files by name. It is signed and verified by whoever uses
// it, against both repositories' pins; who carries it needs no trust.
type DirectorReply struct {
	Files map[string][]byte `json:"files"`
}

// DecodeDirect reads the body of a Signed Direct and checks its form.
func DecodeDirect(body []byte) (d Direct, err error) {
	if err := neighbour.Decode(body, &d); err != nil {
		return d, fmt.Errorf("director request: %w", err)
	}
	if err := d.Head.validate(); err != nil {
		return d, fmt.Errorf("director request: %w", err)
	}
	return d, nil
}
