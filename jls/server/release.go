package server

import (
	"context"
	"crypto/ed25519"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"hardnode.dev/internal/release/issue"
	"hardnode.dev/internal/release/trust"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/jls"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/jls/director"
	"hardnode.dev/jls/ledger"
)

// direct registers the director: its administrator's operations, and what an installation asks.
func (s *Server) direct(api huma.API) {
	huma.Register(api, route(http.MethodPost, jls.PathDirector, "direct",
		"The director's metadata for an installation"), func(ctx context.Context, in *signed) (*reply[jls.DirectorReply], error) {
		body, err := s.directed(ctx, in.Body)
		return answer(ctx, s, "direct", body, err)
	})
	huma.Register(api, s.forAdmin(api, http.MethodGet, jls.PathReleases, "list-releases",
		"List releases and who shall have them"), func(ctx context.Context, _ *struct{}) (*reply[jls.Releases], error) {
		body, err := s.Ledger.Releases(ctx)
		return answer(ctx, s, "list releases", body, err)
	})
	huma.Register(api, s.forAdmin(api, http.MethodPut, jls.PathReleases, "offer-releases",
		"Say which files of the image repository may be assigned"),
		func(ctx context.Context, in *struct{ Body jls.Offer }) (*reply[jls.Releases], error) {
			return s.then(ctx, "offer releases", s.offer(ctx, in.Body))
		})
	huma.Register(api, s.forAdmin(api, http.MethodPut, jls.PathInstallations+"/{id}/releases", "assign-release",
		"Say which release an installation shall have"), func(ctx context.Context, in *struct {
		ID   string `path:"id" maxLength:"60"`
		Body jls.Assign
	}) (*reply[jls.Releases], error) {
		return s.then(ctx, "assign release", s.Ledger.Assign(ctx, admin, jls.InstallationID(in.ID), in.Body.Releases, s.Now()))
	})
	huma.Register(api, s.forAdmin(api, http.MethodGet, jls.PathInstallations+"/{id}/director", "export-director",
		"The director's metadata for a closed site: good for half a year"),
		func(ctx context.Context, in *byID) (*reply[jls.DirectorReply], error) {
			body, err := s.documents(ctx, jls.InstallationID(in.ID), nil, true)
			return answer(ctx, s, "export director", body, err)
		})
}

func (s *Server) forAdmin(api huma.API, method, path, id, summary string) huma.Operation {
	o := route(method, path, id, summary)
	o.Middlewares, o.Security = huma.Middlewares{s.bearer(api)}, []map[string][]string{{"admin": {}}}
	return o
}

// then answers with the list after a change.
func (s *Server) then(ctx context.Context, what string, err error) (*reply[jls.Releases], error) {
	var body jls.Releases
	if err == nil {
		body, err = s.Ledger.Releases(ctx)
	}
	return answer(ctx, s, what, body, err)
}

func (s *Server) offer(ctx context.Context, o jls.Offer) error {
	for _, f := range o.Files {
		if err := f.Digest.Validate(); err != nil {
			return operator.NewProblem(operator.Invalid, "files", f.Path+": "+err.Error(), "")
		}
	}
	return s.Ledger.Offer(ctx, admin, o.Files, s.Now())
}

func (s *Server) directed(ctx context.Context, in jls.Signed) (jls.DirectorReply, error) {
	d, err := jls.DecodeDirect(in.Body)
	if err != nil {
		return jls.DirectorReply{}, invalid(err)
	}
	if err := s.check(ctx, jls.PathDirector, d.Installation, in); err != nil {
		return jls.DirectorReply{}, err
	}
	return s.documents(ctx, d.Installation, &d.Head, false)
}

// documents is the director's whole repository for an installation, with new documents where they are due.
func (s *Server) documents(ctx context.Context, id jls.InstallationID, head *jls.Head, closed bool) (jls.DirectorReply, error) {
	if s.Director == nil {
		return jls.DirectorReply{}, operator.NewProblem(operator.NotFound, "director", "this licence server has no director's key",
			"have its owner make one: jls director init")
	}
	key, now := ed25519.NewKeyFromSeed(s.Director.Key.Reveal()), s.Now()
	docs, err := s.Ledger.Direct(ctx, id, head, now,
		func(old ledger.Documents, cluster wire.ClusterID, files []jls.ReleaseFile) (ledger.Documents, error) {
			w := director.Wanted{Installation: cluster, Closed: closed, Files: issue.Files{}}
			for _, f := range files {
				w.Files[f.Path] = trust.Target{Path: f.Path, Length: f.Length, Digest: f.Digest, Custom: trust.Custom{Release: f.Release}}
			}
			set, err := director.Next(issue.Set(old), w, key, now)
			return ledger.Documents(set), err
		})
	if err != nil {
		return jls.DirectorReply{}, err
	}
	files, err := director.Files(s.Director.Roots, issue.Set(docs))
	return jls.DirectorReply{Files: files}, err
}
