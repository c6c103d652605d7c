package api

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/coder/websocket"
	"github.com/danielgtaylor/huma/v2"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/jem"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/authz"
	"hardnode.dev/orchestrator/env"
	"hardnode.dev/orchestrator/session"
	"hardnode.dev/orchestrator/world"
)

// sessionKind is one kind of session: its parameters, by name, with what they mean.
type sessionKind struct {
	name, summary string
	params        map[string]string
	parse         func(q url.Values, r *host.SessionRequest) error
}

var sessionKinds = []sessionKind{
	{"exec", "Run a command in a node (WebSocket; each binary message is a frame: a channel byte " +
		"0 stdin, 1 stdout, 2 stderr, 3 resize, 4 exit, then the payload)", map[string]string{
		"argv": "The command and its arguments, one parameter each, in order",
		"tty":  "true for a terminal",
		"rows": "Rows of the terminal",
		"cols": "Columns of the terminal",
		"user": "User inside the container by name or number, with a group if wanted (name:group), " +
			"as its /etc/passwd and /etc/group have them; instead of uid and gid",
		"uid": "User inside the container",
		"gid": "Group inside the container"}, parseExec},
	{"logs", "Read a node's log (WebSocket; frames as of exec)", map[string]string{
		"tail":       "Lines from the end; 0 is all that is kept",
		"follow":     "true to go on until closed",
		"timestamps": "true to begin each line with its time (RFC 3339, UTC) and a space",
		"since":      "Only lines written since: how long ago (90s, 15m, 2h, 7d), or a time (RFC 3339)"}, parseLogs},
	{"jem", "Run `jem MODULE ACTION ARG…` in a node (WebSocket; frames as of exec; stdin is what the action is given, stdout its answer, " +
		"one JSON document)", map[string]string{
		"module": "The module",
		"action": "The action",
		"arg":    "Arguments, one parameter each, in order",
		"key":    "Idempotency key: what was done under it is not done again, its answer comes again"}, parseJEM},
}

// sessionOperations registers the WebSocket paths and describes them.
func (s *Server) sessionOperations(mux *http.ServeMux) {
	for _, k := range slices.Concat(sessionKinds, nodeCalls) {
		path := k.path()
		op := &huma.Operation{OperationID: k.name + "Node", Method: http.MethodGet, Path: path, Summary: k.summary,
			Description: "Needs scope exec; scope platform in the platform's own containers.",
			Security:    []map[string][]string{{"token": {}}},
			Parameters:  []*huma.Param{{Name: "ctid", In: "path", Required: true, Schema: &huma.Schema{Type: "integer"}}},
			Responses:   s.sessionResponses()}
		for _, name := range slices.Sorted(maps.Keys(k.params)) {
			schema := &huma.Schema{Type: "string"}
			if name == "argv" || name == "arg" || name == "had" {
				schema = &huma.Schema{Type: "array", Items: &huma.Schema{Type: "string"}}
			}
			op.Parameters = append(op.Parameters, &huma.Param{Name: name, In: "query", Description: k.params[name], Schema: schema})
		}
		s.api.OpenAPI().AddOperation(op)
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) { s.session(w, r, k) })
	}
}

// sessionResponses describes how a WebSocket is answered.
func (s *Server) sessionResponses() map[string]*huma.Response {
	out := map[string]*huma.Response{"101": {Description: "Switching to WebSocket"}, "default": {Description: "Problem"}}
	for _, status := range []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusConflict,
		http.StatusUnprocessableEntity, http.StatusTooManyRequests} {
		out[strconv.Itoa(status)] = &huma.Response{Description: http.StatusText(status), Content: map[string]*huma.MediaType{
			operator.ProblemType: {Schema: huma.SchemaFromType(s.api.OpenAPI().Components.Schemas, reflect.TypeFor[operator.Problem]())}}}
	}
	return out
}

// openPaths are the paths of sessions and watches: what a caller holds open.
func openPaths() []string {
	out := []string{operator.Prefix + watchPath, operator.Prefix + accountExportPath, hostLogsPath, hostBackupsPath, accessLogPath}
	for _, d := range hostDocuments {
		out = append(out, hostDocumentPath(d.show))
	}
	for _, k := range slices.Concat(sessionKinds, nodeCalls) {
		out = append(out, k.path())
	}
	return out
}

func (k sessionKind) path() string { return operator.Prefix + "/nodes/{ctid}/" + k.name }

func (s *Server) session(w http.ResponseWriter, r *http.Request, k sessionKind) {
	c := s.caller(r.Context())
	id, err := wire.ParseCTID(r.PathValue("ctid"))
	if err != nil {
		if p := s.allow(c, authz.Exec, r.URL.Path); p != nil {
			operator.WriteProblem(w, p)
			return
		}
		operator.WriteProblem(w, operator.NewProblem(operator.Invalid, "ctid", err.Error(), "see hnctl node list"))
		return
	}
	scope := scopeFor(c.world(), id)
	c, p := s.asGuest(c, k.name+"Node", k.path(), scope, r.PathValue)
	if p == nil {
		p = s.allow(c, scope, r.URL.Path)
	}
	if p != nil {
		operator.WriteProblem(w, p)
		return
	}
	req, on, err := sessionRequest(r, c.world(), k, id)
	if err != nil {
		operator.WriteProblem(w, err)
		return
	}
	ctx, end := c.while(r.Context(), "nodes/"+req.CTID.String(), func(w world.World) bool {
		_, there := w.Node(req.CTID)
		return there
	})
	defer end()
	s.carry(w, r.WithContext(ctx), c.record("node."+k.name, "nodes/"+req.CTID.String()+command(req)), on, req)
}

// carry records a session, has the host open it, and holds it between the person and the host.
func (s *Server) carry(w http.ResponseWriter, r *http.Request, record operator.Audit, on wire.HostID, req host.SessionRequest) {
	var link *session.Link
	if err := s.Audit.Do(record, func() (err error) {
		link, err = s.Hub.Open(r.Context(), record.Account, on, req)
		return err
	}); err != nil {
		operator.WriteProblem(w, err)
		return
	}
	defer link.Close()
	c, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{host.SessionProtocol},
		CompressionMode: websocket.CompressionDisabled})
	if err != nil {
		logging.Or(s.Log).Info("a session was not taken up", "object", record.Object, logging.Err, err)
		link.Conn.CloseNow()
		return
	}
	defer c.CloseNow()
	session.Bridge(r.Context(), c, link.Conn)
}

// scopeFor is what a session in a container needs. Numbers of the platform need its scope even where there is no such container.
func scopeFor(w world.World, id wire.CTID) authz.Scope {
	n, ok := w.Node(id)
	if id < wire.FirstUserCTID || ok && n.Env == env.System {
		return authz.Platform
	}
	return authz.Exec
}

// command is how a session's command is recorded: the program, and a digest of the arguments. Equal ones can be told; what is in them
// can't be read, for it may be a secret.
func command(r host.SessionRequest) string {
	var program string
	var args []string
	switch {
	case r.Exec != nil:
		program, args = r.Exec.Argv[0], r.Exec.Argv[1:]
	case r.JEM != nil:
		program, args = r.JEM.Module+" "+r.JEM.Action, r.JEM.Args
	case r.Node != nil && r.Node.Backup != nil:
		return " for " + r.Node.Backup.Recipient
	default:
		return ""
	}
	text := fmt.Sprintf(" %q", program)
	if len(args) == 0 {
		return text
	}
	h := sha256.New()
	for _, a := range args {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(a))))
		h.Write([]byte(a))
	}
	s := "s"
	if len(args) == 1 {
		s = ""
	}
	return fmt.Sprintf("%s and %d argument%s, sha256:%x", text, len(args), s, h.Sum(nil))
}

// ofStopped are the sessions that need no process of the node's.
var ofStopped = []string{"logs", "restart", "backup", "import"}

// sessionRequest checks everything that can be checked before the host is asked.
func sessionRequest(r *http.Request, w world.World, k sessionKind, id wire.CTID) (req host.SessionRequest, on wire.HostID, err error) {
	req.CTID = id
	q := r.URL.Query()
	for name := range q {
		if _, ok := k.params[name]; !ok {
			return req, "", operator.NewProblem(operator.Invalid, name, "the parameter is not known", "see /openapi.json")
		}
	}
	if err := k.parse(q, &req); err != nil {
		return req, "", err
	}
	if r.Header.Get("Upgrade") == "" {
		return req, "", operator.NewProblem(operator.Invalid, r.URL.Path, "this is a WebSocket", "use hnctl node "+k.name)
	}
	n, ok := w.Node(id)
	if !ok {
		return req, "", noNode(id)
	}
	if !w.Answers(n.Host) {
		return req, "", operator.NewProblem(operator.Unavailable, "nodes/"+id.String(), n.Reason, "wait for its host: hnctl host list")
	}
	// Whatever runs can be looked into, however it fares; whether it does only its host knows for sure.
	if !slices.Contains(ofStopped, k.name) && n.State != string(host.CtRunning) && n.Started.IsZero() {
		reason := "nothing runs in it: it is " + n.State + why(n.Reason)
		return req, "", operator.NewProblem(operator.Conflict, "nodes/"+id.String(), reason, "see hnctl node logs "+id.String())
	}
	return req, n.Host, nil
}

func why(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}

func parseExec(q url.Values, r *host.SessionRequest) error {
	e := &host.ExecSpec{Argv: q["argv"], TTY: q.Get("tty") == "true"}
	if len(e.Argv) == 0 || e.Argv[0] == "" {
		return operator.NewProblem(operator.Invalid, "argv", "there is no command", "give one: hnctl node exec CTID -- COMMAND")
	}
	for _, f := range []struct {
		name string
		bits int
		set  func(uint64)
	}{
		{"rows", 16, func(n uint64) { e.Rows = uint16(n) }}, {"cols", 16, func(n uint64) { e.Cols = uint16(n) }},
		{"uid", 16, func(n uint64) { e.UID = uint32(n) }}, {"gid", 16, func(n uint64) { e.GID = uint32(n) }},
	} {
		if q.Get(f.name) == "" {
			continue
		}
		n, err := strconv.ParseUint(q.Get(f.name), 10, f.bits)
		if err != nil {
			return operator.NewProblem(operator.Invalid, f.name, fmt.Sprintf("%q is no number from 0 to 65535", q.Get(f.name)),
				"correct it")
		}
		f.set(n)
	}
	if e.User = q.Get("user"); e.User != "" && (e.UID != 0 || e.GID != 0) {
		return operator.NewProblem(operator.Invalid, "user", "it is given beside uid or gid", "give one or the other")
	}
	if len(e.User) > maxUser || strings.ContainsFunc(e.User, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return operator.NewProblem(operator.Invalid, "user", fmt.Sprintf("it is no name: want 1 to %d characters without blanks", maxUser),
			"give a user of the node's /etc/passwd, e.g. postgres")
	}
	r.Exec = e
	return nil
}

// maxUser is the longest "name:group" taken, in bytes; names of Linux have 32 at most.
const maxUser = 128

func parseLogs(q url.Values, r *host.SessionRequest) (err error) {
	l := &host.LogsSpec{}
	if l.Times, err = truth(q, "timestamps"); err != nil {
		return err
	}
	l.Tail, l.Follow, l.Since, err = logRange(q, time.Now())
	r.Logs = l
	return err
}

func parseJEM(q url.Values, r *host.SessionRequest) error {
	j := &host.JEMRequest{Module: q.Get("module"), Action: q.Get("action"), Args: q["arg"], Key: q.Get("key")}
	if err := jem.ValidKey(j.Key); err != nil {
		return operator.NewProblem(operator.Invalid, "key", err.Error(), "use 1 to 128 characters that can be printed")
	}
	for name, v := range map[string]string{"module": j.Module, "action": j.Action} {
		if err := wire.Label(name, v, 40); err != nil {
			return operator.NewProblem(operator.Invalid, name, err.Error(), "see hnctl jem --help")
		}
	}
	r.JEM = j
	return nil
}
