package cron

import (
	"strings"
	"testing"

	"hardnode.dev/agent/jem/contract/contracttest"
)

func TestValid(t *testing.T) {
	for time, why := range map[string]string{"* * * * *": "", "0 4 1 jan sun": "", "*/5 0-23/2 1,15 * mon-fri": "", "59 23 31 12 7": "",
		"@daily": "",
		"@never": "want one of", "* * * *": "has 4 fields", "60 * * * *": `minute "60": want 0 to 59`, "* * 0 * *": "want 1 to 31",
		"* * * 13 *":  "want",
		"5/2 * * * *": "needs *", "9-3 * * * *": "ends before", "*/0 * * * *": "step", "* * * foo *": "want", " * * * *": "want",
		"+5 * * * *":  "want",
		"* * * * * *": "has 6 fields", "": "has 1 fields", "*,, * * * *": "want", "1\n* * * * *": "want"} {
		if err := Valid(time); (err == nil) != (why == "") || err != nil && !strings.Contains(err.Error(), why) {
			t.Errorf("%q: %v, want %q", time, err, why)
		}
	}
}

func FuzzValid(f *testing.F) {
	f.Add("*/5 0-23/2 1,15 * mon-fri")
	f.Fuzz(func(t *testing.T, time string) {
		if Valid(time) == nil && (strings.ContainsAny(time, "\n\r\x00#%") || len(jobs(time+" root true", "")) != 1) {
			t.Errorf("%q is taken", time)
		}
	})
}

func TestCron(t *testing.T) {
	root := contracttest.Root(t, map[string]string{"usr/sbin/cron": "#!", "etc/cron.d/": "",
		"etc/passwd":                  "root:x:0:0::/root:/bin/sh\nwww-data:x:33:33::/:\n",
		"etc/crontab":                 "SHELL=/bin/sh\n# m h\n17 *\t* * *\troot\tcd / && run-parts\n",
		"var/spool/cron/crontabs/ann": "@daily  echo hi\nbroken\n"})
	for _, c := range []struct {
		argv          []string
		code, message string
	}{
		{[]string{"set", "back-up", "*/5 * * * *", "www-data", "date", "+%F"}, "ok", "job back-up: */5 * * * *, as www-data"},
		{[]string{"set", "x", "61 * * * *", "root", "true"}, "invalid", "minute"},
		{[]string{"set", "x", "* * * * *", "nobody", "true"}, "not_found", `no user "nobody"`},
		{[]string{"set", "x", "* * * * *", "a b", "true"}, "invalid", "is no user's name"},
		{[]string{"set", "x", "* * * * *", "root", "true\n* * * * * root evil"}, "invalid", "line break"},
		{[]string{"set", "../x", "* * * * *", "root", "true"}, "invalid", "want a-z"},
		{[]string{"set", "x"}, "invalid", "are needed"},
		{[]string{"remove", "x"}, "not_found", "there is no job x"},
		{[]string{"list"}, "ok", "3 jobs"},
	} {
		r := contracttest.Call(t, Module, root, contracttest.Options{}, c.argv...)
		if r.Code != c.code || !strings.Contains(r.Message, c.message) {
			t.Errorf("%q: %s %q", c.argv, r.Code, r.Message)
		}
	}
	if got := contracttest.Text(root, "etc/cron.d/jem-back-up"); !strings.HasSuffix(got, "\n*/5 * * * * www-data date +\\%F\n") {
		t.Errorf("%q", got)
	}
	r := contracttest.Call(t, Module, root, contracttest.Options{}, "list")
	if r.Items[0]["command"] != "cd / && run-parts" || r.Items[0]["user"] != "root" || r.Items[1]["name"] != "back-up" ||
		r.Items[2]["user"] != "ann" {
		t.Errorf("%v", r.Items)
	}
	if r := contracttest.Call(t, Module, root, contracttest.Options{}, "remove", "back-up"); r.Code != "ok" {
		t.Error(r.Message)
	}
	busybox := contracttest.Root(t, map[string]string{"bin/busybox": "#!", "usr/sbin/crond@": "../../bin/busybox", "etc/cron.d/": ""})
	if r := contracttest.Call(t, Module, busybox, contracttest.Options{}, "set", "x", "* * * * *", "root",
		"true"); r.Code != "unavailable" {
		t.Errorf("busybox: %+v", r)
	}
}
