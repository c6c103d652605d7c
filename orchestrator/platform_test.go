package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"hardnode.dev/internal/wire/operator"
)

// A token for commands in people's nodes opens nothing of the platform: a shell beside the issuing CA's key is another right.
func TestPlatformHasItsOwnScope(t *testing.T) {
	t.Parallel()
	c := found(t, 2, "infra1", "host1")
	c.start()
	c.join("infra1", 0)
	c.join("host1", 0)
	c.create(hello("hello", 1))
	tokens := map[string]string{"admin": adminToken}
	for _, scope := range []string{"exec", "platform", "write"} {
		var made operator.MadeToken
		c.ok("POST", "/api/v1/tokens", operator.NewToken{Name: scope, Scopes: []string{scope}}, &made)
		tokens[scope] = made.Text
	}
	for _, tt := range []struct {
		path string
		may  []string
	}{
		{"hosts/host1/logs", []string{"platform", "admin"}},
		{"hosts/nosuch/logs?unit=kernel", nil},
		{"hosts/host1/support", []string{"platform", "admin"}},
		{"hosts/host1/config", []string{"platform", "admin"}},
		{"nodes/4/exec?argv=cat&argv=/data/key", []string{"platform", "admin"}},
		{"nodes/4/logs", []string{"platform", "admin"}},
		{"nodes/4/jem?module=service&action=status", []string{"platform", "admin"}},
		{"nodes/004/logs", []string{"platform", "admin"}}, // another spelling
		{"nodes/50/logs", nil},                            // a number of the platform that nothing has
		{"nodes/100/exec?argv=echo", []string{"exec", "admin"}},
		{"nodes/100/logs", []string{"exec", "admin"}},
	} {
		for name, token := range tokens {
			conn, resp, err := websocket.Dial(t.Context(), "wss://"+c.api+"/api/v1/"+tt.path, &websocket.DialOptions{HTTPClient: c.plain,
				HTTPHeader: http.Header{"Authorization": {"Bearer " + token}}})
			if err == nil {
				conn.CloseNow()
			}
			may := false
			for _, m := range tt.may {
				may = may || m == name
			}
			switch {
			case may != (err == nil):
				t.Errorf("%s with scope %s: opened %v (%v), want %v", tt.path, name, err == nil, err, may)
			case err != nil && tt.may != nil && resp.StatusCode != http.StatusForbidden:
				t.Errorf("%s with scope %s: status %d, want 403", tt.path, name, resp.StatusCode)
			}
		}
	}
}

// The record of a command holds its program and a digest of its arguments: equal ones can be told, secrets in them can't be read.
func TestAuditHoldsNoArguments(t *testing.T) {
	t.Parallel()
	c := found(t, 2, "infra1", "host1")
	c.start()
	c.join("host1", 0)
	c.create(hello("hello", 1))
	for _, path := range []string{"100/exec?argv=echo&argv=--password%3Dhunter2", "100/exec?argv=echo&argv=--password%3Dhunter2",
		"100/exec?argv=echo&argv=--password%3D&argv=hunter2", "100/exec?argv=echo", "100/jem?module=service&action=status&arg=hunter2"} {
		drain(t, c.dial(path))
	}
	var audits operator.List[operator.Audit]
	c.ok("GET", "/api/v1/audit", nil, &audits)
	var objects []string
	for i := len(audits.Items) - 1; i >= 0; i-- {
		a := audits.Items[i]
		if strings.Contains(a.Object, "hunter2") || strings.Contains(a.Object, "password") {
			t.Errorf("the record holds arguments: %+v", a)
		}
		if (a.What == "node.exec" || a.What == "node.jem") && a.Result == "begun" {
			objects = append(objects, a.Object)
		}
	}
	if len(objects) != 5 || objects[0] != objects[1] || objects[0] == objects[2] ||
		!strings.HasPrefix(objects[0], `nodes/100 "echo" and 1 argument, sha256:`) ||
		objects[3] != `nodes/100 "echo"` || !strings.HasPrefix(objects[4], `nodes/100 "service status" and 1 argument, sha256:`) {
		t.Errorf("got %q", objects)
	}
}
