package api

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/front"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/authz"
	"hardnode.dev/orchestrator/env"
	"hardnode.dev/orchestrator/store"
	"hardnode.dev/orchestrator/world"
)

const accessLogPath = operator.Prefix + "/environments/{env}/access-log"

var accessLogParams = map[string]string{
	"tail":   "Lines from the end; 0 is all that is kept",
	"follow": "true to go on until closed",
}

// Each reader is a process beside the resolver: so many at once, of an account and of all.
const (
	maxReaders    = 4
	maxAllReaders = 24
)

// readers counts who reads access logs now.
type readers struct {
	sync.Mutex
	all int
	of  map[wire.Account]int
}

func (r *readers) enter(a wire.Account) (leave func(), ok bool) {
	r.Lock()
	defer r.Unlock()
	if r.all >= maxAllReaders || r.of[a] >= maxReaders {
		return nil, false
	}
	if r.of == nil {
		r.of = map[wire.Account]int{}
	}
	r.all++
	r.of[a]++
	return func() {
		r.Lock()
		defer r.Unlock()
		r.all--
		if r.of[a]--; r.of[a] == 0 {
			delete(r.of, a)
		}
	}, true
}

// accessLogOperation registers and describes the WebSocket of an environment's access log.
func (s *Server) accessLogOperation(mux *http.ServeMux) {
	op := &huma.Operation{OperationID: "accessLogEnvironment", Method: http.MethodGet, Path: accessLogPath,
		Summary:     "Read the requests that the resolver took for an environment, a line of JSON each (WebSocket; frames as of exec)",
		Description: "Needs scope exec.", Security: []map[string][]string{{"token": {}}},
		Parameters: []*huma.Param{{Name: "env", In: "path", Required: true, Schema: &huma.Schema{Type: "string"}}},
		Responses:  s.sessionResponses()}
	for _, name := range slices.Sorted(maps.Keys(accessLogParams)) {
		op.Parameters = append(op.Parameters, &huma.Param{Name: name, In: "query", Description: accessLogParams[name],
			Schema: &huma.Schema{Type: "string"}})
	}
	s.api.OpenAPI().AddOperation(op)
	mux.HandleFunc("GET "+accessLogPath, s.accessLog)
}

func (s *Server) accessLog(w http.ResponseWriter, r *http.Request) {
	c := s.caller(r.Context())
	name := wire.EnvName(r.PathValue("env"))
	object := "environments/" + string(name)
	c, p := s.asGuest(c, "accessLogEnvironment", accessLogPath, authz.Exec, r.PathValue)
	if p == nil {
		p = s.allow(c, authz.Exec, r.URL.Path)
	}
	if p != nil {
		operator.WriteProblem(w, p)
		return
	}
	if p := within(c, route{id: "accessLogEnvironment", path: accessLogPath}, r.PathValue); p != nil {
		operator.WriteProblem(w, p)
		return
	}
	argv, err := parseAccessLog(r.URL.Query())
	if err != nil {
		operator.WriteProblem(w, err)
		return
	}
	if r.Header.Get("Upgrade") == "" {
		operator.WriteProblem(w, operator.NewProblem(operator.Invalid, r.URL.Path, "this is a WebSocket", "use hnctl env access-log"))
		return
	}
	if _, err := s.Domains.Front(name, c.Account); err != nil {
		operator.WriteProblem(w, err)
		return
	}
	all := s.World(wire.AdminAccount) // the resolver is nobody's but the admins'
	e := store.Envs.Find(all.View, string(name))
	at, ok := resolverOf(all)
	if e == nil || !ok {
		operator.WriteProblem(w, operator.NewProblem(operator.Unavailable, object, "the resolver does not answer now",
			"try again, and tell those who run the cluster if it lasts"))
		return
	}
	leave, ok := s.reading.enter(c.own())
	if !ok {
		operator.WriteProblem(w, operator.NewProblem(operator.Exhausted, object, "too many access logs are being read at once",
			"end one of the others"))
		return
	}
	defer leave()
	argv = append([]string{"/resolver", "-access-log", front.LogName(name, e.Created)}, argv...)
	ctx, end := c.while(r.Context(), object, func(w world.World) bool {
		_, there := w.Environment(name)
		return there
	})
	defer end()
	s.carry(w, r.WithContext(ctx), c.record("env.access-log", object), at.Host,
		host.SessionRequest{CTID: at.CTID, Exec: &host.ExecSpec{Argv: argv}})
}

// resolverOf is a resolver that runs on a host that answers.
func resolverOf(w world.World) (store.Node, bool) {
	for n := range store.NodesOf.Of(w.View, string(env.System)) {
		if n.Container.Component == host.ComponentResolver && !n.Gone && w.Answers(w.NodeOf(n).Host) &&
			w.NodeOf(n).State == string(host.CtRunning) {
			return n, true
		}
	}
	return store.Node{}, false
}

func parseAccessLog(q url.Values) (argv []string, err error) {
	for name := range q {
		if _, ok := accessLogParams[name]; !ok {
			return nil, operator.NewProblem(operator.Invalid, name, "the parameter is not known", "see /openapi.json")
		}
	}
	tail, follow, _, err := logRange(q, time.Time{})
	if err != nil {
		return nil, err
	}
	argv = []string{"-tail", strconv.Itoa(tail)}
	if follow {
		argv = append(argv, "-follow")
	}
	return argv, nil
}
