package api

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/authz"
)

const hostLogsPath = operator.Prefix + "/hosts/{host}/logs"

var hostLogsParams = map[string]string{
	"unit": "agent (the default), init, kernel, spawner, netd or console; dmesg is all of the kernel's log, crash what a kernel of the " +
		"host said last",
	"tail":   "Lines from the end; 0 is all that is kept",
	"follow": "true to go on until closed",
	"since":  "Only lines written since: how long ago (90s, 15m, 2h, 7d), or a time (RFC 3339)",
}

// hostLogOperation registers and describes the WebSocket of a host's own logs.
func (s *Server) hostLogOperation(mux *http.ServeMux) {
	op := &huma.Operation{OperationID: "logsHost", Method: http.MethodGet, Path: hostLogsPath,
		Summary:     "Read one of a host's own logs (WebSocket; frames as of exec)",
		Description: "Needs scope platform.", Security: []map[string][]string{{"token": {}}},
		Parameters: []*huma.Param{{Name: "host", In: "path", Required: true, Schema: &huma.Schema{Type: "string"}}},
		Responses:  s.sessionResponses()}
	for _, name := range slices.Sorted(maps.Keys(hostLogsParams)) {
		op.Parameters = append(op.Parameters, &huma.Param{Name: name, In: "query", Description: hostLogsParams[name],
			Schema: &huma.Schema{Type: "string"}})
	}
	s.api.OpenAPI().AddOperation(op)
	mux.HandleFunc("GET "+hostLogsPath, s.hostLogs)
}

func (s *Server) hostLogs(w http.ResponseWriter, r *http.Request) {
	c := s.caller(r.Context())
	if p := s.allow(c, authz.Platform, r.URL.Path); p != nil {
		operator.WriteProblem(w, p)
		return
	}
	spec, err := parseHostLogs(r.URL.Query(), time.Now())
	if err != nil {
		operator.WriteProblem(w, err)
		return
	}
	if r.Header.Get("Upgrade") == "" {
		operator.WriteProblem(w, operator.NewProblem(operator.Invalid, r.URL.Path, "this is a WebSocket", "use hnctl host logs"))
		return
	}
	h, err := answering(c.world(), r.PathValue("host"))
	if err != nil {
		operator.WriteProblem(w, err)
		return
	}
	record := operator.Audit{Who: c.Name, Account: c.Account, From: c.from, What: "host.logs",
		Object: "hosts/" + h.Name + " " + string(spec.Unit)}
	s.carry(w, r, record, h.ID, host.SessionRequest{HostLogs: &spec})
}

func parseHostLogs(q url.Values, now time.Time) (host.HostLogsSpec, error) {
	spec := host.HostLogsSpec{Unit: host.UnitAgent}
	for name := range q {
		if _, ok := hostLogsParams[name]; !ok {
			return spec, operator.NewProblem(operator.Invalid, name, "the parameter is not known", "see /openapi.json")
		}
	}
	if q.Has("unit") {
		spec.Unit = host.Unit(q.Get("unit"))
		if spec.Validate() != nil {
			var known []string
			for _, u := range host.Units {
				known = append(known, string(u))
			}
			return spec, operator.NewProblem(operator.Invalid, "unit", fmt.Sprintf("there is no unit %q", spec.Unit),
				"name one of "+strings.Join(known, ", "))
		}
	}
	var err error
	spec.Tail, spec.Follow, spec.Since, err = logRange(q, now)
	return spec, err
}

// logRange reads what part of a log is wanted.
func logRange(q url.Values, now time.Time) (tail int, follow bool, since time.Time, err error) {
	if t := q.Get("tail"); t != "" {
		if tail, err = strconv.Atoi(t); err != nil || tail < 0 {
			return 0, false, since, operator.NewProblem(operator.Invalid, "tail", fmt.Sprintf("%q is no number of lines", t),
				"give a number from 0 up")
		}
	}
	if follow, err = truth(q, "follow"); err != nil {
		return 0, false, since, err
	}
	if q.Has("since") {
		if since, err = operator.ParseSince(q.Get("since"), now); err != nil {
			return 0, false, since, operator.NewProblem(operator.Invalid, "since", err.Error(), "correct it, or leave it out")
		}
	}
	return tail, follow, since, nil
}

// truth reads a parameter that is true or false; left out, it is false.
func truth(q url.Values, name string) (bool, error) {
	switch v := q.Get(name); v {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	default:
		return false, operator.NewProblem(operator.Invalid, name, fmt.Sprintf("%q is neither true nor false", v), "correct it")
	}
}
