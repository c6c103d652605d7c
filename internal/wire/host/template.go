package host

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/neighbour"
)

// Paths of the registry's own API (TCP 7445, TLS 1.3), beside the OCI distribution API at /v2/. Reading needs a host's or a component's
// certificate; importing needs the push token.
const (
	PathImages    = "/images"     // GET → Templates; GET /images/sha256:… → the erofs file (Range, ETag)
	PathImport    = "/import"     // POST ImportRequest → Template; waits until the template is imported
	PathTemplates = "/templates/" // DELETE + name:tag or name@sha256:… (of the OCI manifest) → Freed; the component "orchestrator" only
	PathTag       = "/tag"        // POST TagRequest → Template: another name of an image; the component "orchestrator" only
	PathUsed      = "/used"       // PUT Used → 204; the component "orchestrator" only: it knows what is in use
	PathCollect   = "/collect"    // POST → Freed: remove what nothing needs; the component "orchestrator" only
	PathHealthz   = "/healthz"    // GET → 200 once the registry serves; no credentials
)

// MaxTemplates is the largest number of templates one list may hold.
const MaxTemplates = 10_000

// Templates is what the registry answers to GET PathImages.
type Templates struct {
	Version   int        `json:"version"` // 1
	Templates []Template `json:"templates"`
	Imports   []Import   `json:"imports,omitempty"` // pushed names whose template is not made (yet), sorted by name

	Runs []ImportRun `json:"runs,omitempty"` // all imports that have not ended, and the last that have; the newest first
}

// ImportState is where an import is.
type ImportState string

// The import states. An import that ended well is a Template.
const (
	ImportWaiting ImportState = "waiting"
	ImportRunning ImportState = "importing"
	ImportFailed  ImportState = "failed" // until the name is pushed or imported again, or deleted

	// Of an ImportRun only.
	ImportDone    ImportState = "done"
	ImportDropped ImportState = "dropped" // it ended without an outcome: the name was deleted, or who asked for it went
)

// Final tells whether the state is the end of an ImportRun.
func (s ImportState) Final() bool {
	return s == ImportFailed || s == ImportDone || s == ImportDropped
}

// Import is one pushed name on its way to a Template. Beside a Template of the same name it is that one's successor.
type Import struct {
	Name   wire.TemplateName `json:"name"`
	State  ImportState       `json:"state"`
	Reason string            `json:"reason,omitempty"` // why it failed, and what to do
	Since  time.Time         `json:"since"`            // when it came into that state

	Percent int `json:"percent,omitempty"` // of importing: how much of its layers was read

	Account wire.Account `json:"account,omitempty"` // of who pushed it; Owner says whose it is where there is none
}

// ImportRun is one import, from the push or the request that asked for it to its end. A run that the registry's end interrupted goes on,
// under its id, when the registry starts again. People see it as an operation.
type ImportRun struct {
	ID       wire.OperationID  `json:"id"`
	Name     wire.TemplateName `json:"name"`              // name:tag of the template
	Digest   wire.Digest       `json:"digest,omitempty"`  // of the manifest that was imported, once it is done
	By       string            `json:"by"`                // who asked for it, in words
	Account  wire.Account      `json:"account,omitempty"` // of who asked; Owner says whose it is where there is none
	State    ImportState       `json:"state"`
	Percent  int               `json:"percent,omitempty"` // of importing: how much of its layers was read
	Detail   string            `json:"detail,omitempty"`  // how far it is, or what came of it, in words
	Code     string            `json:"code,omitempty"`    // of failed: one of the codes of wire/operator
	Reason   string            `json:"reason,omitempty"`  // why it failed or was dropped
	Next     string            `json:"next,omitempty"`    // what to do about that
	Created  time.Time         `json:"created"`           // when it was asked for
	Updated  time.Time         `json:"updated"`           // when it came into its state
	Deadline time.Time         `json:"deadline,omitzero"` // of importing: when it fails unless it is done
}

// Used is what the orchestrator tells the registry every minute, and when it deletes: what is in use of its templates. An image that is not
// in it, and is no template either, may be deleted.
type Used struct {
	Uses []Use `json:"uses"`
}

// Use is one user of a template.
type Use struct {
	Name   wire.TemplateName `json:"name,omitempty"`   // name:tag of the template
	Digest wire.Digest       `json:"digest,omitempty"` // of the erofs file
	By     string            `json:"by"`               // in words, e.g. "layer cp of environment hello"
}

// Users are those for whom a name and its image can't go: who names it, and who runs its image, unless that is there under another name
// too.
func (u Used) Users(name wire.TemplateName, image wire.Digest, elsewhere bool) (by []string) {
	for _, e := range u.Uses {
		if (e.Name == name || image != "" && e.Digest == image && !elsewhere) && !slices.Contains(by, e.By) {
			by = append(by, e.By)
		}
	}
	return by
}

// Has tells whether an erofs file is in use.
func (u Used) Has(d wire.Digest) bool {
	return slices.ContainsFunc(u.Uses, func(e Use) bool { return e.Digest == d })
}

// Freed is what a deletion or a collection removed.
type Freed struct {
	Names     []wire.TemplateName `json:"names,omitempty"` // templates and tags that are no more
	Images    int                 `json:"images"`          // erofs files
	Manifests int                 `json:"manifests"`
	Blobs     int                 `json:"blobs"`
	Bytes     int64               `json:"bytes"` // of all of these
	Later     int64               `json:"later"` // bytes that nothing needs, but perhaps a push or a node that is just being made
}

// Template is one imported template: the erofs file made of an OCI image, and what the image's configuration says of its process.
type Template struct {
	Image             // Name is name:tag; Digest and Bytes are the erofs file's
	OCI   wire.Digest `json:"oci"` // digest of the OCI manifest it was made from
	// Process is the image's Entrypoint and Cmd, Env, WorkingDir, User (resolved to numbers) and StopSignal.
	Process  Process   `json:"process"`
	HTTPPort uint16    `json:"httpPort,omitempty"` // label io.hardnode.http-port: where the resolver finds it; 0 if it serves no HTTP
	Check    *Check    `json:"check,omitempty"`    // labels io.hardnode.check-port and io.hardnode.check-path
	Profile  Profile   `json:"profile"`            // label io.hardnode.profile; "app" if there is none
	Imported time.Time `json:"imported"`
	Notes    []string  `json:"notes,omitempty"`    // what the importer left out, in words; at most 20
	Warnings []string  `json:"warnings,omitempty"` // why a container of it may not start, in words; at most 20

	Account wire.Account     `json:"account,omitempty"` // whose it is; Owner says that where there is none
	Volumes []TemplateVolume `json:"volumes,omitempty"` // directories of data that outlives the image, by path
}

// MaxVolumes is how many volumes an image may want; more are plain directories of it.
const MaxVolumes = 20

// TemplateVolume is a volume that the image wants.
type TemplateVolume struct {
	Path  string `json:"path"`
	NoCOW bool   `json:"noCow,omitempty"` // label io.hardnode.nodatacow: a database that checks its own pages
}

// ImportRequest names a manifest that was pushed.
type ImportRequest struct {
	Name wire.TemplateName `json:"name"` // name:tag; no tag means latest
}

// TagRequest gives an image another tag of the same name. History: 2026-11-27 new.
type TagRequest struct {
	Of   string `json:"of"`             // name:tag, or name@sha256:… (of the OCI manifest)
	Tag  string `json:"tag"`            // the new tag
	Move bool   `json:"move,omitempty"` // also when it is another image's already
}

// Name is the template's name by its new tag.
func (q TagRequest) Name() wire.TemplateName {
	repo, _, _ := strings.Cut(q.Of, "@")
	repo, _, _ = strings.Cut(repo, ":")
	return wire.TemplateName(repo + ":" + q.Tag)
}

// DecodeTagRequest reads a TagRequest.
func DecodeTagRequest(r io.Reader) (TagRequest, error) {
	var q TagRequest
	if err := decode(r, "tag request", &q); err != nil {
		return TagRequest{}, err
	}
	return q, q.Name().Validate()
}

// DecodeTemplates reads a Templates document. Fields that a newer registry sends are passed over.
func DecodeTemplates(r io.Reader) (Templates, error) {
	var t Templates
	if err := decode(r, "templates", &t); err != nil {
		return Templates{}, err
	}
	if t.Version != 1 {
		return Templates{}, fmt.Errorf("templates: version %d is not known, want 1", t.Version)
	}
	if len(t.Templates) > MaxTemplates {
		return Templates{}, fmt.Errorf("templates: has %d entries, at most %d are allowed", len(t.Templates), MaxTemplates)
	}
	if len(t.Imports) > MaxTemplates {
		return Templates{}, fmt.Errorf("templates: has %d imports, at most %d are allowed", len(t.Imports), MaxTemplates)
	}
	for i, e := range t.Templates {
		if err := e.Validate(); err != nil {
			return Templates{}, fmt.Errorf("templates[%d]: %v", i, err)
		}
	}
	for i, e := range t.Imports {
		if err := cmp.Or(e.Name.Validate(), e.Account.ValidateGiven()); err != nil {
			return Templates{}, fmt.Errorf("imports[%d]: %v", i, err)
		}
	}
	if len(t.Runs) > MaxTemplates {
		return Templates{}, fmt.Errorf("templates: has %d runs of imports, at most %d are allowed", len(t.Runs), MaxTemplates)
	}
	for i, e := range t.Runs {
		if err := cmp.Or(e.ID.Validate(), e.Name.Validate(), e.Account.ValidateGiven()); err != nil {
			return Templates{}, fmt.Errorf("runs[%d]: %v", i, err)
		}
	}
	return t, nil
}

// DecodeUsed reads a Used document; fields that a newer orchestrator sends are passed over.
func DecodeUsed(r io.Reader) (Used, error) {
	var u Used
	if err := decode(r, "images in use", &u); err != nil {
		return Used{}, err
	}
	for i, e := range u.Uses {
		if e.Name == "" && e.Digest == "" || e.By == "" {
			return Used{}, fmt.Errorf("images in use: uses[%d]: it names nothing, or nobody", i)
		}
		if e.Digest != "" && e.Digest.Validate() != nil {
			return Used{}, fmt.Errorf("images in use: uses[%d]: %v", i, e.Digest.Validate())
		}
	}
	return u, nil
}

// Validate says why t is no template, or nil.
func (t Template) Validate() error {
	if err := t.Name.Validate(); err != nil {
		return err
	}
	if err := errors.Join(t.Digest.Validate(), t.OCI.Validate(), t.validateIDs(), t.Account.ValidateGiven()); err != nil {
		return fmt.Errorf("template %q: %v", t.Name, err)
	}
	switch {
	case t.Bytes <= 0:
		return fmt.Errorf("template %q: has %d bytes", t.Name, t.Bytes)
	case len(t.Process.Argv) == 0:
		return fmt.Errorf("template %q: has no process", t.Name)
	case t.Profile != ProfileApp && t.Profile != ProfileSystem:
		return fmt.Errorf("template %q: profile %q is not known, use app or system", t.Name, t.Profile)
	case len(t.Volumes) > MaxVolumes:
		return fmt.Errorf("template %q: has %d volumes, at most %d are allowed", t.Name, len(t.Volumes), MaxVolumes)
	}
	for _, v := range t.Volumes {
		if !path.IsAbs(v.Path) || path.Clean(v.Path) != v.Path {
			return fmt.Errorf("template %q: volume %.200q is no absolute, clean path", t.Name, v.Path)
		}
	}
	return nil
}

// DecodeImportRequest reads an ImportRequest.
func DecodeImportRequest(r io.Reader) (ImportRequest, error) {
	var q ImportRequest
	if err := decode(r, "import request", &q); err != nil {
		return ImportRequest{}, err
	}
	return q, q.Name.Validate()
}

// ImagePath is the path of one erofs file.
func ImagePath(d wire.Digest) string { return PathImages + "/" + string(d) }

const maxDocument = 16 << 20

// decode reads one JSON document of at most maxDocument bytes, of this version or a neighbouring one.
func decode(r io.Reader, what string, v any) error {
	if err := neighbour.Read(r, maxDocument, v); err != nil {
		return fmt.Errorf("read %s: %w", what, err)
	}
	return nil
}
