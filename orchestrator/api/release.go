package api

import (
	"context"
	"strings"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
)

// Releases is what the API needs of the releases that were imported.
type Releases interface {
	List() operator.Releases
	Trust(image, director wire.Digest) error
	Import(ctx context.Context, in operator.ReleaseImport) (operator.ReleaseImported, error)
	Put(digest wire.Digest, offset int64, data []byte) error
	Read(digest wire.Digest, offset int64, length int) ([]byte, error)
}

func (s *Server) listReleases(context.Context, caller, *none) (operator.Releases, error) {
	return s.Releases.List(), nil
}

func (s *Server) trustReleases(_ context.Context, c caller, in *body[operator.ReleaseTrust]) (operator.Releases, error) {
	object := "releases/trust " + strings.Join([]string{string(in.Body.Image), string(in.Body.Director)}, " ")
	err := s.do(c, "release.trust", object, func() error { return s.Releases.Trust(in.Body.Image, in.Body.Director) })
	if err != nil {
		return operator.Releases{}, err
	}
	return s.Releases.List(), nil
}

func (s *Server) importRelease(ctx context.Context, c caller, in *body[operator.ReleaseImport]) (out operator.ReleaseImported, err error) {
	err = s.do(c, "release.import", "releases", func() error {
		var err error
		out, err = s.Releases.Import(ctx, in.Body)
		return err
	})
	return out, err
}

// putReleaseFile has no audit record of its own: it adds to a file that an import names, which has one.
func (s *Server) putReleaseFile(_ context.Context, _ caller, in *struct {
	Digest string `path:"digest" maxLength:"71"`
	Body   operator.ReleaseChunk
}) (*struct{}, error) {
	return &struct{}{}, s.Releases.Put(wire.Digest(in.Digest), in.Body.Offset, in.Body.Data)
}

func (s *Server) readReleaseFile(_ context.Context, _ caller, in *struct {
	Digest string `path:"digest" maxLength:"71"`
	Offset int64  `query:"offset" minimum:"0"`
	Length int    `query:"length" minimum:"0" maximum:"524288" default:"524288" doc:"Bytes; fewer come at the file's end"`
}) (operator.ReleaseChunk, error) {
	raw, err := s.Releases.Read(wire.Digest(in.Digest), in.Offset, in.Length)
	return operator.ReleaseChunk{Offset: in.Offset, Data: raw}, err
}
