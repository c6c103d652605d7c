package env

import (
	"strings"
	"testing"

	"hardnode.dev/agent/jem/contract/contracttest"
)

func TestEnv(t *testing.T) {
	root := contracttest.Root(t, map[string]string{"run/systemd/system/": "", "proc/1/environ": "PATH=/bin\x00container=hardnode\x00",
		"usr/bin/systemctl": "#!/bin/sh\necho \"$@\" >> $(dirname $0)/told\ncase \"$*\" in *REFUSED*) echo no >&2; exit 1;;\n" +
			"show-environment) grep -q daemon-reexec $(dirname $0)/told || echo BOOTED=1;; esac\n"})
	for _, c := range []struct {
		argv                []string
		code, message, file string
	}{
		{[]string{"set", `A=a b "c" 100%`, "B=x=y"}, "ok", "2 variables are set", "A=a b \"c\" 100%\nB=x=y\n"},
		{[]string{"set", "A"}, "invalid", "want NAME=VALUE", ""},
		{[]string{"set", "1A=x"}, "invalid", "want NAME=VALUE", ""},
		{[]string{"set", "A=x\ny"}, "invalid", "control character", ""},
		{[]string{"set"}, "invalid", "want NAME=VALUE", ""},
		{[]string{"set", "REFUSED=1"}, "unavailable", "taken back", "A=a b \"c\" 100%\nB=x=y\n"},
		{[]string{"set", "A=" + strings.Repeat("x", maxValue+1)}, "invalid", "more than", ""},
		{[]string{"unset", "C"}, "not_found", "was not set here", ""},
		{[]string{"unset", "B"}, "ok", "1 variables are gone", "A=a b \"c\" 100%\n"},
		{[]string{"set", "BOOTED=1"}, "ok", "1 variables are set", "A=a b \"c\" 100%\nBOOTED=1\n"},
		{[]string{"list"}, "ok", "4 variables", ""},
	} {
		r := contracttest.Call(t, Module, root, contracttest.Options{}, c.argv...)
		if r.Code != c.code || !strings.Contains(r.Message, c.message) || c.file != "" && contracttest.Text(root, kept) != c.file {
			t.Errorf("%.60q: %s %q, %q", c.argv, r.Code, r.Message, contracttest.Text(root, kept))
		}
	}
	if got := contracttest.Text(root, dropIn); !strings.Contains(got, `DefaultEnvironment="A=a b \"c\" 100%%"`) {
		t.Errorf("%s", got)
	}
	if got := contracttest.Text(root, "usr/bin/told"); !strings.HasPrefix(got, "set-environment -- A=a b \"c\" 100% B=x=y\n") {
		t.Errorf("%s", got)
	}
	if got := contracttest.Text(root, "usr/bin/told"); strings.Contains(got, "daemon-reexec") {
		t.Errorf("%s", got)
	}
	r := contracttest.Call(t, Module, root, contracttest.Options{}, "unset", "BOOTED")
	if got := contracttest.Text(root, "usr/bin/told"); r.Code != "ok" || !strings.HasSuffix(got,
		"unset-environment -- BOOTED\nshow-environment\ndaemon-reexec\nshow-environment\n") {
		t.Errorf("one that systemd has of its configuration: %+v\n%s", r, got)
	}
	app := contracttest.Root(t, map[string]string{"proc/1/environ": "PATH=/bin\x00"})
	if r := contracttest.Call(t, Module, app, contracttest.Options{}, "set", "A=b"); r.Code != "unavailable" ||
		!strings.Contains(r.Message, "environment's topology") {
		t.Errorf("app: %+v", r)
	}
	if r := contracttest.Call(t, Module, app, contracttest.Options{}, "list"); len(r.Items) != 1 {
		t.Errorf("app: %+v", r)
	}
}
