package keys

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hardnode.dev/agent/jem/contract/contracttest"
)

const (
	one = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ8mQLdPKTJTWmGVPXf4cT5jMi2sXwXmKx1qJc0Xv8bY ann@home"
	two = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA bob@home"
)

func TestKeys(t *testing.T) {
	first, err := parse(one)
	if err != nil {
		t.Fatal(err)
	}
	root := contracttest.Root(t, map[string]string{"home/ann/": "", "etc/secret": "x\n",
		"home/eve/.ssh/authorized_keys@": "../../../etc/secret",
		"home/mal/.ssh@":                 "/etc",
		"etc/passwd": "ann:x:0:0::/home/ann:/bin/sh\neve:x:0:0::/home/eve:/bin/sh\nmal:x:0:0::/home/mal:/bin/sh\n" +
			"nohome:x:0:0::/none:/bin/sh\nslash:x:0:0::/:/bin/sh\n"})
	for _, c := range []struct{ argv, in, code, message, file string }{
		{"add ann", one + "\n# a comment\n\n" + two, "ok", "2 keys are new, 0 were there", one + "\n" + two + "\n"},
		{"add ann", one, "ok", "0 keys are new, 1 were there", one + "\n" + two + "\n"},
		{"add ann", `command="sh" ` + one, "invalid", "line 1 is no public key", one + "\n" + two + "\n"},
		{"add ann", "ssh-ed25519 AAAA", "invalid", "no key of that type", one + "\n" + two + "\n"},
		{"add ann", "ssh-rsa " + strings.Fields(one)[1], "invalid", "no key of that type", one + "\n" + two + "\n"},
		{"add ann", "# none", "invalid", "there is no key", one + "\n" + two + "\n"},
		{"list ann", "", "ok", "2 keys", one + "\n" + two + "\n"},
		{"remove ann " + first.fingerprint, "", "ok", "1 key removed", two + "\n"},
		{"remove ann " + first.fingerprint, "", "not_found", "has no key", two + "\n"},
		{"add nobody", one, "not_found", `no user "nobody"`, two + "\n"},
		{"add nohome", one, "conflict", "has no home directory", two + "\n"},
		{"add slash", one, "conflict", "has no home directory", two + "\n"},
		{"add eve", one, "internal", "path escapes", two + "\n"},
		{"list eve", "", "internal", "path escapes", two + "\n"},
		{"add mal", one, "internal", "path escapes", two + "\n"},
	} {
		r := contracttest.Call(t, Module, root, contracttest.Options{In: c.in}, strings.Fields(c.argv)...)
		if r.Code != c.code || !strings.Contains(r.Message, c.message) || contracttest.Text(root,
			"home/ann/.ssh/authorized_keys") != c.file {
			t.Errorf("%s: %s %q, %q", c.argv, r.Code, r.Message, contracttest.Text(root, "home/ann/.ssh/authorized_keys"))
		}
	}
	if contracttest.Text(root, "etc/secret") != "x\n" || contracttest.Text(root, "etc/authorized_keys") != "" {
		t.Error("a file outside a home was written")
	}
	st, err := os.Stat(filepath.Join(root, "home/ann/.ssh"))
	if err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("%v %v", st, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(one)
	f.Add("ssh-rsa AAAA")
	f.Fuzz(func(t *testing.T, line string) {
		if k, err := parse(line); err == nil && (!strings.HasPrefix(k.fingerprint, "SHA256:") || k.kind == "") {
			t.Errorf("%q: %+v", line, k)
		}
	})
}
