package operator

import (
	"time"

	"hardnode.dev/internal/wire"
)

// MaxReleasePart is the most bytes of a file in one request or answer.
const MaxReleasePart = 512 << 10

// Releases is what this cluster imported.
type Releases struct {
	Image    wire.Digest `json:"image,omitempty" doc:"Pin of the image repository: digest of its first root"`
	Director wire.Digest `json:"director,omitempty" doc:"Pin of the director's repository"`
	Expires  time.Time   `json:"expires,omitzero" doc:"Until when what was imported may be installed; what runs is not concerned"`
	Imported time.Time   `json:"imported,omitzero"`
	Releases []Release   `json:"releases"`
}

// Release is one release that both repositories name.
type Release struct {
	Version  string        `json:"version"`
	Severity string        `json:"severity,omitempty"`
	Floors   []string      `json:"floors,omitempty" doc:"Mandatory stop-overs, oldest first"`
	Files    []ReleaseFile `json:"files"`
}

// ReleaseFile is one file of a release.
type ReleaseFile struct {
	Path   string      `json:"path"`
	Bytes  int64       `json:"bytes"`
	Digest wire.Digest `json:"digest"`
	Arch   string      `json:"arch,omitempty"`
	Index  string      `json:"index,omitempty" doc:"Path of the file that is its block index"`
}

// ReleaseTrust says by which first roots both repositories are known.
type ReleaseTrust struct {
	Image    wire.Digest `json:"image"`
	Director wire.Digest `json:"director"`
}

// ReleaseImport is the metadata of both repositories, by file name.
type ReleaseImport struct {
	Image    map[string][]byte `json:"image" doc:"Metadata files of the image repository, by name"`
	Director map[string][]byte `json:"director" doc:"Metadata files of the director's, by name"`
}

// ReleaseImported is how far an import is.
type ReleaseImported struct {
	Done     bool          `json:"done"`
	Missing  []ReleasePart `json:"missing,omitempty" doc:"Files that are to be sent before the import is asked for again"`
	Releases []Release     `json:"releases,omitempty"`
}

// ReleasePart is a file of which something is lacking.
type ReleasePart struct {
	Path   string      `json:"path"`
	Remote string      `json:"remote" doc:"Where it lies below the repository's targets"`
	Digest wire.Digest `json:"digest"`
	Bytes  int64       `json:"bytes"`
	Offset int64       `json:"offset" doc:"The first byte that is lacking"`
}

// ReleaseChunk is a part of a file.
type ReleaseChunk struct {
	Offset int64  `json:"offset" minimum:"0"`
	Data   []byte `json:"data"`
}
