//go:build guest

package container

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"hardnode.dev/agent/jemcall"
	"hardnode.dev/agent/retune"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/jem"
)

// callJEM calls JEM in a container as the host does for somebody outside.
func callJEM(t *testing.T, r *Runtime, id wire.CTID, told jem.Told, req host.JEMRequest) (jem.Reply, host.Exit) {
	t.Helper()
	return callJEMWith(t, r, id, told, req, "")
}

// callJEMWith is callJEM with what is sent along.
func callJEMWith(t *testing.T, r *Runtime, id wire.CTID, told jem.Told, req host.JEMRequest, in string) (jem.Reply, host.Exit) {
	t.Helper()
	var calls jemcall.Calls
	var out bytes.Buffer
	var along io.ReadCloser
	if in != "" {
		along = io.NopCloser(strings.NewReader(in))
	}
	exit, err := calls.Carry(deadline(t), id, req, told, along, &out, r.Exec)
	if err != nil {
		t.Errorf("jem %s %s %v: %v", req.Module, req.Action, req.Args, err)
		return jem.Reply{}, exit
	}
	reply, err := jem.Decode(out.Bytes())
	if err != nil {
		t.Error(err)
	}
	return reply, exit
}

// jemChangesUnits has JEM change a unit of a full OS.
func jemChangesUnits(t *testing.T, r *Runtime, id wire.CTID) {
	t.Helper()
	if out, code := sh(t, r, id,
		`printf '[Service]\nExecStart=/bin/sleep inf\nExecReload=/bin/true\n[Install]\nWantedBy=multi-user.target\n' \
		> /etc/systemd/system/probe.service && systemctl daemon-reload`); code != 0 {
		t.Fatalf("make a unit: %s", out)
	}
	for _, c := range []struct{ action, unit, code, message string }{
		{"start", "probe", jem.CodeOK, "start of probe.service: it is active"},
		{"reload", "probe", jem.CodeOK, "reload of probe.service: it is active"},
		{"restart", "probe.service", jem.CodeOK, "restart of probe.service: it is active"},
		{"enable", "probe", jem.CodeOK, "enable of probe.service: it is active"},
		{"disable", "probe", jem.CodeOK, "disable of probe.service: it is active"},
		{"stop", "probe", jem.CodeOK, "stop of probe.service: it is inactive"},
		{"reload", "probe", "conflict", "unit probe.service can't be reloaded, or is not started"},
		{"start", "nosuch", "not_found", "there is no unit nosuch.service"},
	} {
		reply, exit := callJEM(t, r, id, jem.Told{}, host.JEMRequest{Module: "service", Action: c.action, Args: []string{c.unit}})
		if reply.Code != c.code || reply.Message != c.message || (exit.Code == 0) != (c.code == jem.CodeOK) {
			t.Errorf("jem service %s %s: %+v, code %d", c.action, c.unit, reply, exit.Code)
		}
		t.Logf("jem service %s %s: %s, %s", c.action, c.unit, reply.Code, reply.Message)
	}
	once := host.JEMRequest{Module: "service", Action: "restart", Args: []string{"probe"}, Key: "release 7"}
	first, _ := callJEM(t, r, id, jem.Told{}, once)
	again, _ := callJEM(t, r, id, jem.Told{}, once)
	if first.Again || !again.Again || again.Message != first.Message {
		t.Errorf("under one key: %+v, then %+v", first, again)
	}
	for _, c := range []struct{ module, action, code, says string }{
		{"health", "check", jem.CodeOK, "checks are well"},
		{"setmem", "apply", "unavailable", "no server that JEM can tune is here"},
		{"mount", "list", jem.CodeOK, "places are mounted"},
		{"mount", "add", "denied", "a container does not mount"},
		{"backup", "before", jem.CodeOK, "no database that JEM knows runs here"},
		{"redeploy", "list", jem.CodeOK, "go along to another image"},
	} {
		reply, _ := callJEM(t, r, id, jem.Told{}, host.JEMRequest{Module: c.module, Action: c.action})
		if reply.Code != c.code || !strings.Contains(reply.Message, c.says) {
			t.Errorf("jem %s %s: %+v", c.module, c.action, reply)
		}
	}
	if reply, _ := callJEM(t, r, id, jem.Told{}, retune.Request); reply.Code != jem.CodeOK || !strings.HasPrefix(reply.Message, "left: ") {
		t.Errorf("after a resize: %+v", reply)
	}
	told := r.Told(deadline(t), id)
	if told.DiskLimit != 256<<20 || told.DiskUsed <= 0 || told.Memory != 512<<20 {
		t.Errorf("JEM is told %+v", told)
	}
	reply, _ := callJEM(t, r, id, told, host.JEMRequest{Module: "jem", Action: "list"})
	if len(reply.Items) < 8 || !strings.HasSuffix(reply.Message, "actions can be done here") {
		t.Errorf("jem list: %+v", reply)
	}
	t.Logf("jem list: %s", reply.Message)
}
