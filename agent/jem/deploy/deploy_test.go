package deploy

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hardnode.dev/agent/jem/contract/contracttest"
	"hardnode.dev/agent/jem/users"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/jem"
)

func tarOf(files ...string) string {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		name, text, _ := strings.Cut(f, "=")
		w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text)), Typeflag: tar.TypeReg})
		w.Write([]byte(text))
	}
	w.Close()
	return b.String()
}

// site is a container's root in which the owner of releases is whoever runs the test, and hooks can be reached.
func site(t *testing.T, files map[string]string) string {
	t.Helper()
	all := map[string]string{"etc/passwd": "root:x:0:0::/root:/bin/sh\nwww-data:x:0:0::/var/www:/bin/sh\n", "bin/sh@": "/bin/sh",
		"var/www/": ""}
	for n, text := range files {
		all[n] = text
	}
	root := contracttest.Root(t, all)
	contracttest.Reached(root)
	return root
}

var clock = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

// deploy calls an action a second later than the one before.
func deploy(t *testing.T, root, in string, argv ...string) jem.Reply {
	t.Helper()
	clock = clock.Add(time.Second)
	return contracttest.Call(t, Module, root, contracttest.Options{In: in, Now: clock}, argv...)
}

func TestDeploy(t *testing.T) {
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/bad" {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	defer web.Close()
	fetched := tarOf("index.html=fetched")
	sum := sha256.Sum256([]byte(fetched))
	root := site(t, map[string]string{"etc/passwd": "root:x:0:0::/root:/bin/sh\nwww-data:x:0:0::/var/www:/bin/sh\nann:x:0:0::/:/bin/sh\n",
		"var/www/taken/x": "", "var/www/alien@": "/etc", "usr/sbin/nginx": "#!",
		"app.tar": fetched,
		"usr/bin/curl": "#!/bin/sh\nread -r line\ncase \"$*$line\" in\n*-K*/app.tar*) cat $(dirname $0)/../../app.tar;;\n" +
			"*) echo 'curl: (22) 500' >&2; exit 22;;\nesac\n"})
	for _, c := range []struct{ argv, in, code, message, shown string }{
		{"archive shop", tarOf("index.html=one"), "ok", "is shown", "one"},
		{"archive shop --strip 1", tarOf("app/index.html=two"), "ok", "is shown", "two"},
		{"archive shop", tarOf("../x=evil"), "invalid", "taken back", "two"},
		{"archive shop", "", "invalid", "no archive is sent along", "two"},
		{"archive shop --url " + web.URL + "/app.tar?token=secret", "", "ok", "is shown", "fetched"},
		{"archive shop --url " + web.URL + "/app.tar --sha256 " + hex.EncodeToString(sum[:]), "", "ok", "is shown", "fetched"},
		{"archive shop --url " + web.URL + "/app.tar --sha256 " + strings.Repeat("0", 64), "", "invalid", "the archive's sha256 is",
			"fetched"},
		{"archive shop --url " + web.URL + "/bad", "", "unavailable", "fetch " + web.URL + "/bad: curl ended with exit status 22",
			"fetched"},
		{"archive shop --url file:///etc/passwd", "", "invalid", "want http", "fetched"},
		{"archive shop --build BUILD", tarOf("x=1"), "ok", "is shown", "built"},
		{"archive shop --build exit_3", tarOf("index.html=x"), "unavailable", "build: sh ended with exit status", "built"},
		{"archive shop --check " + web.URL + "/", tarOf("index.html=checked"), "ok", "is shown", "checked"},
		{"archive shop --check " + web.URL + "/bad", tarOf("index.html=bad"), "unavailable",
			"the answer is 500, for 300ms; what was done is taken back",
			"checked"},
		{"archive shop --reload haproxy", tarOf("index.html=x"), "unavailable", "no haproxy", "checked"},
		{"archive shop --reload x", tarOf("index.html=x"), "invalid", "not known", "checked"},
		{"archive shop --reload nginx", tarOf("index.html=x"), "internal", "what was done is taken back", "checked"},
		{"archive shop --keep 0", tarOf("index.html=x"), "invalid", "from 1 to 50", "checked"},
		{"archive shop --owner eve", tarOf("index.html=x"), "not_found", `no user "eve"`, "checked"},
		{"archive ../x", tarOf("index.html=x"), "invalid", "context", "checked"},
		{"archive taken", tarOf("index.html=x"), "conflict", "/var/www/taken is a directory", "checked"},
		{"archive alien", tarOf("index.html=x"), "conflict", "a link of somebody else", "checked"},
		{"undo shop", "", "ok", "is shown", "built"},
		{"undo shop --to 20000101T000000", "", "not_found", "no release", "built"},
		{"undo other", "", "not_found", "no release of other", "built"},
		{"list shop", "", "ok", "5 releases", "built"},
		{"prune shop --keep 1", "", "ok", "2 releases are kept, 3 are gone", "built"},
		{"remove other", "", "not_found", "there is no application", "built"},
		{"remove shop", "", "ok", "shop is gone", ""},
	} {
		answersWithin = time.Minute
		if c.code != "ok" {
			answersWithin = 300 * time.Millisecond
		}
		argv := strings.Fields(c.argv)
		for i, a := range argv {
			argv[i] = map[string]string{"BUILD": "echo built > index.html; echo said", "exit_3": "echo no >&2; exit 3"}[a]
			if argv[i] == "" {
				argv[i] = a
			}
		}
		if os.Geteuid() == 0 && strings.HasPrefix(c.argv, "archive shop --owner") {
			if r := deploy(t, root, c.in, "archive", "shop", "--owner", "ann"); r.Code != "denied" {
				t.Errorf("an owner that is root: %+v", r)
			}
		}
		r := deploy(t, root, c.in, argv...)
		shown := strings.TrimSpace(contracttest.Text(root, "var/www/shop/index.html"))
		if r.Code != c.code || !strings.Contains(r.Message, c.message) || shown != c.shown || strings.Contains(r.Message, "secret") {
			t.Errorf("%s: %s %q, shows %q, want %q", c.argv, r.Code, r.Message, shown, c.shown)
		}
	}
	if list, _ := filepath.Glob(filepath.Join(root, "var/www/.jem/*/*")); list != nil {
		t.Errorf("left behind: %v", list)
	}
}

// TestPostHook: the version before serves when the hook after the switch fails; who reads meanwhile always gets one whole version.
func TestPostHook(t *testing.T) {
	root := site(t,
		map[string]string{"etc/jem/hooks/deploy.post": "#!/bin/sh\necho $JEM_CONTEXT in $(pwd)\ngrep -q good \"$JEM_LINK/index.html\"\n"})
	if r := deploy(t, root, tarOf("index.html=good 0", "version=good 0"), "archive", "shop"); r.Code != "ok" {
		t.Fatal(r.Message, r.Said)
	}
	var stop atomic.Bool
	failed := make(chan int)
	reads := 0
	go func() {
		bad := 0
		for !stop.Load() {
			if b, err := os.ReadFile(filepath.Join(root, "var/www/shop/index.html")); err != nil || len(b) < 4 {
				bad++
			}
			reads++
		}
		failed <- bad
	}()
	for i := range 4 {
		text := []string{"evil", "good"}[i%2]
		r := deploy(t, root, tarOf("index.html="+text), "archive", "shop", "--keep", []string{"1", "2"}[i/2])
		if text == "evil" && (r.Code != "unavailable" || !strings.Contains(r.Message,
			"hook /etc/jem/hooks/deploy.post: deploy.post ended with exit status 1") ||
			!strings.HasPrefix(r.Said, "shop in "+root)) || text == "good" && r.Code != "ok" {
			t.Errorf("%s: %+v", text, r)
		}
		if got := contracttest.Text(root, "var/www/shop/index.html"); !strings.HasPrefix(got, "good") {
			t.Errorf("shows %q", got)
		}
	}
	stop.Store(true)
	if bad := <-failed; bad > 0 {
		t.Errorf("%d of %d reads failed", bad, reads)
	}
	if list, _ := filepath.Glob(filepath.Join(root, "var/www/.jem/shop/2*")); len(list) != 2 {
		t.Errorf("kept: %v", list)
	}
}

// TestCutOff: what a deployment left that was killed goes with the next one, and the record may be spoiled.
func TestCutOff(t *testing.T) {
	root := site(t, map[string]string{"var/www/.jem/shop/20260101T000000/x": "half"})
	if r := deploy(t, root, tarOf("index.html=one"), "archive", "shop"); r.Code != "ok" {
		t.Fatal(r.Message)
	}
	if contracttest.Text(root, "var/www/.jem/shop/20260101T000000/x") != "" {
		t.Error("the half is still there")
	}
	os.WriteFile(filepath.Join(root, "var/www/.jem/shop/releases.json"), []byte(`[{"id":"../../../etc"}]`), 0o644)
	if r := deploy(t, root, tarOf("index.html=two"), "archive", "shop"); r.Code != "ok" {
		t.Error(r.Message)
	}
	os.WriteFile(filepath.Join(root, "var/www/.jem/shop/releases.json"), []byte(`[`), 0o644)
	if r := deploy(t, root, tarOf("index.html=three"), "archive", "shop"); r.Code != "conflict" ||
		contracttest.Text(root, "var/www/shop/index.html") != "two" {
		t.Errorf("a spoiled record: %+v", r)
	}
}

// TestOwnPlace: whoever owns /var/www may put a link in the way of JEM, which is root: nothing is made or taken away where that leads.
func TestOwnPlace(t *testing.T) {
	for name, in := range map[string]map[string]string{
		"a link":                {"var/www/.jem@": "../../else"},
		"a link of its context": {"var/www/.jem/shop@": "../../../else"},
		"an absolute link":      {"var/www/.jem@": "/"},
		"a file":                {"var/www/.jem": "x"},
	} {
		root := site(t, map[string]string{"else/20260101T000000/x": "precious", "else/shop/20260101T000000/x": "precious"})
		for n, text := range in {
			contracttest.Write(t, root, n, text)
		}
		for _, argv := range [][]string{{"archive", "shop"}, {"prune", "shop"}, {"remove", "shop"}, {"undo", "shop"}, {"list", "shop"}} {
			in := ""
			if argv[0] == "archive" {
				in = tarOf("index.html=one")
			}
			r := deploy(t, root, in, argv...)
			if r.Code == "ok" || contracttest.Text(root, "else/20260101T000000/x")+contracttest.Text(root,
				"else/shop/20260101T000000/x") != "preciousprecious" {
				t.Errorf("%s: %v: %+v", name, argv, r)
			}
		}
		if list, _ := filepath.Glob(filepath.Join(root, "else/*")); len(list) != 2 {
			t.Errorf("%s: made %v", name, list)
		}
	}
	root := site(t, map[string]string{"var/www/.jem/": ""})
	if err := os.Chmod(filepath.Join(root, "var/www/.jem"), 0o777); err != nil {
		t.Fatal(err)
	}
	if r := deploy(t, root, tarOf("x=1"), "archive", "shop"); r.Code != "denied" || !strings.Contains(r.Message, "JEM's alone") {
		t.Errorf("a directory that others may write: %+v", r)
	}
}

// TestHangs: what builds, and a hook, that do not end are ended with their time, and the release before is shown.
func TestHangs(t *testing.T) {
	const hang = "#!/bin/sh\necho $$ > \"${JEM_LINK%/*}/pid\"\nsleep 1000 & wait\n"
	for name, c := range map[string]struct {
		hook string
		argv []string
	}{
		"a build":      {"", []string{"--build", "echo $$ > \"${JEM_LINK%/*}/pid\"; sleep 1000 & wait"}},
		"a build hook": {"etc/jem/hooks/deploy-archive.build", nil},
		"a post hook":  {"etc/jem/hooks/deploy.post", nil},
	} {
		root := site(t, nil)
		if r := deploy(t, root, tarOf("index.html=good"), "archive", "shop"); r.Code != "ok" {
			t.Fatal(r.Message)
		}
		os.Chmod(filepath.Join(root, "var/www"), 0o777)
		if c.hook != "" {
			contracttest.Write(t, root, c.hook, hang)
		}
		clock = clock.Add(time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { // its time is over once it hangs
			defer cancel()
			for ctx.Err() == nil && contracttest.Text(root, "var/www/pid") == "" {
				run.Wait(ctx, 10*time.Millisecond)
			}
		}()
		r := contracttest.Call(t, Module, root, contracttest.Options{In: tarOf("index.html=bad"), Now: clock, Until: ctx},
			append([]string{"archive", "shop"}, c.argv...)...)
		cancel()
		if r.Code == "ok" || !strings.Contains(r.Message, "did not end in time and was killed; what was done is taken back") ||
			contracttest.Text(root, "var/www/shop/index.html") != "good" {
			t.Errorf("%s: %+v", name, r)
		}
		pid := strings.TrimSpace(contracttest.Text(root, "var/www/pid"))
		if _, err := os.Stat("/proc/" + pid); pid == "" || err == nil {
			t.Errorf("%s: process %q: %v", name, pid, err)
		}
	}
}

// TestKeySweep: the key of a call that was killed goes with the next one.
func TestKeySweep(t *testing.T) {
	left := []string{"dev/shm/jem-key-1/key", "run/jem-key-2/key", "var/lib/hardnode/jem/jem-key-3/key"}
	root := site(t, map[string]string{left[0]: "secret", left[1]: "secret", left[2]: "secret", "run/other": "x"})
	if r := deploy(t, root, tarOf("index.html=one"), "archive", "shop"); r.Code != "ok" {
		t.Fatal(r.Message)
	}
	for _, l := range left {
		if contracttest.Text(root, l) != "" {
			t.Errorf("%s is still there", l)
		}
	}
	if contracttest.Text(root, "run/other") != "x" {
		t.Error("more than keys went")
	}
	dir, err := keyDir(root, users.User{UID: 65534, GID: 65534}, []byte("secret"))
	if err != nil || !strings.HasPrefix(dir, filepath.Join(root, "var/lib/hardnode/jem/jem-key-")) {
		t.Fatal(dir, err)
	}
	if st, err := os.Stat(filepath.Join(dir, "key")); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the key: %v %v", st, err)
	}
	if sweepKeys(root); contracttest.Text(dir, "key") != "" {
		t.Error("the key is still there")
	}
}

func TestGit(t *testing.T) {
	git, err := exec.LookPath("git")
	if err != nil {
		t.Skip("no git")
	}
	root := site(t, map[string]string{"usr/bin/git@": git})
	repo := t.TempDir()
	inRepo := func(args ...string) string {
		t.Helper()
		cmd := exec.Command(git, args...)
		cmd.Dir = repo
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@b", "GIT_COMMITTER_NAME=a",
			"GIT_COMMITTER_EMAIL=a@b")
		b, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, b)
		}
		return strings.TrimSpace(string(b))
	}
	inRepo("init", "-q", "-b", "main")
	os.WriteFile(filepath.Join(repo, "index.html"), []byte("main"), 0o644)
	inRepo("add", ".")
	inRepo("commit", "-q", "-m", "one")
	inRepo("checkout", "-q", "-b", "next")
	os.WriteFile(filepath.Join(repo, "index.html"), []byte("next"), 0o644)
	inRepo("commit", "-q", "-a", "-m", "two")
	next := inRepo("rev-parse", "HEAD")
	inRepo("checkout", "-q", "-b", "linked")
	os.Symlink("/etc/passwd", filepath.Join(repo, "passwd"))
	inRepo("add", ".")
	inRepo("commit", "-q", "-m", "three")
	inRepo("checkout", "-q", "-b", "inside", "next")
	os.Mkdir(filepath.Join(repo, "d"), 0o755)
	os.Symlink("../index.html", filepath.Join(repo, "d/index.html"))
	os.Symlink("nowhere", filepath.Join(repo, "d/dangling"))
	inRepo("add", ".")
	inRepo("commit", "-q", "-m", "four")
	own := t.TempDir() // a repository of the container's own, which nobody asked for
	inRepo("clone", "-q", repo, own)
	inRepo("checkout", "-q", "-b", "below", "next")
	inRepo("-c", "protocol.file.allow=always", "submodule", "add", "-q", "file://"+own, "own")
	inRepo("commit", "-q", "-m", "five")
	for _, c := range []struct{ argv, code, message, shown string }{
		{"git shop file://" + repo + " --branch main", "ok", "is shown", "main"},
		{"git shop file://" + repo + " --branch inside", "ok", "is shown", "next"},
		{"git shop file://" + repo + " --branch linked", "invalid", `"passwd": it links to "/etc/passwd", which is outside`, "next"},
		{"git shop file://" + repo + " --branch next", "ok", "is shown", "next"},
		{"git shop file://" + repo + " --branch below", "unavailable", "Failed to clone 'own'", "next"},
		{"git shop file://" + repo + " --branch none", "unavailable", "Remote branch none not found", "next"},
		{"git shop file://" + repo + "/none", "unavailable", "git ended with exit status 128", "next"},
		{"git shop file://" + repo + " --branch --upload-pack=x", "invalid", "is no name of a branch", "next"},
		{"git shop file://" + repo + " --branch a..b", "invalid", "is no name of a branch", "next"},
		{"git shop ext::sh", "invalid", "want https://", "next"},
		{"git shop ssh://-oProxyCommand=x/y", "invalid", "want https://", "next"},
		{"git shop " + repo, "invalid", "want https://", "next"},
		{"git shop git@example.com:a/b.git --key", "unavailable", "--key needs ssh", "next"},
	} {
		r := deploy(t, root, "", strings.Fields(c.argv)...)
		if got := contracttest.Text(root, "var/www/shop/index.html"); r.Code != c.code || !strings.Contains(r.Message, c.message) ||
			got != c.shown {
			t.Errorf("%s: %s %q %q, shows %q", c.argv, r.Code, r.Message, r.Said, got)
		}
	}
	if _, err := os.Stat(filepath.Join(root, "var/www/shop/.git")); err == nil {
		t.Error(".git is shown")
	}
	r := deploy(t, root, "", "list")
	if len(r.Items) != 3 || r.Items[2]["commit"] != next || r.Items[2]["shown"] != "yes" || r.Items[2]["source"] != "file://"+repo+" next" {
		t.Errorf("%+v", r.Items)
	}
}

func FuzzRepository(f *testing.F) {
	f.Add("https://example.com/a.git")
	f.Add("git@example.com:a/b")
	f.Fuzz(func(t *testing.T, text string) {
		if validRepository(text) == nil && (strings.HasPrefix(text, "-") || strings.Contains(text, "::") && !strings.Contains(text,
			"://")) {
			t.Errorf("%q is taken", text)
		}
	})
}
