package logs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hardnode.dev/agent/jem/contract/contracttest"
	"hardnode.dev/internal/wire/jem"
)

func TestLogs(t *testing.T) {
	root := contracttest.Root(t, map[string]string{"var/log/nginx/access.log": "one\ntwo\nthree\n", "var/log/out@": "../../etc/secret",
		"etc/secret": "secret", "var/log/in@": "nginx/access.log", "var/log/fifo/": ""})
	for _, c := range []struct{ argv, code, message, text, file, now string }{
		{"read nginx/access.log", "ok", "14 bytes", "one\ntwo\nthree\n", "", ""},
		{"read /var/log/nginx/access.log --tail 2", "ok", "", "two\nthree\n", "", ""},
		{"read in --tail 1", "ok", "", "three\n", "", ""},
		{"read out", "conflict", "path escapes", "", "", ""},
		{"read ../../etc/secret", "invalid", "is no name below /var/log", "", "", ""},
		{"read /etc/secret", "invalid", "is no name below /var/log", "", "", ""},
		{"read none", "not_found", "there is no log /var/log/none", "", "", ""},
		{"read fifo", "conflict", "is no regular file", "", "", ""},
		{"read nginx/access.log --tail 0", "invalid", "from 1 to 10000", "", "", ""},
		{"rotate nginx/access.log", "ok", "is begun anew", "", "var/log/nginx/access.log.1", "one\ntwo\nthree\n"},
		{"empty nginx/access.log.1", "ok", "is empty; it had 14 bytes", "", "var/log/nginx/access.log.1", ""},
		{"empty out", "conflict", "path escapes", "", "etc/secret", "secret"},
		{"rotate out", "conflict", "path escapes", "", "etc/secret", "secret"},
	} {
		full := jem.Told{DiskUsed: 10 << 20, DiskLimit: 10 << 20} // logs are what makes room
		r := contracttest.Call(t, Module, root, contracttest.Options{Told: full}, strings.Fields(c.argv)...)
		if r.Code != c.code || !strings.Contains(r.Message, c.message) || r.Text != c.text || c.file != "" && contracttest.Text(root,
			c.file) != c.now {
			t.Errorf("%s: %s %q %q, %q", c.argv, r.Code, r.Message, r.Text, contracttest.Text(root, c.file))
		}
	}
	if r := contracttest.Call(t, Module, root, contracttest.Options{}, "list"); len(r.Items) != 2 ||
		r.Items[0]["name"] != "nginx/access.log" {
		t.Errorf("list: %+v", r.Items)
	}
	if r := contracttest.Call(t, Module, t.TempDir(), contracttest.Options{}, "list"); r.Code != "unavailable" {
		t.Errorf("without /var/log: %+v", r)
	}
}

func TestRotateKeeps(t *testing.T) {
	root := contracttest.Root(t, map[string]string{"var/log/a": "0"})
	for i := range 4 {
		if r := contracttest.Call(t, Module, root, contracttest.Options{}, "rotate", "a", "--keep", "2"); r.Code != "ok" {
			t.Fatal(r.Message)
		}
		os.WriteFile(filepath.Join(root, "var/log/a"), []byte{byte('1' + i)}, 0o644)
	}
	if list, _ := filepath.Glob(filepath.Join(root, "var/log/a*")); len(list) != 3 || contracttest.Text(root, "var/log/a.1") != "3" ||
		contracttest.Text(root, "var/log/a.2") != "2" {
		t.Errorf("%v", list)
	}
}

func TestLastLines(t *testing.T) {
	for _, c := range []struct {
		text string
		n    int
		want string
	}{{"", 3, ""}, {"a", 1, "a"}, {"a\nb", 1, "b"}, {"a\nb\n", 1, "b\n"}, {"a\nb\n", 2, "a\nb\n"}, {"a\nb\n", 9, "a\nb\n"}, {"\n\n", 1,
		"\n"}} {
		if got := string(lastLines([]byte(c.text), c.n)); got != c.want {
			t.Errorf("%q %d: %q", c.text, c.n, got)
		}
	}
}

func TestReadIsBounded(t *testing.T) {
	root := contracttest.Root(t, map[string]string{"var/log/a": strings.Repeat("line \xff of a log\n", 100000)})
	r := contracttest.Call(t, Module, root, contracttest.Options{}, "read", "a", "--tail", "10000")
	if r.Code != "ok" || len(r.Text) < 100<<10 || !strings.HasPrefix(r.Text, "line \uFFFD of") {
		t.Errorf("%s %d bytes %.30q", r.Code, len(r.Text), r.Text)
	}
}
