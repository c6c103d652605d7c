package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hardnode.dev/agent/jem/contract/contracttest"
)

// nginx takes any configuration but one with "bad" in it.
const nginx = `#!/bin/sh
dir=$(dirname "$0")/../../etc/nginx
if grep -rqs bad "$dir" --include=*.conf; then echo "emerg: unknown directive" >&2; exit 1; fi
`

func TestConfig(t *testing.T) {
	root := contracttest.Root(t, map[string]string{"usr/sbin/nginx": nginx, "etc/nginx/nginx.conf": "one", "etc/hosts": "h",
		"etc/bin":                         "\x00",
		"etc/nginx/sites-enabled/a.conf@": "../sites-available/a.conf", "etc/nginx/sites-available/a.conf": "site"})
	for _, c := range []struct {
		argv, in, code, message, file, text string
	}{
		{"read /etc/nginx/nginx.conf", "", "ok", "3 bytes", "", ""},
		{"read /etc/none", "", "not_found", "there is no file /etc/none", "", ""},
		{"read /etc/bin", "", "conflict", "is no text", "", ""},
		{"read /etc", "", "conflict", "no regular file", "", ""},
		{"read etc", "", "invalid", "is not absolute", "", ""},
		{"read /proc/1/mem", "", "invalid", "not the container's own", "", ""},
		{"write /etc/nginx/nginx.conf", "two", "ok", "is written: nginx takes it", "etc/nginx/nginx.conf", "two"},
		{"write /etc/nginx/nginx.conf", "bad", "invalid", "unknown directive; what was done is taken back", "etc/nginx/nginx.conf", "two"},
		{"write /etc/nginx/new.conf", "bad", "invalid", "taken back", "etc/nginx/new.conf", ""},
		{"write /etc/nginx/new.conf", "good", "ok", "nginx takes it", "etc/nginx/new.conf", "good"},
		{"write /etc/nginx/sites-enabled/a.conf", "linked", "ok", "nginx takes it", "etc/nginx/sites-available/a.conf", "linked"},
		{"write /etc/hosts", "x", "ok", "no server that is here checks it", "etc/hosts", "x"},
		{"write /etc/hosts --reload", "y", "invalid", "taken back", "etc/hosts", "x"},
		{"write /etc/hosts", "", "invalid", "nothing is sent along", "etc/hosts", "x"},
		{"write /etc/hosts", strings.Repeat("x", maxFile+1), "invalid", "more than", "etc/hosts", "x"},
		{"write /none/x", "y", "not_found", "no directory /none", "", ""},
		{"write /etc", "y", "conflict", "no regular file", "", ""},
		{"restore /etc/nginx/nginx.conf", "", "ok", "nginx takes it", "etc/nginx/nginx.conf", "one"}, // not what the refused one found
		{"restore /etc/nginx/sites-enabled/a.conf", "", "ok", "nginx takes it", "etc/nginx/sites-available/a.conf", "site"},
		{"restore /etc/bin", "", "not_found", "no backup", "", ""},
		{"list postgres", "", "invalid", "is not known", "", ""},
		{"list haproxy", "", "ok", "0 files", "", ""},
	} {
		r := contracttest.Call(t, Module, root, contracttest.Options{In: c.in}, strings.Fields(c.argv)...)
		if r.Code != c.code || !strings.Contains(r.Message, c.message) || c.file != "" && contracttest.Text(root, c.file) != c.text {
			t.Errorf("%s with %.20q: %s %q, %q", c.argv, c.in, r.Code, r.Message, contracttest.Text(root, c.file))
		}
	}
	r := contracttest.Call(t, Module, root, contracttest.Options{}, "list")
	if len(r.Items) != 4 || r.Items[0]["server"] != "nginx" || r.Items[1]["path"] != "/etc/nginx/nginx.conf" ||
		r.Items[1]["backups"] == "" {
		t.Errorf("list: %+v", r.Items)
	}
	if st, err := os.Lstat(filepath.Join(root, "etc/nginx/sites-enabled/a.conf")); err != nil || st.Mode()&os.ModeSymlink == 0 {
		t.Error("the link to the site is gone")
	}
}
