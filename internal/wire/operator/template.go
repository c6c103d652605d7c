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

// Freed is what deleting templates, or collecting what none needs, removed from the registry.
type Freed struct {
	Names []wire.TemplateName `json:"names,omitempty" doc:"Templates that are no more"`
	Bytes int64               `json:"bytes" doc:"Bytes that are free"`
	Later int64               `json:"later" doc:"Bytes that no template needs, kept a while: a push or a node that is just being made may"`
}
