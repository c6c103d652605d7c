package serve

import (
	"net/http"
	"strings"

	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
)

// tag gives an image another name, and answers with the template by that name.
func (s *Server) tag(w http.ResponseWriter, r *http.Request) {
	q, err := host.DecodeTagRequest(http.MaxBytesReader(w, r.Body, 4<<10))
	if err != nil {
		operator.WriteProblem(w, operator.NewProblem(operator.Invalid, "tag", err.Error(), `send {"of": "nginx:1.22", "tag": "stable"}`))
		return
	}
	repo, ref, ok := strings.Cut(q.Of, "@")
	if !ok {
		repo, ref, _ = strings.Cut(q.Of, ":")
	}
	name := q.Name()
	if err := s.Tag(r.Context(), repo, ref, q.Tag, q.Move); err != nil {
		s.fail(w, "templates/"+string(name), err)
		return
	}
	t, err := s.Tagged(r.Context(), name)
	if err != nil {
		s.fail(w, "templates/"+string(name), err)
		return
	}
	reply(w, t)
}
