package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/jls"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/tools/hnctl/config"
)

const fakeToken = "hna1.FAKE"

// fake is an orchestrator's API small enough to read: it keeps environments and operations in memory.
type fake struct {
	mu   sync.Mutex
	envs map[wire.EnvName]operator.Environment
	ops  map[wire.OperationID]operator.Operation
	seen map[string]wire.OperationID // idempotency keys
	now  time.Time

	imports map[wire.OperationID]operator.Operation // operations that are the registry's
}

// operation is one of both kinds; the caller holds the lock.
func (f *fake) operation(id wire.OperationID) (operator.Operation, bool) {
	if op, ok := f.imports[id]; ok {
		return op, true
	}
	op, ok := f.ops[id]
	return op, ok
}

// fakeImports are one that is under way and one that failed.
func fakeImports(now time.Time) map[wire.OperationID]operator.Operation {
	out := map[wire.OperationID]operator.Operation{}
	for _, o := range []operator.Operation{
		{ID: "op-00000000000000a1", Object: "templates/team/web:1", State: operator.OpRunning, Progress: 40,
			Steps: []operator.Step{{Name: "accept", State: operator.OpDone},
				{Name: "import", State: operator.OpRunning, Detail: "84.0 MiB of 210.0 MiB are read"}}},
		{ID: "op-00000000000000a2", Object: "templates/bad:1", State: operator.OpFailed,
			Steps:   []operator.Step{{Name: "import", State: operator.OpFailed}},
			Problem: operator.NewProblem(operator.Invalid, "templates/bad:1", "is for linux/s390x", "mend the image and push it again")},
	} {
		o.Kind, o.By, o.Created, o.Updated = "import", "push token", now, now
		out[o.ID] = o
	}
	return out
}

// serve starts a fake with a component's certificate below a fresh root, and writes hnctl's configuration for it into dir.
func serve(dir string) (stop func(), err error) {
	now := time.Now()
	const cluster = wire.ClusterID("cl-0123456789abcdef")
	root, err := identity.NewRoot(cluster, now)
	if err != nil {
		return nil, err
	}
	issuing, err := root.Issue(cluster, now)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(issuing.Key)
	if err != nil {
		return nil, err
	}
	auth, err := identity.OpenAuthority(cluster, root.Cert.Raw, issuing.Cert.Raw, der)
	if err != nil {
		return nil, err
	}
	key, err := identity.NewKey()
	if err != nil {
		return nil, err
	}
	csr, err := identity.CSR(key)
	if err != nil {
		return nil, err
	}
	chain, err := auth.Sign(csr, identity.Peer{CTID: 3, Component: "orchestrator"}, nil, now)
	if err != nil {
		return nil, err
	}
	cred, err := identity.NewCredential(key, chain)
	if err != nil {
		return nil, err
	}
	holder := &identity.Holder{}
	holder.Set(cred)
	f := &fake{envs: map[wire.EnvName]operator.Environment{"jelastic": {Spec: operator.EnvironmentSpec{Name: "jelastic"},
		State: operator.EnvRunning}, "bare": {Spec: operator.EnvironmentSpec{Name: "bare"}, State: operator.EnvCreating}},
		ops: map[wire.OperationID]operator.Operation{}, imports: fakeImports(now), seen: map[string]wire.OperationID{}, now: time.Now()}
	l, err := tls.Listen("tcp", "127.0.0.1:0", identity.ServerTLS(identity.Trust{Pin: identity.Pin(root.Cert)}, nil, holder))
	if err != nil {
		return nil, err
	}
	srv := &http.Server{Handler: f.handler(), ErrorLog: log.New(io.Discard, "", 0)}
	go srv.Serve(l)
	gone, err := net.Listen("tcp", "127.0.0.1:0") // an address where nobody answers: the next server must be tried
	if err != nil {
		return nil, err
	}
	gone.Close()
	jlsURL, jlsPin, stopJLS := fakeJLS()
	raw, err := config.Encode(config.Config{JLS: &config.JLS{Server: jlsURL, Pin: jlsPin, TokenFile: "token"}, Version: 1, Cluster: cluster,
		Name: "demo", Servers: []string{"https://" + gone.Addr().String(), "https://" + l.Addr().String()}, CAPin: identity.Pin(root.Cert),
		TokenFile: "token"})
	if err != nil {
		return nil, err
	}
	for name, data := range map[string][]byte{config.FileName: raw, "token": []byte(fakeToken + "\n")} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			return nil, err
		}
	}
	return func() { srv.Close(); stopJLS() }, nil
}

// fakeJLS is a licence server that knows one licence and one installation.
func fakeJLS() (url, pin string, stop func()) {
	lic := jls.License{ID: "lic-1", Customer: "Demo", Hosts: 2, Installation: "in-0123456789abcdef"}
	in := jls.Installation{ID: "in-0123456789abcdef", Name: "demo", Cluster: "cl-0123456789abcdef", License: "lic-1", Customer: "Demo",
		Allowed: 2, Hosts: []jls.Seat{{Host: "h-000000000002", Name: "host-1"}}}
	mux := http.NewServeMux()
	for pattern, v := range map[string]any{
		"GET " + jls.PathLicenses: []jls.License{lic}, "POST " + jls.PathLicenses: jls.IssuedLicense{License: lic, Token: "v4.public.x"},
		"POST " + jls.PathLicenses + "/lic-1/revoke":                     lic,
		"GET " + jls.PathInstallations:                                   []jls.Installation{in},
		"POST " + jls.PathInstallations + "/in-0123456789abcdef/release": in,
		"GET " + jls.PathAudit: []jls.Audit{{Who: "admin", What: "licence issue",
			Object: "licenses/lic-1", Result: "ok"}},
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "Bearer "+fakeToken {
				refuse(w, operator.Denied, "", "the administrator's token is missing or wrong", "")
				return
			}
			reply(w, 200, v)
		})
	}
	srv := httptest.NewUnstartedServer(mux)
	srv.TLS = &tls.Config{MinVersion: tls.VersionTLS13}
	srv.StartTLS()
	return srv.URL, identity.Pin(srv.Certificate()), srv.Close
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}

func refuse(w http.ResponseWriter, code operator.Code, object, reason, next string) {
	p := operator.NewProblem(code, object, reason, next)
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	json.NewEncoder(w).Encode(p)
}

func (f *fake) handler() http.Handler {
	mux := http.NewServeMux()
	hosts := []operator.Host{
		{ID: "h-000000000001", Name: "infra-1", Role: "infra", State: operator.HostActive, Underlay: "10.77.0.2", Block: "10.96.0.0/24",
			Version: "0.1.0", Seen: f.now, MemoryMiB: 2048, MemoryUsed: 700},
		{ID: "h-000000000002", Name: "host-1", Role: "user", State: operator.HostUnreachable, Reason: "no report",
			Unlicensed: "over the count", Underlay: "10.77.0.11", Block: "10.96.1.0/24", Version: "0.1.0", Seen: f.now},
	}
	nodes := []operator.Node{
		{CTID: 3, Env: "jelastic", Layer: "orchestrator", Template: "jelastic/orchestrator", Component: "orchestrator", State: "running",
			HostName: "infra-1", InternalIP: "10.96.0.13", Cloudlets: wire.Cloudlets{Reserved: 2, Dynamic: 12}},
		{CTID: 101, Env: "hello", Layer: "cp", Template: "nginx", State: "running", HostName: "host-1", InternalIP: "10.96.1.2",
			Cloudlets: wire.Cloudlets{Reserved: 1, Dynamic: 4}, Reason: "evil \x1b[2J text"},
		{CTID: 102, Env: "sick", Layer: "cp", Template: "nginx", State: "running", HostName: "infra-1"},
		{CTID: 103, Env: "sick", Layer: "bl", Template: "nginx", State: "running", HostName: "infra-1"},
	}
	get := func(path string, h func(w http.ResponseWriter, r *http.Request)) {
		mux.HandleFunc("GET "+operator.Prefix+path, h)
	}
	get("/cluster", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, 200, operator.Cluster{ID: "cl-0123456789abcdef", Name: "demo", Domain: "demo.test", Version: "0.1.0",
			Hosts:   map[string]int{"ACTIVE": 1, "UNREACHABLE": 1},
			License: operator.License{State: "active", Hosts: 2, HostsUsed: 1}, Alarms: []string{"host-1 is gone"}, Now: time.Now()})
	})
	get("/license", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, 200, operator.License{ID: "lic-1", Customer: "Demo", State: "grace", Reason: "the JLS is away", Hosts: 2, HostsUsed: 1,
			JLS: "not since yesterday"})
	})
	mux.HandleFunc("PUT "+operator.Prefix+"/license", func(w http.ResponseWriter, r *http.Request) {
		var in operator.LicenseText
		json.NewDecoder(r.Body).Decode(&in)
		if !strings.HasPrefix(in.Text, "v4.public.") || strings.TrimSpace(in.Text) != in.Text {
			refuse(w, operator.Invalid, "licence", "token is malformed: it is no PASETO v4.public",
				"check that the text is complete and unchanged; the one in force stays")
			return
		}
		reply(w, 200, operator.License{ID: "lic-2", Customer: "Demo", State: "active", Hosts: 4, HostsUsed: 1})
	})
	get("/hosts", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, 200, operator.List[operator.Host]{Items: hosts})
	})
	get("/hosts/{host}", func(w http.ResponseWriter, r *http.Request) {
		for _, h := range hosts {
			if h.Name == r.PathValue("host") {
				reply(w, 200, h)
				return
			}
		}
		refuse(w, operator.NotFound, "hosts/"+r.PathValue("host"), "there is no such host", "see hnctl host list")
	})
	get("/nodes", func(w http.ResponseWriter, r *http.Request) {
		var out []operator.Node
		for _, n := range nodes {
			q := r.URL.Query()
			if (q.Get("env") == "" || q.Get("env") == string(n.Env)) && (q.Get("host") == "" || q.Get("host") == n.HostName) {
				out = append(out, n)
			}
		}
		reply(w, 200, operator.List[operator.Node]{Items: out})
	})
	get("/nodes/{ctid}/{kind}", f.session)
	get("/hosts/{host}/{kind}", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("host") != "host-1" {
			refuse(w, operator.NotFound, "hosts/"+r.PathValue("host"), "there is no such host", "see hnctl host list")
			return
		}
		f.session(w, r)
	})
	get("/audit", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		limit, _ := strconv.Atoi(q.Get("limit"))
		from := 2500
		if c := q.Get("cursor"); c != "" {
			from, _ = strconv.Atoi(c)
		}
		l := operator.List[operator.Audit]{Items: []operator.Audit{}}
		for ; from > 0 && len(l.Items) < limit; from-- {
			if who := []string{"admin", "ci"}[from%2]; q.Get("who") == "" || q.Get("who") == who {
				l.Items = append(l.Items, operator.Audit{Seq: int64(from), Who: who, What: "env.stop", Object: "environments/hello",
					Result: "ok " + q.Get("since")})
			}
		}
		if from > 0 {
			l.Next = strconv.Itoa(from)
		}
		reply(w, 200, l)
	})
	get("/templates", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, 200,
			operator.List[operator.Template]{
				Items: []operator.Template{{Name: "app", State: "failed", Reason: "is for linux/s390x; mend the image and push it again"},
					{Name: "big", State: "importing", Percent: 40}, {Name: "nginx", Account: "admin", Bytes: 30 << 20, Port: 80,
						Process: []string{"nginx", "-g", "daemon off;"}, Digest: wire.Digest("sha256:" + strings.Repeat("ab", 32))}}})
	})
	mux.HandleFunc("DELETE "+operator.Prefix+"/templates/{name}", func(w http.ResponseWriter, r *http.Request) {
		if n := wire.TemplateName(r.PathValue("name")); n == "team/web:1" {
			reply(w, 200, operator.Freed{Names: []wire.TemplateName{n}, Bytes: 5 << 20, Later: 3 << 10})
			return
		}
		refuse(w, operator.Conflict, "templates/"+r.PathValue("name"), "it is in use by layer cp of environment hello",
			"delete those first")
	})
	mux.HandleFunc("POST "+operator.Prefix+"/registry/collect", func(w http.ResponseWriter, r *http.Request) {
		reply(w, 200, operator.Freed{Bytes: 12})
	})
	get("/tokens", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, 200,
			operator.List[operator.Token]{Items: []operator.Token{{ID: "t-1", Name: "admin", Scopes: []string{"admin"}, Created: f.now}}})
	})
	mux.HandleFunc("POST "+operator.Prefix+"/tokens", func(w http.ResponseWriter, r *http.Request) {
		var n operator.NewToken
		json.NewDecoder(r.Body).Decode(&n)
		reply(w, 201, operator.MadeToken{Token: operator.Token{ID: "t-2", Name: n.Name, Scopes: n.Scopes}, Text: "hna1.NEW"})
	})
	mux.HandleFunc("DELETE "+operator.Prefix+"/tokens/{id}", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(204) })
	mux.HandleFunc("POST "+operator.Prefix+"/join-tokens", func(w http.ResponseWriter, r *http.Request) {
		var n operator.NewJoinToken
		json.NewDecoder(r.Body).Decode(&n)
		reply(w, 201, operator.JoinToken{Name: n.Name, Role: n.Role, Expires: f.now, Text: "hn1.NEW"})
	})
	mux.HandleFunc("DELETE "+operator.Prefix+"/hosts/{host}", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("host") == "host-2" {
			refuse(w, operator.Conflict, "hosts/host-2", "it is ACTIVE", "switch it off first")
			return
		}
		w.WriteHeader(204)
	})
	f.environments(mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+fakeToken {
			refuse(w, operator.Denied, "token", "the token is not known", "see hnctl token list")
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func (f *fake) environments(mux *http.ServeMux) {
	mux.HandleFunc("GET "+operator.Prefix+"/environments", func(w http.ResponseWriter, _ *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		var out []operator.Environment
		for _, e := range f.envs {
			out = append(out, e)
		}
		reply(w, 200, operator.List[operator.Environment]{Items: out})
	})
	mux.HandleFunc("GET "+operator.Prefix+"/environments/{env}", func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if e, ok := f.envs[wire.EnvName(r.PathValue("env"))]; ok {
			reply(w, 200, e)
			return
		}
		refuse(w, operator.NotFound, "environments/"+r.PathValue("env"), "there is no such environment", "see hnctl env list")
	})
	mux.HandleFunc("POST "+operator.Prefix+"/environments", func(w http.ResponseWriter, r *http.Request) {
		var s operator.EnvironmentSpec
		json.NewDecoder(r.Body).Decode(&s)
		if r.URL.Query().Get("dry_run") == "true" {
			reply(w, 200,
				operator.Accepted{Plan: []operator.Node{{Layer: "cp", Template: "nginx", HostName: "host-1", Placed: "best fit"}}})
			return
		}
		if s.Layers[0].Template == "nosuch" {
			refuse(w, operator.NotFound, "layers[0].template", `template "nosuch" is not in the registry`, "see hnctl template list")
			return
		}
		f.mu.Lock()
		_, taken := f.envs[s.Name]
		f.mu.Unlock()
		if taken {
			refuse(w, operator.Conflict, "environments/"+string(s.Name), "the name is taken", "choose another name")
			return
		}
		if s.Name == "failed" && r.URL.Query().Get("undo") != "true" {
			f.mu.Lock()
			f.envs[s.Name] = operator.Environment{Spec: s, State: operator.EnvBroken,
				Failed: &operator.FailedCreate{At: f.now, Reason: "no host has room", Removal: f.now.AddDate(0, 0, 7)}}
			f.mu.Unlock()
		}
		f.accept(w, r, "env.create", s.Name, func() {
			f.envs[s.Name] = operator.Environment{Spec: s, State: operator.EnvRunning, Domain: string(s.Name) + ".demo.test", Revision: 1}
		})
	})
	mux.HandleFunc("POST "+operator.Prefix+"/environments/{env}/keep", func(w http.ResponseWriter, r *http.Request) {
		name := wire.EnvName(r.PathValue("env"))
		f.mu.Lock()
		defer f.mu.Unlock()
		e, ok := f.envs[name]
		if !ok || e.Failed == nil {
			refuse(w, operator.Conflict, "environments/"+string(name), "its creation did not fail: it stays as it is",
				"nothing is to be done")
			return
		}
		kept := *e.Failed
		kept.Kept, kept.Removal = true, time.Time{}
		e.Failed = &kept
		f.envs[name] = e
		reply(w, 200, e)
	})
	for method, path := range map[string]string{"POST": "/environments/{env}/stop", "DELETE": "/environments/{env}"} {
		mux.HandleFunc(method+" "+operator.Prefix+path, func(w http.ResponseWriter, r *http.Request) {
			name := wire.EnvName(r.PathValue("env"))
			f.accept(w, r, "env."+strings.ToLower(method), name, func() {
				if e := f.envs[name]; method == "POST" {
					e.State = operator.EnvDown
					f.envs[name] = e
				} else {
					delete(f.envs, name)
				}
			})
		})
	}
	mux.HandleFunc("GET "+operator.Prefix+"/operations", func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		var out []operator.Operation
		for _, o := range f.ops {
			out = append(out, o)
		}
		for _, o := range f.imports {
			out = append(out, o)
		}
		kind, env := r.URL.Query().Get("kind"), r.URL.Query().Get("env")
		out = slices.DeleteFunc(out, func(o operator.Operation) bool {
			return kind != "" && o.Kind != kind || env != "" && o.Object != "environments/"+env
		})
		reply(w, 200, operator.List[operator.Operation]{Items: out})
	})
	mux.HandleFunc("GET "+operator.Prefix+"/operations/{op}", func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if o, ok := f.operation(wire.OperationID(r.PathValue("op"))); ok {
			reply(w, 200, o)
			return
		}
		refuse(w, operator.NotFound, "operations/"+r.PathValue("op"), "there is no such operation", "see hnctl op list")
	})
	mux.HandleFunc("GET "+operator.Prefix+"/operations/{op}/events", f.events)
	mux.HandleFunc("POST "+operator.Prefix+"/operations/{op}/cancel", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, operator.Conflict, "operations/"+r.PathValue("op"), "import can't be cancelled",
			"wait for it: hnctl op watch "+r.PathValue("op"))
	})
}

func (f *fake) accept(w http.ResponseWriter, r *http.Request, kind string, env wire.EnvName, effect func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	key := r.Header.Get("Idempotency-Key")
	if key == "" {
		refuse(w, operator.Invalid, "Idempotency-Key", "is missing", "")
		return
	}
	id := wire.OperationID(fmt.Sprintf("op-%016x", len(f.ops)+1))
	op := operator.Operation{ID: id, Kind: kind, Object: "environments/" + string(env), State: operator.OpRunning, By: "admin",
		Created: f.now, Steps: []operator.Step{{Name: "place", State: operator.OpRunning}}}
	f.ops[id], f.seen[key] = op, id
	if !strings.HasPrefix(string(env), "fail") && env != "slow" {
		effect()
	}
	reply(w, 202, operator.Accepted{Operation: &op})
}

// events tells of an operation; the first stream of each breaks off, so that clients must come again.
func (f *fake) events(w http.ResponseWriter, r *http.Request) {
	id := wire.OperationID(r.PathValue("op"))
	f.mu.Lock()
	op, ok := f.operation(id)
	second := f.seen["stream "+string(id)] != ""
	f.seen["stream "+string(id)] = id
	f.mu.Unlock()
	if !ok {
		refuse(w, operator.NotFound, "operations/"+string(id), "there is no such operation", "see hnctl op list")
		return
	}
	send := func(op operator.Operation) {
		raw, _ := json.Marshal(op)
		fmt.Fprintf(w, ": hello\nid: 1\nevent: operation\ndata: %s\n\n", raw)
		w.(http.Flusher).Flush()
	}
	w.Header().Set("Content-Type", "text/event-stream")
	send(op)
	switch {
	case strings.HasSuffix(op.Object, "/slow"):
		<-r.Context().Done()
		return
	case !second:
		return
	case op.State.Final():
		return
	case op.Kind == "import":
		op.State, op.Progress = operator.OpDone, 100
		op.Steps = []operator.Step{{Name: "accept", State: operator.OpDone},
			{Name: "import", State: operator.OpDone, Detail: "a template of 84.2 MiB"}}
		f.mu.Lock()
		f.imports[id] = op
		f.mu.Unlock()
		send(op)
		return
	case strings.Contains(op.Object, "/fail"):
		op.State, op.Steps[0].State = operator.OpFailed, operator.OpFailed
		op.Problem = operator.NewProblem(operator.Exhausted, op.Object, "no host has room", "add a host")
	default:
		op.State, op.Progress = operator.OpDone, 100
		op.Steps = []operator.Step{{Name: "place", State: operator.OpDone, Detail: "host-1"}, {Name: "start", State: operator.OpDone}}
	}
	f.mu.Lock()
	f.ops[id] = op
	f.mu.Unlock()
	send(op)
}

// session answers exec with the command and what came on stdin, logs with two lines.
func (f *fake) session(w http.ResponseWriter, r *http.Request) {
	if r.PathValue("ctid") == "999" {
		refuse(w, operator.NotFound, "nodes/999", "there is no such node", "see hnctl node list")
		return
	}
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer c.CloseNow()
	ctx, cancel := context.WithTimeout(r.Context(), 10*time.Second)
	defer cancel()
	out := func(ch host.Channel, s string) { c.Write(ctx, websocket.MessageBinary, host.Frame(ch, []byte(s))) }
	q := r.URL.Query()
	exit := host.Exit{}
	switch kind := r.PathValue("kind"); kind {
	case "exec":
		argv := q["argv"]
		if argv[0] == "tty" {
			exit.Code = 9
			for end := false; !end; {
				_, msg, err := c.Read(ctx)
				if err != nil {
					return
				}
				switch ch, p, _ := host.ParseFrame(msg); ch {
				case host.ChanResize:
					rows, cols, _ := host.ParseResize(p)
					out(host.ChanStdout, fmt.Sprintf("size %s %s resize %d %d\r\n", q.Get("rows"), q.Get("cols"), rows, cols))
				case host.ChanStdin:
					for _, k := range p {
						out(host.ChanStdout, fmt.Sprintf("key %d\r\n", k))
						end = end || k == 'q'
					}
				}
			}
			break
		}
		if argv[0] == "cat" {
			for {
				_, msg, err := c.Read(ctx)
				if err != nil {
					return
				}
				ch, p, err := host.ParseFrame(msg)
				if err != nil || ch != host.ChanStdin {
					continue
				}
				if len(p) == 0 {
					break
				}
				out(host.ChanStdout, string(p))
			}
			break
		}
		out(host.ChanStdout, strings.Join(argv, " ")+"\n")
		out(host.ChanStderr, "uid "+q.Get("uid")+"\n")
		if q.Has("user") {
			out(host.ChanStderr, "user "+q.Get("user")+"\n")
		}
		if argv[0] == "exit" {
			exit.Code, _ = strconv.Atoi(argv[1])
		}
		if argv[0] == "nosuch" {
			exit = host.Exit{Code: 127, Error: "nosuch: no such program"}
		}
		if argv[0] == "big" {
			exit = host.Exit{Code: 137, Note: "out of memory: process dd of a command used 126 MiB of 128 MiB"}
		}
		if argv[0] == "break" {
			return
		}
	default:
		out(host.ChanStdout, kind+" tail="+q.Get("tail")+" follow="+q.Get("follow")+" module="+q.Get("module")+" since="+q.Get("since")+
			" timestamps="+q.Get("timestamps")+" unit="+q.Get("unit")+"\nhalf a ")
		out(host.ChanStderr, "trouble\nno end")
		out(host.ChanStdout, "line\n")
		if r.PathValue("ctid") == "102" {
			exit = host.Exit{Code: 125, Error: "read log of container 102: input/output error"}
		}
	}
	c.Write(ctx, websocket.MessageBinary, host.Frame(host.ChanExit, host.ExitPayload(exit)))
	c.Close(websocket.StatusNormalClosure, "")
}

func TestMain(m *testing.M) { os.Exit(runMain(m)) }
