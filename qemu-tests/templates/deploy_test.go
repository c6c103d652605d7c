//go:build qemu

package templates

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"hardnode.dev/internal/wire/jem"
	"hardnode.dev/qemu-tests/harness"
)

// site is a web server that shows what JEM deploys, with git, which deploys from a repository.
var site = trial{name: "own nginx", own: &own{packages: "nginx-light,git"}, ready: listens(80), first: `set -e; mkdir -p /srv/mine
	cd /srv/mine; git init -q -b main; echo one > index.html; git add .; git -c user.name=a -c user.email=a@b commit -q -m one
	chown -R www-data: /srv/mine; exec nginx -g "daemon off;"`}

const siteConf = `events {}
http {
	access_log off;
	keepalive_requests 1000000;
	server { listen 80; root /var/www/shop; }
}
`

// TestDeployUnderLoad: while wrk asks without a pause, releases of a git repository fail in their post hook, then there is a good one, and
// the one before it again: each request is answered well, and after each failure the release before is shown.
func TestDeployUnderLoad(t *testing.T) {
	if os.Getenv("HARDNODE_SOAK") == "" {
		t.Skip("HARDNODE_SOAK is not set: `make soak PKG=./qemu-tests/templates RUN=TestDeployUnderLoad` does it")
	}
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	b := ownBox(t, cached(t, root), site)
	b.putJEM(buildJEM(t, root))
	b.put("/etc/nginx/nginx.conf", siteConf, 0o644)
	b.config.Entrypoint, b.config.Env, b.user = []string{"/bin/sh", "-c", site.first}, []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, "0:0"
	b.start()
	b.want("", "/bin/sh", "-c", site.ready)
	w := within{box: b, trial: site}
	deploys := func(args, code, shows string) {
		t.Helper()
		if r := w.call(call{args: "deploy " + args}); r.Code != code {
			t.Errorf("deploy %s: %s %q %q, want %s", args, r.Code, r.Message, r.Said, code)
		}
		b.page("http://127.0.0.1/", 200, shows)
	}
	// without --reload, which files need not: while nginx reloads, a client may ask by a connection that is just being closed
	const shop = "git shop file:///srv/mine --check http://127.0.0.1/"
	deploys(shop, jem.CodeOK, "one")

	stop := b.wrk("http://127.0.0.1/")
	commit := func(text string) {
		t.Helper()
		if out, err := b.saysAs("33:33", "/bin/sh", "-c", "cd /srv/mine && echo "+text+" > index.html && "+
			"git -c user.name=a -c user.email=a@b commit -qam "+text); err != nil {
			t.Fatal(err, out)
		}
	}
	for i := range 3 {
		b.put("/etc/jem/hooks/deploy-git.post", "#!/bin/sh\necho no >&2; exit 1\n", 0o755)
		commit(fmt.Sprintf("bad%d", i))
		deploys(shop, "unavailable", "one")
	}
	b.put("/etc/jem/hooks/deploy-git.post", "#!/bin/sh\n", 0o755)
	commit("two")
	deploys(shop, jem.CodeOK, "two")
	deploys("undo shop", jem.CodeOK, "one")
	stop()
}

var wrkCount = regexp.MustCompile(`(?m)^\s*(\d+) requests in `)

// wrk asks for a page in the box's network without a pause; stop ends that, and wants every request to have been answered well.
func (b *box) wrk(url string) (stop func()) {
	b.Helper()
	var out bytes.Buffer
	cmd := exec.CommandContext(b.Context(), "wrk", "-t1", "-c4", "-d1h", url)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := b.wire.do(cmd.Start); err != nil {
		b.Fatalf("start wrk: %v: make deps", err)
	}
	began := time.Now()
	return func() {
		b.Helper()
		cmd.Process.Signal(syscall.SIGINT)
		err := cmd.Wait()
		count := wrkCount.FindStringSubmatch(out.String())
		if err != nil || count == nil || count[1] == "0" || strings.Contains(out.String(), "Non-2xx") ||
			strings.Contains(out.String(), "Socket errors") {
			b.Fatalf("wrk: %v\n%s", err, &out)
		}
		b.Logf("FIGURE deployments under wrk: %s requests in %.1f s, none failed", count[1], time.Since(began).Seconds())
	}
}
