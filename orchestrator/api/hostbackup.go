package api

import (
	"maps"
	"net/http"
	"net/url"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"hardnode.dev/internal/wire/backup"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/authz"
)

const hostBackupsPath = operator.Prefix + "/hosts/{host}/backups"

var hostBackupsParams = map[string]string{
	"change": "true: some are put there or deleted; else they are only read",
}

// hostBackupOperation registers and describes the WebSocket to the backups that a host keeps of other hosts' nodes.
func (s *Server) hostBackupOperation(mux *http.ServeMux) {
	op := &huma.Operation{OperationID: "backupsHost", Method: http.MethodGet, Path: hostBackupsPath,
		Summary: "The backups that a host keeps of other hosts' nodes: questions on stdin, a line of JSON and the bytes that it says " +
			"each, answers on stdout (WebSocket; frames as of exec)",
		Description: "Needs scope platform.", Security: []map[string][]string{{"token": {}}},
		Parameters: []*huma.Param{{Name: "host", In: "path", Required: true, Schema: &huma.Schema{Type: "string"}}},
		Responses:  s.sessionResponses()}
	for _, name := range slices.Sorted(maps.Keys(hostBackupsParams)) {
		op.Parameters = append(op.Parameters, &huma.Param{Name: name, In: "query", Description: hostBackupsParams[name],
			Schema: &huma.Schema{Type: "string"}})
	}
	s.api.OpenAPI().AddOperation(op)
	mux.HandleFunc("GET "+hostBackupsPath, s.hostBackups)
}

func (s *Server) hostBackups(w http.ResponseWriter, r *http.Request) {
	c := s.caller(r.Context())
	if p := s.allow(c, authz.Platform, r.URL.Path); p != nil {
		operator.WriteProblem(w, p)
		return
	}
	want, err := parseHostBackups(r.URL.Query())
	if err != nil {
		operator.WriteProblem(w, err)
		return
	}
	if r.Header.Get("Upgrade") == "" {
		operator.WriteProblem(w, operator.NewProblem(operator.Invalid, r.URL.Path, "this is a WebSocket",
			"use hnctl node backup with the place host:"+r.PathValue("host")))
		return
	}
	h, err := answering(c.world(), r.PathValue("host"))
	if err == nil && h.Role != string(host.RoleUser) {
		err = operator.NewProblem(operator.Conflict, "hosts/"+h.Name, "its role is "+h.Role+"; only user hosts keep backups of others",
			"name another one: hnctl host list")
	}
	if err != nil {
		operator.WriteProblem(w, err)
		return
	}
	what := "host.backups.read"
	if want.Change {
		what = "host.backups.change"
	}
	record := operator.Audit{Who: c.Name, Account: c.Account, From: c.from, What: what, Object: "hosts/" + h.Name}
	s.carry(w, r, record, h.ID, host.SessionRequest{Backups: &want})
}

func parseHostBackups(q url.Values) (want backup.Keep, err error) {
	for name := range q {
		if _, ok := hostBackupsParams[name]; !ok {
			return want, operator.NewProblem(operator.Invalid, name, "the parameter is not known", "see /openapi.json")
		}
	}
	want.Change, err = truth(q, "change")
	return want, err
}
