package api

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/upkeep"
	"hardnode.dev/orchestrator/authz"
)

// hostDocuments are what a host shows of itself, each at a path of its own.
var hostDocuments = []struct {
	show        upkeep.Show
	id, summary string
}{
	{upkeep.ShowSupport, "supportHost", "A host's support bundle: a tar.gz of its state without secrets, on stdout " +
		"(WebSocket; frames as of exec)"},
	{upkeep.ShowConfig, "configHost", "A host's configuration in force without its secrets, and where it was found: JSON on stdout " +
		"(WebSocket; frames as of exec)"},
}

func hostDocumentPath(show upkeep.Show) string {
	return operator.Prefix + "/hosts/{host}/" + string(show)
}

// hostDocumentOperations registers and describes the WebSockets of a host's documents.
func (s *Server) hostDocumentOperations(mux *http.ServeMux) {
	for _, d := range hostDocuments {
		s.api.OpenAPI().AddOperation(&huma.Operation{OperationID: d.id, Method: http.MethodGet, Path: hostDocumentPath(d.show),
			Summary: d.summary, Description: "Needs scope platform.", Security: []map[string][]string{{"token": {}}},
			Parameters: []*huma.Param{{Name: "host", In: "path", Required: true, Schema: &huma.Schema{Type: "string"}}},
			Responses:  s.sessionResponses()})
		mux.HandleFunc("GET "+hostDocumentPath(d.show), func(w http.ResponseWriter, r *http.Request) { s.hostDocument(w, r, d.show) })
	}
}

func (s *Server) hostDocument(w http.ResponseWriter, r *http.Request, show upkeep.Show) {
	c := s.caller(r.Context())
	if p := s.allow(c, authz.Platform, r.URL.Path); p != nil {
		operator.WriteProblem(w, p)
		return
	}
	if r.Header.Get("Upgrade") == "" {
		operator.WriteProblem(w, operator.NewProblem(operator.Invalid, r.URL.Path, "this is a WebSocket", "use hnctl host "+string(show)))
		return
	}
	h, err := answering(c.world(), r.PathValue("host"))
	if err != nil {
		operator.WriteProblem(w, err)
		return
	}
	record := operator.Audit{Who: c.Name, Account: c.Account, From: c.from, What: "host." + string(show), Object: "hosts/" + h.Name}
	s.carry(w, r, record, h.ID, host.SessionRequest{Show: show})
}
