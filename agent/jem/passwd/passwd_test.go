package passwd

import (
	"strings"
	"testing"

	"hardnode.dev/agent/jem/contract/contracttest"
)

// echo says what it was given into a file beside it.
const echo = "#!/bin/sh\nd=$(dirname $0); { echo $*; cat; } > $d/said.$(basename $0)\n"

func TestPasswd(t *testing.T) {
	root := contracttest.Root(t, map[string]string{"usr/bin/chpasswd": echo, "usr/bin/useradd": echo, "usr/bin/passwd": echo,
		"usr/bin/psql":    echo,
		"usr/bin/mariadb": echo, "bin/sh": "#!", "etc/passwd": "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n" +
			"www-data:x:33:33::/var/www:/bin/sh\npostgres:x:0:0::/:/bin/sh\n"})
	for _, c := range []struct{ argv, in, code, message, by, said string }{
		{"set ann", "correct horse\n", "ok", "the password of ann is set", "chpasswd", "\nann:correct horse\n"},
		{"set bob", "correct horse", "not_found", `no user "bob"`, "", ""},
		{"set ann", "short", "invalid", "less than 8", "", ""},
		{"set ann", "two\nlines:x", "invalid", "control character", "", ""},
		{"set ann", strings.Repeat("x", 300), "invalid", "more than", "", ""},
		{"set a:b", "correct horse", "invalid", "is no user's name", "", ""},
		{"add bob", "", "ok", "bob is a user", "useradd", "-m -s /bin/sh bob\n"},
		{"add bob --shell /bin/none", "", "not_found", "no shell", "", ""},
		{"add ann", "", "conflict", `there is a user "ann"`, "", ""},
		{"lock ann", "", "ok", "is locked", "passwd", "-l ann\n"},
		{"unlock root", "", "ok", "is unlocked", "passwd", "-u root\n"},
		{"lock www-data", "", "denied", "the distribution's own", "", ""},
		{"postgresql app --superuser", "it's a pass", "ok", "the password of app is set", "psql",
			`ALTER ROLE "app" LOGIN SUPERUSER PASSWORD 'it''s a pass';`},
		{"postgresql app\"", "it's a pass", "invalid", "is no user's name", "", ""},
		{"mariadb app", `it's a \pass`, "ok", "the password of app is set", "mariadb",
			`ALTER USER 'app'@'%' IDENTIFIED BY 'it\'s a \\pass';`},
		{"mariadb app --from 10.0.0.%", "it is a pass", "ok", "", "mariadb", `'app'@'10.0.0.%'`},
		{"mariadb app --from '", "it is a pass", "invalid", "is none", "", ""},
		{"mariadb root", "it is a pass", "denied", "without a password", "", ""},
		{"list", "", "ok", "4 users", "", ""},
	} {
		r := contracttest.Call(t, Module, root, contracttest.Options{In: c.in}, strings.Fields(c.argv)...)
		if r.Code != c.code || !strings.Contains(r.Message, c.message) || strings.Contains(r.Said+r.Message, "pass'") {
			t.Errorf("%s: %s %q", c.argv, r.Code, r.Message)
		}
		if said := contracttest.Text(root, "usr/bin/said."+c.by); c.by != "" && !strings.Contains(said, c.said) {
			t.Errorf("%s: %s was told %q, want %q", c.argv, c.by, said, c.said)
		}
	}
	if r := contracttest.Call(t, Module, t.TempDir(), contracttest.Options{}, "set", "ann"); r.Code != "unavailable" {
		t.Errorf("without chpasswd: %+v", r)
	}
}
