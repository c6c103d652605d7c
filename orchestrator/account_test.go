package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/account"
	"hardnode.dev/internal/wire/acme"
	"hardnode.dev/internal/wire/firewall"
	"hardnode.dev/internal/wire/front"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/install"
	"hardnode.dev/internal/wire/mail"
	"hardnode.dev/internal/wire/oidc"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/share"
	"hardnode.dev/internal/wire/slots"
	"hardnode.dev/internal/wire/snapshot"
	"hardnode.dev/internal/wire/storage"
	"hardnode.dev/internal/wire/user"
	"hardnode.dev/internal/wire/zone"
	"hardnode.dev/orchestrator/authz"
	"hardnode.dev/orchestrator/store"
)

// asked is what another account asks of one operation of the API.
type asked struct {
	// there is the name of something of the admins', nothing that of what is not there: both are answered the same. "": none is asked for.
	there, nothing string
	query          string
	body           any
	session        bool // it is a WebSocket
	cluster        bool // it concerns the whole cluster: the admins only
	apart          bool // it is asked elsewhere
}

// aDigest is that of no file.
const aDigest = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

// asking is a line for each operation of the API; op is an operation of the admins', token the id of a token of theirs.
func asking(c *cluster, op, token string) map[string]asked {
	of := func(there, nothing string) asked { return asked{there: there, nothing: nothing} }
	session := func(a asked, query string) asked { a.session, a.query = true, query; return a }
	env, node, h := of("hello", "nosuch"), of("100", "4711"), of("host1", "nosuch")
	wall := asked{there: "100", nothing: "4711", body: operator.FirewallRules{Rules: []firewall.PacketRule{}}}
	pids := int64(64)
	size := asked{there: "100", nothing: "4711", body: operator.ResizeNode{PIDs: &pids}}
	leave := h
	leave.body = operator.LeaveHost{}
	disk, change, cordon := h, h, h
	cordon.body = operator.CordonHost{}
	drain, label := cordon, h
	label.body = operator.SetHostLabels{Labels: map[string]string{"disk": "ssd"}}
	disk.body = operator.InstallHost{Spec: install.Spec{DryRun: true}}
	replace := h
	replace.body = operator.ReplaceDisk{Replace: storage.Replace{DryRun: true}}
	acknowledge := h
	acknowledge.body = operator.AcknowledgeDisk{Acknowledge: storage.Acknowledge{Disk: "/dev/sda", Errors: 1}}
	system := h
	system.body = operator.OrderSystem{Release: "1.2.0", Step: "stage"}
	change.body = operator.ChangeSlots{Request: slots.Request{Action: slots.Try}}
	prune, empty := node, node
	empty.body = struct{}{}
	prune.body = operator.PruneSnapshots{Rule: snapshot.Rule{Daily: 1}}
	tag := of("nginx:1.22", "nosuch:1")
	tag.body = operator.TagTemplate{Tag: "two"}
	operation, none := of(op, "op-0000000000000000"), asked{}
	return map[string]asked{
		"getCluster": none, "getVersion": none, "listHosts": none, "listNodes": none, "listEnvironments": none, "listOperations": none,
		"listTemplates": none, "listTokens": none,
		"getLicense": {cluster: true}, "rotateGossipKey": {cluster: true}, "collectTemplates": {cluster: true},
		"setLicense":       {cluster: true, body: operator.LicenseText{Text: c.seed.License}},
		"listWaitingHosts": {cluster: true}, "admitHost": {there: "AAAA-BBBB-CCCC", cluster: true, body: operator.AdmitHost{}},
		"createJoinToken": {cluster: true, body: operator.NewJoinToken{Name: "host2", Role: "user"}},
		"getNetboot":      {cluster: true}, "disableNetboot": {cluster: true},
		"enableNetboot": {cluster: true, body: operator.NewNetboot{Interface: "eth0", All: true}},
		"listReleases":  {cluster: true}, "listErrors": {cluster: true},
		"trustReleases":   {cluster: true, body: operator.ReleaseTrust{Image: aDigest, Director: aDigest}},
		"importRelease":   {cluster: true, body: operator.ReleaseImport{Image: map[string][]byte{}, Director: map[string][]byte{}}},
		"putReleaseFile":  {cluster: true, there: aDigest, body: operator.ReleaseChunk{Data: []byte("x")}},
		"readReleaseFile": {cluster: true, there: aDigest},
		"planRollout":     {cluster: true, body: operator.NewRollout{Release: "1.1.0"}},
		"startRollout":    {cluster: true, body: operator.NewRollout{Release: "1.1.0"}},
		"listRollouts":    {cluster: true}, "getRollout": {cluster: true, there: "ro-1"}, "reportRollout": {cluster: true, there: "ro-1"},
		"pauseRollout": {cluster: true, there: "ro-1"}, "resumeRollout": {cluster: true, there: "ro-1"},
		"abortRollout": {cluster: true, there: "ro-1"}, "listComponents": {cluster: true},
		"makeComponent":    {cluster: true, body: operator.NewComponent{Name: "patcher"}},
		"replaceComponent": {cluster: true, there: "registry", body: operator.ReplaceComponent{Release: "1.1.0"}},
		"confirmComponent": {cluster: true, there: "registry"}, "takeBackComponent": {cluster: true, there: "registry"},
		"getHost": h, "removeHost": h, "logsHost": session(h, ""), "backupsHost": session(h, ""),
		"supportHost": session(h, ""), "configHost": session(h, ""),
		"rebootHost": leave, "shutdownHost": leave, "getHostInstallation": h, "installHost": disk, "getHostSlots": h,
		"getHostDisks": h, "replaceHostDisk": replace, "scrubHostDisks": h,
		"acknowledgeHostDisk": acknowledge,
		"changeHostSlots":     change, "cordonHost": cordon, "uncordonHost": h, "drainHost": drain,
		"getHostLabels": h, "setHostLabels": label,
		"getHostSystem": h, "orderHostSystem": system, "takeBackHostSystem": h,
		"editEnvironment":    {there: "hello", nothing: "nosuch", apart: true}, // where it sees none it creates one: TestEditOfOthers
		"renameEnvironment":  {there: "hello", nothing: "nosuch", body: operator.RenameEnvironment{Name: "other"}},
		"restartEnvironment": {there: "hello", nothing: "nosuch", body: operator.RestartEnvironment{}},
		"redeployEnvironment": {there: "hello", nothing: "nosuch",
			body: operator.RedeployEnvironment{Layers: []operator.RedeployLayer{{Name: "cp"}}}},
		"undoRedeploy":     {there: "hello", nothing: "nosuch", body: operator.UndoRedeploy{}},
		"groupEnvironment": {there: "hello", nothing: "nosuch", body: operator.EnvironmentGroup{Group: "one"}},
		"getFirewall":      node, "setFirewall": wall,
		"getUsage":     {cluster: true, query: "?by=host"}, // of its own: TestMetering
		"getNodeUsage": node, "getNodeSize": node, "resizeNode": size, "moveNode": {cluster: true, there: "100", body: operator.MoveNode{}},
		"getAddresses": node, "setAddresses": {cluster: true, there: "100", body: operator.PublicAddresses{Addresses: []netip.Addr{}}},
		"getMounts": node, "setMounts": {there: "100", nothing: "4711", body: operator.MountedVolumes{Mounts: []operator.NodeMount{}}},
		"getPorts": node, "setPorts": {there: "100", nothing: "4711", body: operator.PublishedPorts{Ports: []operator.PublishedPort{}}},
		"getNode": node, "execNode": session(node, "?argv=true"), "logsNode": session(node, ""),
		"restartNode": session(node, ""), "forwardNode": session(node, "?port=80"), "topNode": session(node, ""),
		"consoleNode": session(node, ""),
		"jemNode":     session(node, "?module=service&action=status"),
		"backupNode":  session(node, "?recipient=age1"+strings.Repeat("q", 58)), "importNode": session(node, "?backups=1"),
		"listSnapshots": node, "takeSnapshot": empty, "restoreSnapshot": empty, "deleteSnapshot": node, "pruneSnapshots": prune,
		"getSnapshotSchedule": node, "setSnapshotSchedule": {there: "100", nothing: "4711", body: operator.SnapshotSchedule{}},
		"getEnvironment": env, "keepEnvironment": env, "startEnvironment": env, "stopEnvironment": env, "spreadEnvironment": env,
		"deleteEnvironment": env, "trashEnvironment": env, "restoreEnvironment": env,
		"getOperation": operation, "cancelOperation": operation, "watchOperation": operation,
		"getTemplate": of("nginx:1.22", "nosuch:1"), "tagTemplate": tag,
		"deleteTemplate": of("nginx:1.22", "nosuch:1"), "revokeToken": of(token, "00000000"),
		"listAccounts": none, "getAccount": of("admin", "nosuch"), "listAccountGroups": {cluster: true},
		"createAccount":      {cluster: true, body: account.NewAccount{Name: "new"}},
		"changeAccount":      {cluster: true, there: "admin", body: account.ChangeAccount{Reason: "x"}},
		"createAccountToken": {cluster: true, there: "admin", body: operator.NewToken{Name: "more", Scopes: []string{"read"}}},
		"setAccountGroup":    {cluster: true, there: "default", body: account.SetAccountGroup{}},
		"deleteAccountGroup": {cluster: true, there: "default"},
		"signIn":             {apart: true}, "listSessions": {cluster: true}, "endSession": {cluster: true, there: "current"},
		"endSessions": {cluster: true},
		"getSelf":     {cluster: true}, "changeSelf": {cluster: true, body: user.ChangeSelf{}},
		"changePassword":      {cluster: true, body: user.ChangePassword{Old: "x", New: "y"}},
		"beginSecondFactor":   {cluster: true, body: user.BeginSecondFactor{Password: "x"}},
		"confirmSecondFactor": {cluster: true, body: user.ConfirmSecondFactor{Code: "1"}},
		"renewRecoveryCodes":  {cluster: true, body: user.RenewRecovery{Password: "x", Code: "1"}},
		"endSecondFactor":     {cluster: true, body: user.EndSecondFactor{Password: "x", Code: "1"}},
		"listUsers":           none, "getUser": of("root@example.com", "nosuch@example.com"),
		"createUser": {cluster: true, body: user.NewUser{Mail: "new@example.com", Password: "correct horse", Account: "acme",
			Role: user.Owner}},
		"deleteUser": {cluster: true, there: "root@example.com"}, "resetSecondFactor": {cluster: true, there: "root@example.com"},
		"endUserSessions": {cluster: true, there: "root@example.com"},
		"exportAccount":   of("admin", "nosuch"),
		"signInAs":        {cluster: true, there: "root@example.com", body: user.SignInAs{Reason: "x"}},
		"setMember":       {there: "admin", nothing: "nosuch", body: user.SetMember{Role: user.Viewer}},
		"removeMember":    of("admin", "nosuch"), "endActing": of("admin", "nosuch"),
		"listServices": none, "addService": {apart: true}, // an account with a record is needed: stories/service.txtar
		"removeService": of("theirs", "nosuch"), "createServiceToken": {there: "theirs", nothing: "nosuch",
			body: operator.NewToken{Name: "more", Scopes: []string{"read"}}},
		"listInvites": none, "inviteUser": {apart: true}, "revokeInvite": of("l-0000000000000000", "l-1111111111111111"),
		"resetPassword": of("root@example.com", "nosuch@example.com"),
		"getMail":       {cluster: true}, "removeMail": {cluster: true}, "listMails": {cluster: true},
		"setMail": {cluster: true, body: mail.SetMailSettings{Host: "mail.example.com", From: "a@example.com",
			Panel: "https://a.example.com"}},
		"getAcme": {cluster: true}, "removeAcme": {cluster: true},
		"setAcme": {cluster: true, body: acme.SetAcmeSettings{Directory: "https://ca.example/", Mail: "a@example.com"}},
		"getOidc": {cluster: true}, "removeOidc": {cluster: true}, "getSignInWays": none, "signInOidc": {apart: true}, // oidc_test.go
		"setOidc": {cluster: true, body: oidc.SetOidcSettings{Issuer: "https://a.example", Client: "x",
			Panel: "https://a.example.com"}},
		"endIdentity":   {cluster: true, body: user.EndIdentity{Password: "x"}},
		"resetIdentity": {cluster: true, there: "root@example.com"},
		"listPasskeys":  {cluster: true}, "resetPasskeys": {cluster: true, there: "root@example.com"},
		"renamePasskey": {cluster: true, there: "pk-1", body: user.RenamePasskey{Name: "x"}},
		"removePasskey": {cluster: true, there: "pk-1", body: user.RemovePasskey{Password: "x"}},
		"getDns":        {cluster: true}, "checkDns": {cluster: true}, "removeDns": {cluster: true},
		"setDns":      {cluster: true, body: zone.SetDnsSettings{}},
		"testMail":    {cluster: true, body: mail.TestMail{To: "a@example.com"}},
		"createToken": {body: operator.NewToken{Name: "more", Scopes: []string{"read"}}},
		"getRoute":    env, "makeBypass": {there: "hello", nothing: "nosuch", body: struct{}{}},
		"accessLogEnvironment": session(env, ""),
		"setRoute":             {there: "hello", nothing: "nosuch", body: front.Settings{}},
		"listShares":           none, "acceptShare": env, "leaveShare": env,
		"listEnvironmentShares": env, "unshareEnvironment": env,
		"shareEnvironment":    {there: "hello", nothing: "nosuch", body: share.NewShare{With: "shop", Role: user.Viewer}},
		"transferEnvironment": {there: "hello", nothing: "nosuch", body: share.NewTransfer{To: "shop"}},
		"listDomains":         env, "deleteDomain": env, "deleteCertificate": env, "getWebCA": none,
		"swapDomains":       {there: "hello", nothing: "nosuch", body: operator.SwapDomains{With: "jelastic"}},
		"setDomain":         {there: "hello", nothing: "nosuch", body: front.Scheme{}},
		"uploadCertificate": {there: "hello", nothing: "nosuch", body: operator.UploadCertificate{Chain: "x", Key: "x"}},
		"createEnvironment": {apart: true}, "listAudit": {apart: true},
	}
}

// as asks with another token, for as long as f runs.
func (c *cluster) as(token string, f func()) {
	was := c.bearer
	c.bearer = token
	f()
	c.bearer = was
}

// TestOtherAccount walks all operations of the API with a token that has all scopes, of an account that has nothing: what is of the admins
// is to it as if it were not there, and what concerns the whole cluster is refused.
func TestOtherAccount(t *testing.T) {
	t.Parallel()
	c := found(t, 2, "infra1", "host1")
	c.start()
	h, _ := c.join("host1", 0)
	h.Force(0, host.CtFailing, "exited with 1")
	var a operator.Accepted
	c.ok("POST", "/api/v1/environments", hello("hello", 1), &a)
	c.eventually("node 100 is there", func() bool { return c.call("GET", "/api/v1/nodes/100", nil, nil) == nil })
	var other operator.MadeToken
	c.ok("POST", "/api/v1/tokens", operator.NewToken{Name: "other", Scopes: []string{"admin"}}, &other)
	c.ok("POST", "/api/v1/users", user.NewUser{Mail: "root@example.com", Password: "correct horse", Account: "admin",
		Role: user.Owner}, nil)
	c.ok("POST", "/api/v1/services", user.NewService{Name: "theirs", Role: user.Owner}, nil)
	acme := c.tokenOf("acme")
	op := string(a.Operation.ID)
	c.as(acme, func() { c.walk(asking(c, op, other.ID), "hello", "host1", "nginx", op, `"other"`, "root@") })

	if got := c.operation(a.Operation.ID); got.State.Final() {
		t.Errorf("the operation is %s: %v", got.State, got.Problem)
	}
	if e, _ := store.Envs.Get(c.o.store.View(), "hello"); e.Want != store.WantRunning || e.Account != wire.AdminAccount {
		t.Errorf("the environment is %+v", e)
	}
	if n := len(store.JoinTokens.All(c.o.store.View())); n != 2 {
		t.Errorf("there are %d join tokens, want 2", n)
	}
	if c.host("host1").State != operator.HostActive || !strings.Contains(c.list("templates"), "nginx:1.22") {
		t.Error("the host or the template is gone")
	}
	if got := c.list("tokens"); !strings.Contains(got, `"other"`) || !strings.Contains(got, `"acme"`) {
		t.Errorf("the admins see the tokens %s", got)
	}
	c.as(acme, func() {
		var audits operator.List[operator.Audit]
		c.ok("GET", "/api/v1/audit?limit=1000", nil, &audits)
		for _, r := range audits.Items {
			if r.Account != "acme" {
				t.Errorf("it reads the record of another: %+v", r)
			}
		}
		if len(audits.Items) == 0 {
			t.Error("it reads no record of its own")
		}
		if resp, text := c.do(c.client, "GET", "/metrics", nil); resp.StatusCode != http.StatusForbidden {
			t.Errorf("it reads the cluster's metrics: %s %.100s", resp.Status, text)
		}
	})
}

// tokenOf makes a token of an account, with all scopes.
func (c *cluster) tokenOf(account wire.Account) string {
	c.t.Helper()
	tokens := &authz.Tokens{Store: c.o.store, Now: time.Now}
	admin, p := tokens.Check(adminToken)
	if p != nil {
		c.t.Fatal(p)
	}
	made, err := tokens.Create(c.t.Context(), admin, account, operator.NewToken{Name: string(account), Scopes: []string{"admin"}})
	must(c.t, err)
	return made.Text
}

func (c *cluster) list(of string) string {
	_, text := c.do(c.client, "GET", "/api/v1/"+of, nil)
	return text
}

// variable is one in a path of the API.
var variable = regexp.MustCompile(`\{[a-z]+\}`)

// operations are the ids of all operations of the API, by path and method.
func (c *cluster) operations() map[string]map[string]string {
	_, text := c.do(c.client, "GET", "/openapi.json", nil)
	var doc struct {
		Paths map[string]map[string]struct {
			ID string `json:"operationId"`
		} `json:"paths"`
	}
	must(c.t, json.Unmarshal([]byte(text), &doc))
	out := map[string]map[string]string{}
	for path, methods := range doc.Paths {
		out[path] = map[string]string{}
		for method, o := range methods {
			out[path][method] = o.ID
		}
	}
	return out
}

// walk asks all that there is to ask; secrets are in no answer.
func (c *cluster) walk(lines map[string]asked, secrets ...string) {
	n := 0
	for path, methods := range c.operations() {
		for method, id := range methods {
			q, ok := lines[id]
			if n++; !ok {
				c.t.Errorf("%s %s: say in asking what another account may do with %q", method, path, id)
			}
			if q.apart || !ok {
				continue
			}
			ask := func(name string) (status int, text string) {
				return c.ask(method, variable.ReplaceAllString(path, name), q)
			}
			status, got := ask(q.there)
			switch {
			case q.cluster && status != http.StatusForbidden:
				c.t.Errorf("%s: want 403, got %d %s", id, status, got)
			case q.nothing != "":
				none, want := ask(q.nothing)
				if none != http.StatusNotFound || status != none || strings.ReplaceAll(got, q.there, q.nothing) != want {
					c.t.Errorf("%s: of what is another's it is told\n%d %s\nof what is not there\n%d %s", id, status, got, none, want)
				}
			case !q.cluster && status >= 300:
				c.t.Errorf("%s: got %d %s", id, status, got)
			}
			for _, s := range secrets {
				if q.there == "" && strings.Contains(got, s) {
					c.t.Errorf("%s: it is told of %s: %s", id, s, got)
				}
			}
		}
	}
	if n != len(lines) {
		c.t.Errorf("the API has %d operations, asking has %d lines", n, len(lines))
	}
}

func (c *cluster) ask(method, path string, q asked) (status int, text string) {
	client, header := c.client, []string{}
	if q.session {
		client, header = c.plain, []string{"Upgrade", "websocket", "Connection", "Upgrade"}
	}
	var body io.Reader
	if q.body != nil {
		raw, err := json.Marshal(q.body)
		must(c.t, err)
		body, header = strings.NewReader(string(raw)), append(header, "Content-Type", "application/json")
	}
	resp, text := c.do(client, strings.ToUpper(method), path+q.query, body, header...)
	return resp.StatusCode, text
}

// An account does with its own what it likes, with the admins' templates and its own; of a third one's it learns only that a name is taken.
func TestOwnAccount(t *testing.T) {
	t.Parallel()
	c := found(t, 2, "infra1", "host1")
	c.start()
	c.join("host1", 0)
	_, err := c.o.store.Update(t.Context(), func(tx *store.Tx) error {
		for name, account := range map[wire.TemplateName]wire.Account{"own:1": "acme", "theirs:1": "shop", "theirs:2": "acme"} {
			m := host.Template{Image: host.Image{Name: name, Digest: digest(string(name))}, OCI: digest("same"), Account: account,
				Process: host.Process{Argv: []string{"run"}}, Profile: host.ProfileApp}
			store.Templates.Put(tx, store.TemplateKey(name), m)
		}
		return nil
	})
	must(t, err)
	of := func(name wire.EnvName, template wire.TemplateName) operator.EnvironmentSpec {
		spec := hello(name, 1)
		spec.Layers[0].Template = template
		return spec
	}
	c.create(hello("hello", 1))
	c.as(c.tokenOf("acme"), func() {
		for _, s := range []operator.EnvironmentSpec{of("one", "own"), of("two", "nginx"), of("three", "theirs")} {
			if op := c.create(s); op.State != operator.OpDone || op.Account != "acme" {
				t.Errorf("%s: %+v, %v", s.Name, op, op.Problem)
			}
		}
		if e, _ := c.env("three"); e.Account != "acme" || len(e.Nodes) != 1 || e.Nodes[0].Template != "theirs:2" {
			t.Errorf("it got %+v", e)
		}
		for _, query := range []string{"", "?dry_run=true"} {
			if p := c.call("POST", "/api/v1/environments"+query, hello("hello", 1), nil); p == nil || p.Code != operator.Conflict ||
				p.Reason != "the name is taken" || p.Next != "choose another name" {
				t.Errorf("a name of another account%s: %v", query, p)
			}
			p := c.call("POST", "/api/v1/environments"+query, hello("one", 1), nil)
			if p == nil || !strings.Contains(p.Next, "env delete one") {
				t.Errorf("a name of its own%s: %v", query, p)
			}
			got := c.call("POST", "/api/v1/environments"+query, of("four", "theirs:1"), nil)
			want := c.call("POST", "/api/v1/environments"+query, of("four", "nosuch:1"), nil)
			if got == nil || got.Code != operator.NotFound || strings.ReplaceAll(got.Error(), "theirs:1", "nosuch:1") != want.Error() {
				t.Errorf("a template of another account%s: %v; one that is not there: %v", query, got, want)
			}
		}
		if op := c.ended(c.change("delete", "three")); op.State != operator.OpDone {
			t.Errorf("its own: %+v", op)
		}
		// A digest takes all its names along.
		p := c.call("DELETE", "/api/v1/templates/theirs@"+digest("same").Hex()[:12], nil, nil)
		if p == nil || p.Code != operator.Conflict || !strings.Contains(p.Reason, "another account") ||
			!strings.Contains(p.Next, "theirs:2") {
			t.Errorf("a template that another account has too: %v", p)
		}
		var made operator.MadeToken
		c.ok("POST", "/api/v1/tokens", operator.NewToken{Name: "next", Scopes: []string{"admin"}}, &made)
		if made.Account != "acme" {
			t.Errorf("its token is of %q", made.Account)
		}
		c.ok("DELETE", "/api/v1/tokens/"+made.ID, nil, nil)
	})
	// That another account has a token that can make others is no help to the admins.
	if p := c.call("DELETE", "/api/v1/tokens/"+authz.AdminID, nil, nil); p == nil || p.Code != operator.Conflict {
		t.Errorf("the admins' last token: %v", p)
	}
	c.ok("POST", "/api/v1/environments/one/stop", nil, nil)
}

// An account is made, has limits, is suspended and goes on; what it may not have is refused before anything is made.
func TestAccountStates(t *testing.T) {
	t.Parallel()
	c := found(t, 2, "infra1", "host1")
	c.start()
	c.join("host1", 0)
	var a account.Account
	c.ok("POST", "/api/v1/accounts", account.NewAccount{Name: "acme", Limits: account.Limits{account.Nodes: 2}}, &a)
	var made operator.MadeToken
	c.ok("POST", "/api/v1/accounts/acme/tokens", operator.NewToken{Name: "ci", Scopes: []string{"admin"}}, &made)
	if made.Account != "acme" {
		t.Errorf("the token is of %q", made.Account)
	}
	c.as(made.Text, func() {
		c.create(hello("one", 2))
		for _, query := range []string{"?dry_run=true", ""} {
			p := c.call("POST", "/api/v1/environments"+query, hello("two", 1), nil)
			if p == nil || p.Code != operator.Exhausted ||
				!strings.Contains(p.Reason, "limit nodes: account acme may have 2, 2 are taken") {
				t.Errorf("over its limit%s: %v", query, p)
			}
		}
		c.ok("GET", "/api/v1/accounts/acme", nil, &a)
		if u := a.Use[1]; u.Kind != account.Nodes || u.Used != 2 || *u.Limit != 2 {
			t.Errorf("it has %+v", a.Use)
		}
	})
	suspended := account.Suspended
	c.ok("PATCH", "/api/v1/accounts/acme", account.ChangeAccount{State: &suspended, Reason: "unpaid"}, &a)
	c.eventually("its environment is down, and says why", func() bool {
		e, _ := c.env("one")
		return e.State == operator.EnvDown && e.Reason == "account acme is suspended: unpaid"
	})
	c.as(made.Text, func() {
		for _, ask := range []struct{ method, path string }{{"POST", "/environments/one/start"}, {"DELETE", "/environments/one"}} {
			if p := c.call(ask.method, "/api/v1"+ask.path, nil, nil); p == nil || p.Code != operator.Denied ||
				!strings.Contains(p.Reason, "account acme is suspended: unpaid") {
				t.Errorf("%s %s: %v", ask.method, ask.path, p)
			}
		}
		c.ok("GET", "/api/v1/environments/one", nil, nil)
	})
	if p := c.call("POST", "/api/v1/environments/one/start", nil, nil); p == nil || p.Code != operator.Denied {
		t.Errorf("an admin starts it: %v", p)
	}
	active := account.Active
	c.ok("PATCH", "/api/v1/accounts/acme", account.ChangeAccount{State: &active}, &a)
	c.eventually("its environment runs again", func() bool { e, _ := c.env("one"); return e.State == operator.EnvRunning })
}

// TestNarrowToken walks all operations of the API with a token that is for one environment of its account: what is in another one of the
// same account is not there, and nothing that concerns more than its environment is done.
func TestNarrowToken(t *testing.T) {
	t.Parallel()
	c := found(t, 2, "infra1", "host1")
	c.start()
	c.join("host1", 0)
	first := c.create(hello("hello", 1)) // node 100
	c.create(hello("mine", 1))           // node 101
	var other, narrow operator.MadeToken
	c.ok("POST", "/api/v1/tokens", operator.NewToken{Name: "other", Scopes: []string{"admin"}}, &other)
	for _, n := range []operator.NewToken{{Name: "n", Scopes: []string{"admin"}, Environments: []wire.EnvName{"mine"}},
		{Name: "n", Scopes: []string{"read"}, Environments: []wire.EnvName{"nosuch"}},
		{Name: "n", Scopes: []string{"read"}, Environments: []wire.EnvName{"jelastic"}}} {
		if p := c.call("POST", "/api/v1/tokens", n, nil); p == nil || p.Code != operator.Invalid && p.Code != operator.NotFound {
			t.Errorf("%+v: %v", n, p)
		}
	}
	c.ok("POST", "/api/v1/tokens", operator.NewToken{Name: "ci", Scopes: []string{"read", "write", "exec"},
		Environments: []wire.EnvName{"mine"}}, &narrow)
	c.as(narrow.Text, func() {
		for path, methods := range c.operations() {
			for method, id := range methods {
				q := asking(c, string(first.ID), other.ID)[id]
				if q.apart {
					continue
				}
				status, text := c.ask(method, variable.ReplaceAllString(path, q.there), q)
				switch {
				case (id == "getVersion" || id == "getSignInWays") && status == http.StatusOK: // nobody needs a token for that
				case id == "listEnvironments", id == "listNodes", id == "listOperations":
					if status != http.StatusOK || !strings.Contains(text, "mine") || strings.Contains(text, "hello") {
						t.Errorf("%s: %d %s", id, status, text)
					}
				case status != http.StatusForbidden && status != http.StatusNotFound:
					t.Errorf("%s: got %d %s, want 403 or 404", id, status, text)
				}
			}
		}
		if p := c.call("POST", "/api/v1/environments", hello("more", 1), nil); p == nil || p.Code != operator.Denied {
			t.Errorf("another environment: %v", p)
		}
		c.ok("GET", "/api/v1/nodes/101", nil, nil)
		if op := c.ended(c.change("stop", "mine")); op.State != operator.OpDone {
			t.Errorf("its own environment is stopped: %+v", op)
		}
		p := c.call("PUT", "/api/v1/environments/mine/group", operator.EnvironmentGroup{Group: "g"}, nil)
		if p == nil || p.Code != operator.Denied {
			t.Errorf("its environment is brought to others: %v", p)
		}
	})
	// Two accounts may have tokens of one name, and learn nothing of each other's by it.
	c.as(c.tokenOf("acme"), func() {
		c.ok("POST", "/api/v1/tokens", operator.NewToken{Name: "ci", Scopes: []string{"read"}}, nil)
	})
}
