package operator

import (
	"time"

	"hardnode.dev/internal/wire"
)

// Template is one template in the registry.
type Template struct {
	Name    wire.TemplateName `json:"name"`
	Digest  wire.Digest       `json:"digest,omitempty" doc:"SHA-256 of the erofs file; none before the first import ended well"`
	Bytes   int64             `json:"bytes,omitempty"`
	Process []string          `json:"process,omitempty"`
	Port    uint16            `json:"port,omitempty" doc:"HTTP port, 0 if none"`

	State    string       `json:"state,omitempty" doc:"ready; or of what was pushed last under that name: waiting, importing, failed"`
	Percent  int          `json:"percent,omitempty" doc:"Of importing: how much is done"`
	Reason   string       `json:"reason,omitempty" doc:"Why it failed, and what to do"`
	Since    time.Time    `json:"since,omitzero" doc:"When it came into that state, unless it is ready"`
	Imported time.Time    `json:"imported,omitzero" doc:"When the template was made"`
	Account  wire.Account `json:"account,omitempty" doc:"Whose it is"`
	Notes    []string     `json:"notes,omitempty" doc:"What was left out of the image"`
	Warnings []string     `json:"warnings,omitempty" doc:"Why a node of it may not start"`
}

// TemplateDetail is one template with all that is known of it.
type TemplateDetail struct {
	Template
	OCI       wire.Digest         `json:"oci,omitempty" doc:"SHA-256 of the OCI manifest it was made of"`
	Profile   string              `json:"profile,omitempty" doc:"app, or system: a full OS"`
	User      string              `json:"user,omitempty" doc:"Who its process is in a node: uid:gid"`
	Directory string              `json:"directory,omitempty" doc:"Where its process starts"`
	Stop      string              `json:"stop,omitempty" doc:"The signal that ends its process, unless it is the profile's usual one"`
	StopAfter int                 `json:"stopAfter,omitempty" doc:"Seconds between that and the kill, unless it is the platform's 10"`
	CheckPort uint16              `json:"checkPort,omitempty" doc:"The port that is asked whether a node works"`
	CheckPath string              `json:"checkPath,omitempty" doc:"What is asked there by HTTP"`
	Volumes   []TemplateVolume    `json:"volumes,omitempty" doc:"Directories whose content outlives the image"`
	Others    []wire.TemplateName `json:"others,omitempty" doc:"Other names of the same image"`
	UsedBy    []string            `json:"usedBy,omitempty" doc:"Who uses the name or the image; of the caller's account"`
}

// TemplateVolume is a volume that a template wants.
type TemplateVolume struct {
	Path      string `json:"path"`
	NoDataCOW bool   `json:"nodatacow,omitempty" doc:"Written in place: a database that checks its own pages"`
}

// TagTemplate gives a template another tag.
type TagTemplate struct {
	Tag  string `json:"tag" maxLength:"64" doc:"The new tag, of the same name"`
	Move bool   `json:"move,omitempty" doc:"Take it away from another image that has it"`
}

// Freed is what deleting templates, or collecting what none needs, removed from the registry.
type Freed struct {
	Names []wire.TemplateName `json:"names,omitempty" doc:"Templates that are no more"`
	Bytes int64               `json:"bytes" doc:"Bytes that are free"`
	Later int64               `json:"later" doc:"Bytes that no template needs, kept a while: a push or a node that is just being made may"`
}
