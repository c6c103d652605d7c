package cli

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/account"
	"hardnode.dev/internal/wire/jls"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/smart"
	"hardnode.dev/internal/wire/strain"
	"hardnode.dev/internal/wire/volume"
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

	restarted map[wire.CTID]time.Time // nodes
	backups   int                     // that were asked for
	shelf     fakeShelf               // of host-1

	node string // directory that is the root of all nodes

	leaves map[wire.HostID]string // what a host was ordered last: "reboot" or "poweroff"

	imports map[wire.OperationID]operator.Operation // operations that are the registry's

	people fakePeople
	acme   bool // a CA is named
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
		ops: map[wire.OperationID]operator.Operation{}, imports: fakeImports(now), seen: map[string]wire.OperationID{},
		leaves: map[wire.HostID]string{}, restarted: map[wire.CTID]time.Time{}, now: time.Now(), node: filepath.Join(dir, "../node")}
	l, err := tls.Listen("tcp", "127.0.0.1:0", identity.ServerTLS(identity.Trust{Pin: identity.Pin(root.Cert)}, nil, holder))
	if err != nil {
		return nil, err
	}
	srv := &http.Server{Handler: f.handler(), ErrorLog: log.New(io.Discard, "", 0)}
	go srv.Serve(l)
	const gone = "https://127.0.0.1:1" // nobody listens there, and no other test will: the next server must be tried
	jlsURL, jlsPin, stopJLS := fakeJLS()
	raw, err := config.Encode(config.Config{JLS: &config.JLS{Server: jlsURL, Pin: jlsPin, TokenFile: "token"}, Version: 1, Cluster: cluster,
		Name: "demo", Servers: []string{gone, "https://" + l.Addr().String()}, CAPin: identity.Pin(root.Cert),
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
			Version: "0.1.0", Seen: f.now, MemoryMiB: 2048, MemoryUsed: 700,
			Disks: []operator.HostDisk{{Health: smart.Health{Path: "/dev/vda", State: smart.Unknown, Reason: "no health information"}}},
			Boots: []operator.HostBoot{{ID: "b2", At: f.now, Cause: "ordered", What: "reboot", Reason: "new memory",
				By:       "admin from 10.0.0.9",
				Evidence: []string{"it was left in order, to the end"}}, {ID: "b1", At: f.now, Cause: "panic", Reason: "Fatal exception"}}},
		{ID: "h-000000000002", Name: "host-1", Role: "user", State: operator.HostUnreachable, Reason: "no report",
			Unlicensed: "over the count", Underlay: "10.77.0.11", Block: "10.96.1.0/24", Version: "0.1.0", Seen: f.now,
			Labels: map[string]string{"zone": "a", "disk": "ssd"}},
	}
	nodes := []operator.Node{
		{CTID: 3, Env: "jelastic", Layer: "orchestrator", Template: "jelastic/orchestrator", Component: "orchestrator", State: "running",
			HostName: "infra-1", InternalIP: "10.96.0.13", Cloudlets: wire.Cloudlets{Reserved: 2, Dynamic: 12}},
		{CTID: 101, Env: "hello", Layer: "cp", Template: "nginx", State: "running", HostName: "host-1", InternalIP: "10.96.1.2",
			InternalIPv6: "fd48:4e00:0:1::2", Addresses: []netip.Addr{netip.MustParseAddr("203.0.113.10")}, Placed: "best fit",
			Strain:    strain.Strain{Memory: 12, Kills: 1},
			Cloudlets: wire.Cloudlets{Reserved: 1, Dynamic: 4}, Reason: "evil \x1b[2J text",
			Volumes: []volume.Use{{Name: "data", Bytes: 5 << 20, Limit: 20 << 20, NoCOW: true}, {Name: "free", Bytes: 1 << 20}}},
		{CTID: 102, Env: "sick", Layer: "cp", Template: "nginx", State: "running", HostName: "infra-1"},
		{CTID: 103, Env: "sick", Layer: "bl", Template: "nginx", State: "running", HostName: "infra-1"},
	}
	get := func(path string, h func(w http.ResponseWriter, r *http.Request)) {
		mux.HandleFunc("GET "+operator.Prefix+path, h)
	}
	get("/nodes/{ctid}", func(w http.ResponseWriter, r *http.Request) {
		for _, n := range nodes {
			if n.CTID.String() == r.PathValue("ctid") {
				f.mu.Lock()
				if at, ok := f.restarted[n.CTID]; ok {
					n.Started, n.State = at, "running"
				}
				f.mu.Unlock()
				reply(w, 200, n)
				return
			}
		}
		refuse(w, operator.NotFound, "nodes/"+r.PathValue("ctid"), "there is no such node", "see hnctl node list")
	})
	get("/cluster", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, 200, operator.Cluster{ID: "cl-0123456789abcdef", Name: "demo", Domain: "demo.test", Version: "0.1.0",
			Hosts:   map[string]int{"ACTIVE": 1, "UNREACHABLE": 1},
			License: operator.License{State: "active", Hosts: 2, HostsUsed: 1}, Alarms: []string{"host-1 is gone"}, Now: time.Now()})
	})
	get("/errors", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, 200, operator.ErrorGroups{Groups: []operator.ErrorGroup{{Fingerprint: "g1-aa", Host: "h-000000000002", HostName: "host-1",
			Component: "kernel", Kind: "panic", Version: "0.1.0", Message: "Fatal exception", Count: 3, Last: f.now}}})
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
			if h.Name == r.PathValue("host") || string(h.ID) == r.PathValue("host") {
				reply(w, 200, f.left(h))
				return
			}
		}
		refuse(w, operator.NotFound, "hosts/"+r.PathValue("host"), "there is no such host", "see hnctl host list")
	})
	netboot := operator.Netboot{}
	get("/cluster/netboot", func(w http.ResponseWriter, _ *http.Request) { reply(w, 200, netboot) })
	mux.HandleFunc("PUT "+operator.Prefix+"/cluster/netboot", func(w http.ResponseWriter, r *http.Request) {
		var in operator.NewNetboot
		json.NewDecoder(r.Body).Decode(&in)
		if in.Release == "9.9.9" {
			refuse(w, operator.Conflict, "cluster/netboot", "release 9.9.9 was not imported", "hnctl release list")
			return
		}
		netboot = operator.Netboot{Enabled: true, Interface: in.Interface, All: in.All, For: in.For, Release: in.Release, Target: in.Target,
			By: "admin", At: f.now, Serves: "1.4.0", CTID: 8, State: "running", Addresses: in.Addresses, Router: in.Router, DNS: in.DNS}
		if in.Addresses != "" {
			netboot.Troubles = []operator.NetbootTrouble{{What: "dhcp", Text: "another DHCP server answers", Since: f.now}}
		}
		reply(w, 200, netboot)
	})
	mux.HandleFunc("DELETE "+operator.Prefix+"/cluster/netboot", func(w http.ResponseWriter, _ *http.Request) {
		netboot = operator.Netboot{}
		w.WriteHeader(http.StatusNoContent)
	})
	get("/waiting-hosts", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, 200, operator.List[operator.WaitingHost]{Items: []operator.WaitingHost{{Code: "K7QX-3MPA-W2ZD", Address: "10.77.0.50",
			MACs: []string{"52:54:00:00:00:07"}, Serial: "7", Model: "QEMU q35", Disks: []string{"vda 8.0 GiB"}, Version: "0.1.0",
			Since: f.now, Asked: f.now}}})
	})
	mux.HandleFunc("POST "+operator.Prefix+"/waiting-hosts/{code}/admit", func(w http.ResponseWriter, r *http.Request) {
		var in operator.AdmitHost
		json.NewDecoder(r.Body).Decode(&in)
		if r.PathValue("code") != "K7QX-3MPA-W2ZD" {
			refuse(w, operator.NotFound, "waiting-hosts/"+r.PathValue("code"), "no machine waits with this code", "see hnctl host waiting")
			return
		}
		reply(w, 200, operator.AdmittedHost{Code: "K7QX-3MPA-W2ZD", Name: in.Name, Role: in.Role, Expires: f.now.Add(time.Hour)})
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
	f.firewall(mux)
	f.size(mux)
	f.snapshots(mux)
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
				a := operator.Audit{Seq: int64(from), Who: who, What: "env.stop", Object: "environments/hello",
					Result: "ok " + q.Get("since")}
				if from == 2499 {
					a.By = "root@example.com"
				}
				l.Items = append(l.Items, a)
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
	get("/templates/{name}", fakeTemplate)
	mux.HandleFunc("POST "+operator.Prefix+"/templates/{name}/tags", fakeTag)
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
		by := func(k operator.Maker, name string) *operator.TokenMaker {
			return &operator.TokenMaker{Kind: k, Name: name}
		}
		reply(w, 200, operator.List[operator.Token]{Items: []operator.Token{
			{ID: "t-1", Name: "admin", Scopes: []string{"admin"}, Created: f.now, Maker: by(operator.BySetup, ""),
				Rate: account.Rates.Token},
			{ID: "t-5", Name: "left", Scopes: []string{"read"}, Created: f.now, Maker: by(operator.ByUser, "bob@acme.example"),
				Ended: f.now, Reason: "who made it is not in account acme any more"},
			{ID: "t-6", Name: "less", Scopes: []string{"write"}, Created: f.now, Maker: by(operator.ByToken, "ci"),
				Reason: "who made it is viewer of account acme"},
			{ID: "t-7", Name: "given", Scopes: []string{"write"}, Created: f.now, Maker: by(operator.ByCluster, "")},
			{ID: "t-8", Name: "old", Scopes: []string{"write"}, Created: f.now}}})
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
	f.leaving(mux, hosts)
	f.cordoning(mux, hosts)
	f.labelling(mux)
	f.draining(mux)
	f.moving(mux)
	f.accounts(mux)
	f.users(mux)
	f.shares(mux)
	f.mails(mux)
	f.providers(mux)
	f.passkeys(mux)
	f.acmes(mux)
	f.names(mux)
	f.disks(mux)
	f.patching(mux)
	mux.HandleFunc("GET "+operator.Prefix+"/usage", f.metered)
	f.environments(mux)
	f.domains(mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		_, known := f.bearer(r)
		f.mu.Unlock()
		signsIn := slices.Contains([]string{"POST " + operator.Prefix + "/sessions", "POST " + operator.Prefix + "/sessions/oidc",
			"GET " + operator.Prefix + "/sign-in"}, r.Method+" "+r.URL.Path)
		if !known && !signsIn {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusUnauthorized)
			json.NewEncoder(w).Encode(operator.Problem{Status: http.StatusUnauthorized, Code: operator.Denied, Object: "token",
				Reason: "the token is not known", Next: "see hnctl token list"})
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func TestMain(m *testing.M) { os.Exit(runMain(m)) }
