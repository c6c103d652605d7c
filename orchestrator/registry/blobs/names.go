package blobs

import (
	"errors"
	"fmt"
	"strings"

	"github.com/distribution/distribution/v3"
	"github.com/distribution/distribution/v3/registry/storage/driver"

	"hardnode.dev/internal/wire"
	"hardnode.dev/orchestrator/registry/importer"
)

func repositoryOf(name wire.TemplateName) string {
	repo, _, _ := strings.Cut(string(name), ":")
	return repo
}

func tagOf(name wire.TemplateName) string {
	if _, tag, ok := strings.Cut(string(name), ":"); ok {
		return tag
	}
	return "latest"
}

// known turns the library's ways of saying "not there" into importer.ErrNone.
func known(err error) error {
	var (
		noTag      distribution.ErrTagUnknown
		noManifest distribution.ErrManifestUnknown
		noRevision distribution.ErrManifestUnknownRevision
		noRepo     distribution.ErrRepositoryUnknown
		noPath     driver.PathNotFoundError
	)
	if errors.As(err, &noTag) || errors.As(err, &noManifest) || errors.As(err, &noRevision) || errors.As(err, &noRepo) ||
		errors.As(err, &noPath) ||
		errors.Is(err, distribution.ErrBlobUnknown) {
		return fmt.Errorf("%w: %v", importer.ErrNone, err)
	}
	return err
}
