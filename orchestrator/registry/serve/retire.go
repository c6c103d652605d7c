package serve

import (
	"errors"
	"net/http"
	"strings"

	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/registry/blobs"
	"hardnode.dev/orchestrator/registry/importer"
	"hardnode.dev/orchestrator/registry/retire"
)

// orchestrator lets the orchestrator in, by certificate: only it knows what is in use.
func (s *Server) orchestrator(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if p, ok := identity.ClientOf(r.TLS, s.Now()); !ok || p.Component != "orchestrator" {
			operator.WriteProblem(w, operator.NewProblem(operator.Denied, r.URL.Path, "only the orchestrator of this cluster may do this",
				"use `hnctl template rm` as a person"))
			return
		}
		next(w, r)
	}
}

// use takes in what is in use.
func (s *Server) use(w http.ResponseWriter, r *http.Request) {
	u, err := host.DecodeUsed(r.Body)
	if err != nil {
		operator.WriteProblem(w, operator.NewProblem(operator.Invalid, "used", err.Error(), "send what internal/wire/host says"))
		return
	}
	s.Retire.Told(u)
	w.WriteHeader(http.StatusNoContent)
}

// remove deletes name:tag or name@digest.
func (s *Server) remove(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	repo, ref, ok := strings.Cut(name, "@")
	if !ok {
		repo, ref, _ = strings.Cut(name, ":")
	}
	if ref == "" {
		ref = "latest"
	}
	freed, err := s.Retire.Delete(r.Context(), repo, ref, true)
	if errors.Is(err, importer.ErrNone) {
		operator.WriteProblem(w, operator.NewProblem(operator.NotFound, "templates/"+name,
			"there is no such template, tag or manifest in the registry", "see hnctl template list"))
		return
	}
	if err != nil {
		s.failDelete(w, "templates/"+name, err)
		return
	}
	reply(w, freed)
}

// failDelete is fail for a deletion, of which a full volume leaves a part to be done.
func (s *Server) failDelete(w http.ResponseWriter, object string, err error) {
	if !full(err) {
		s.fail(w, object, err)
		return
	}
	s.Log.Warn("request failed", "object", object, "code", operator.Exhausted, logging.Err, err)
	operator.WriteProblem(w, operator.NewProblem(operator.Exhausted, object,
		"the registry's volume is full: its tag is deleted, and there was no room to write down that the template is",
		"delete it again; if that does not help, give the registry a larger volume"))
}

func (s *Server) collect(w http.ResponseWriter, r *http.Request) {
	freed, err := s.Retire.Collect(r.Context())
	if err != nil {
		s.fail(w, "templates", err)
		return
	}
	reply(w, freed)
}

// deleteOCI deletes a tag or a manifest for a container tool (OCI distribution-spec 1.1, "Content Management").
func (s *Server) deleteOCI(w http.ResponseWriter, r *http.Request, repo, ref string) {
	_, err := s.Retire.Delete(r.Context(), repo, ref, false)
	var used *retire.InUse
	switch {
	case err == nil:
		w.WriteHeader(http.StatusAccepted)
	case errors.Is(err, importer.ErrNone):
		blobs.Refuse(w, http.StatusNotFound, "MANIFEST_UNKNOWN", "there is no such manifest or tag in the registry")
	case errors.As(err, &used):
		blobs.Refuse(w, http.StatusConflict, "DENIED", err.Error()+": delete those first, or let them use another template")
	case errors.Is(err, retire.ErrUnknown):
		blobs.Refuse(w, http.StatusServiceUnavailable, "UNAVAILABLE", err.Error()+": try again")
	default:
		s.failDelete(w, "templates/"+string(wire.TemplateName(repo+":"+ref)), err)
	}
}
