// Package template reads what a template's image says of itself.
//
// Owns: where that is, and that a container without it is none of a template.
// In: a root.
// Out: a jem.Template; a *jem.Error for one that can't be used.
// Never: changes it.
package template

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"hardnode.dev/agent/jem/file"
	"hardnode.dev/internal/wire/jem"
)

// Of is the template that this container was made of; the zero value if it does not say.
func Of(root string) (jem.Template, error) {
	raw, err := file.Read(filepath.Join(root, jem.TemplatePath), jem.MaxTemplate)
	if errors.Is(err, fs.ErrNotExist) {
		return jem.Template{}, nil
	}
	var t jem.Template
	if err == nil {
		t, err = jem.DecodeTemplate(raw)
	}
	if err != nil {
		return jem.Template{}, &jem.Error{Code: "conflict", Reason: fmt.Sprintf("%s: %v", jem.TemplatePath, err),
			Next: "correct the file, or take it away: JEM goes by what it finds then"}
	}
	return t, nil
}
