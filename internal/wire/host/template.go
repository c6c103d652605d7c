package host

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"hardnode.dev/internal/wire"
)

// Paths of the registry's own API (TCP 7445, TLS 1.3), beside the OCI distribution API at /v2/. Reading needs a host's or a component's
// certificate; importing needs the push token.
const (
	PathImages  = "/images"  // GET → Templates; GET /images/sha256:… → the erofs file (Range, ETag)
	PathImport  = "/import"  // POST ImportRequest → Template; waits until the template is imported
	PathHealthz = "/healthz" // GET → 200 once the registry serves; no credentials
)

// MaxTemplates is the largest number of templates one list may hold.
const MaxTemplates = 10_000

// Templates is what the registry answers to GET PathImages.
type Templates struct {
	Version   int        `json:"version"` // 1
	Templates []Template `json:"templates"`
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
	Notes    []string  `json:"notes,omitempty"` // what the importer left out, in words; at most 20
}

// ImportRequest names a manifest that was pushed.
type ImportRequest struct {
	Name wire.TemplateName `json:"name"` // name:tag; no tag means latest
}

// DecodeTemplates reads a Templates document strictly.
func DecodeTemplates(r io.Reader) (Templates, error) {
	var t Templates
	if err := decodeStrict(r, "templates", &t); err != nil {
		return Templates{}, err
	}
	if t.Version != 1 {
		return Templates{}, fmt.Errorf("templates: version %d is not known, want 1", t.Version)
	}
	if len(t.Templates) > MaxTemplates {
		return Templates{}, fmt.Errorf("templates: has %d entries, at most %d are allowed", len(t.Templates), MaxTemplates)
	}
	for i, e := range t.Templates {
		if err := e.Validate(); err != nil {
			return Templates{}, fmt.Errorf("templates[%d]: %v", i, err)
		}
	}
	return t, nil
}

// Validate says why t is no template, or nil.
func (t Template) Validate() error {
	if err := t.Name.Validate(); err != nil {
		return err
	}
	if err := errors.Join(t.Digest.Validate(), t.OCI.Validate()); err != nil {
		return fmt.Errorf("template %q: %v", t.Name, err)
	}
	switch {
	case t.Bytes <= 0:
		return fmt.Errorf("template %q: has %d bytes", t.Name, t.Bytes)
	case len(t.Process.Argv) == 0:
		return fmt.Errorf("template %q: has no process", t.Name)
	case t.Profile != ProfileApp && t.Profile != ProfileSystem:
		return fmt.Errorf("template %q: profile %q is not known, use app or system", t.Name, t.Profile)
	}
	return nil
}

// DecodeImportRequest reads an ImportRequest strictly.
func DecodeImportRequest(r io.Reader) (ImportRequest, error) {
	var q ImportRequest
	if err := decodeStrict(r, "import request", &q); err != nil {
		return ImportRequest{}, err
	}
	return q, q.Name.Validate()
}

// ImagePath is the path of one erofs file.
func ImagePath(d wire.Digest) string { return PathImages + "/" + string(d) }

const maxDocument = 16 << 20

// decodeStrict reads one JSON document: unknown fields, trailing data and more than maxDocument bytes are errors.
func decodeStrict(r io.Reader, what string, v any) error {
	raw, err := io.ReadAll(io.LimitReader(r, maxDocument+1))
	if err != nil {
		return fmt.Errorf("read %s: %w", what, err)
	}
	if len(raw) > maxDocument {
		return fmt.Errorf("read %s: is longer than %d bytes", what, maxDocument)
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return fmt.Errorf("read %s: %v", what, err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return fmt.Errorf("read %s: there is more behind the document", what)
	}
	return nil
}
