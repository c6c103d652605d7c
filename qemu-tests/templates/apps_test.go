//go:build qemu

package templates

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
)

// useBalancer: requests go to the node that UPSTREAM names, with who asked; without one the balancer says so and is well itself.
func useBalancer(t *testing.T, layouts, name string, none int) {
	b := newBox(t, layouts, name)
	b.put("/etc/resolv.conf", "nameserver 127.0.0.1\n", 0o644)
	b.put("/etc/hosts", "127.0.0.1 localhost\n", 0o644)
	b.start()
	b.page("http://127.0.0.1/hardnode-health", 200, "")
	b.page("http://127.0.0.1/", none, "")
	b.stop()

	var l net.Listener
	if err := b.wire.do(func() (err error) { l, err = net.Listen("tcp", "127.0.0.1:8080"); return err }); err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s for %s at %s", r.URL, r.Header.Get("X-Forwarded-For"), r.Host)
	})}
	go s.Serve(l)
	defer s.Close()
	b.start("UPSTREAM=127.0.0.1:8080")
	b.page("http://127.0.0.1/a%20b?c", 200, "/a%20b?c for 127.0.0.1 at 127.0.0.1")
	b.stop()
	b.start("UPSTREAM=a b; {")
	<-b.ended
	if b.cmd.ProcessState.Success() || !strings.Contains(b.log.String(), "want NAME or NAME:PORT") {
		t.Errorf("UPSTREAM that is none: ended with %s, saying %s", b.cmd.ProcessState, b.log)
	}
}

// usePHP: the sample, a site as JEM deploys it, its modules, sessions, an upload of some MiB; if FPM dies, so does the node.
func usePHP(t *testing.T, layouts string) {
	b := newBox(t, layouts, "php")
	b.start()
	b.page("http://127.0.0.1/hardnode-health", 200, "pool:")
	b.page("http://127.0.0.1/", 200, "PHP 8.2")
	b.put("/var/www/app/public/index.php", `<?php session_start(); $_SESSION["n"] = ($_SESSION["n"] ?? 0) + 1;
		echo $_SESSION["n"], " ", $_SERVER["REQUEST_URI"], " ", implode(",", array_filter(["mysqli", "pdo_pgsql", "mbstring", "dom", "openssl",
		"Zend OPcache"], "extension_loaded"));`, 0o644)
	b.put("/var/www/app/public/.secret", "x", 0o644)
	b.stop()
	if !b.cmd.ProcessState.Success() {
		t.Errorf("it ended with %s", b.cmd.ProcessState)
	}
	b.start()
	b.page("http://127.0.0.1/any/path?q=1", 200, "1 /any/path?q=1 mysqli,pdo_pgsql,mbstring,dom,openssl,Zend OPcache")
	b.page("http://127.0.0.1/.secret", 403, "")
	b.page("http://127.0.0.1/nothing.php", 404, "")
	b.must("nginx", "-t", "-q")
	b.must("php-fpm", "-t", "--fpm-config", "/etc/php/8.2/fpm/php-fpm.conf")
	b.must("sh", "-c", "kill -9 $(pgrep -o php-fpm || ps | awk '/php-fpm: master/ && !/awk/ {print $1; exit}')")
	<-b.ended
	if b.cmd.ProcessState.Success() {
		t.Error("FPM was killed, and the node ended as if all were well")
	}
}

// app runs the sample, then a program of one's own, and stops it.
func app(t *testing.T, layouts, name, sample, says string, files map[string]string) *box {
	b := newBox(t, layouts, name)
	b.start()
	b.page("http://127.0.0.1:8080/", 200, sample)
	b.stop()
	for name, content := range files {
		b.put("/var/www/app/"+name, content, 0o755)
	}
	b.start()
	b.page("http://127.0.0.1:8080/", 200, says)
	return b
}

// useNode: modules of both kinds, fetch, time zones and crypto work, and its heap may take three quarters of the memory that it sees.
func useNode(t *testing.T, layouts string) {
	b := app(t, layouts, "node", "Node.js v18", "inner esm 0cc175b9c0f1b6a831c399e269772661 z 1.234,5 true", map[string]string{"server.js": `const crypto = require("crypto"), zlib = require("zlib");
require("http").createServer(async (q, a) => {
	if (q.url == "/inner") return a.end("inner");
	const inner = await (await fetch("http://127.0.0.1:8080/inner")).text();
	const mod = await import("data:text/javascript,export default 'esm'");
	a.end([inner, mod.default, crypto.createHash("md5").update("a").digest("hex"), zlib.gunzipSync(zlib.gzipSync("z")),
		new Intl.NumberFormat("de").format(1234.5),
		Math.abs(require("v8").getHeapStatistics().heap_size_limit / require("os").totalmem() - 0.75) < 0.05].join(" "));
}).listen(process.env.PORT, "::");
process.on("SIGTERM", () => process.exit(0));
`})
	b.stop()
	if !b.cmd.ProcessState.Success() {
		t.Errorf("it ended with %s", b.cmd.ProcessState)
	}
}

// usePython: the standard library is whole, where it needs libraries too.
func usePython(t *testing.T, layouts string) {
	b := app(t, layouts, "python", "Python 3.11", "42 own True 1000", map[string]string{"lib/own.py": "name = 'own'\n", "app.py": `import ctypes, hashlib, http.server, json, lzma, os, signal, sqlite3, ssl, sys, uuid, zlib, bz2, own
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        n = sqlite3.connect(":memory:").execute("select 40 + 2").fetchone()[0]
        body = f"{n} {own.name} {len(ssl.create_default_context().get_ca_certs()) > 50} {os.getuid()}".encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers(); self.wfile.write(body)
os.environ.get("x")
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
http.server.ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Page).serve_forever()
`})
	b.stop()
}

// useGo: the toolchain builds a server in the node, and the node runs it.
func useGo(t *testing.T, layouts string) {
	b := newBox(t, layouts, "go")
	b.start()
	b.page("http://127.0.0.1:8080/", 200, "Go go1.19")
	b.put("/home/app/src/go.mod", "module own\n\ngo 1.19\n", 0o644)
	b.put("/home/app/src/main.go", `package main

import (
	"fmt"
	"net/http"
	"os"
)

func main() {
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "built here") })
	fmt.Println(http.ListenAndServe(":"+os.Getenv("PORT"), nil))
}
`, 0o644)
	b.must("sh", "-c", "cd /home/app/src && HOME=/home/app go vet . && HOME=/home/app go build -o /home/app/built .")
	b.saysAs("0:0", "sh", "-c", "mkdir -p /var/www/app && cp /home/app/built /var/www/app/app && chmod 755 /var/www/app /var/www/app/app")
	b.stop()
	b.start()
	b.page("http://127.0.0.1:8080/", 200, "built here")
	b.stop()
}

// useStorage: files go in and out by SFTP with a key, nothing else does, and nothing above the storage is seen.
func useStorage(t *testing.T, layouts string) {
	b := newBox(t, layouts, "storage")
	b.start()
	b.logged("Server listening")
	b.must("sh", "-c", "ssh-keygen -q -t ed25519 -N '' -f /tmp/key && mkdir -p /srv/storage/.ssh && "+
		"cp /tmp/key.pub /srv/storage/.ssh/authorized_keys && chown -R 1000:1000 /srv/storage/.ssh && chmod 700 /srv/storage/.ssh")
	ssh := "-oStrictHostKeyChecking=no -oUserKnownHostsFile=/tmp/known -oBatchMode=yes -i /tmp/key"
	sftp := func(commands string) (string, error) {
		return b.says("sh", "-c", "printf '"+commands+"' | sftp -b - "+ssh+" storage@127.0.0.1")
	}
	b.must("sh", "-c", "seq 100000 >/tmp/a")
	got, err := sftp("put /tmp/a a\\nmkdir d\\nrename a d/a\\nget d/a /tmp/b\\nls /\\n")
	if err != nil || !strings.Contains(got, "/storage") ||
		strings.Contains(got, "etc") {
		t.Errorf("got %q, %v", got, err)
	}
	b.must("sh", "-c", `test "$(sha256sum </tmp/a)" = "$(sha256sum </tmp/b)"`)
	if got, err := b.saysAs("33:33", "tail", "-n", "1", "/srv/storage/d/a"); err != nil || got != "100000" {
		t.Errorf("a web server of a node that mounts the storage reads %q, %v", got, err)
	}
	if got, err := b.says("sh", "-c", "ssh "+ssh+" storage@127.0.0.1 id"); err == nil && strings.Contains(got, "uid=") {
		t.Errorf("a shell was given: %q", got)
	}
	if got, err := b.says("sh", "-c", "ssh "+ssh+" root@127.0.0.1 id"); err == nil {
		t.Errorf("root was let in: %q", got)
	}
	fingerprint := b.must("ssh-keygen", "-l", "-f", "/etc/ssh/ssh_host_ed25519_key")
	b.stop()
	b.start()
	b.logged("Server listening")
	if got := b.must("ssh-keygen", "-l", "-f", "/etc/ssh/ssh_host_ed25519_key"); got != fingerprint {
		t.Errorf("after a restart its key is %s, it was %s", got, fingerprint)
	}
}

// useDebian: what can be seen of a full OS without booting it: its units are right, root gets in by key alone, and no key and no identity
// is in the image. Its boot is qemu-tests/system TestDebianTemplate.
func useDebian(t *testing.T, layouts string) {
	b := newBox(t, layouts, "debian")
	for _, f := range []string{"/etc/ssh/ssh_host_ed25519_key", "/var/lib/dbus/machine-id"} {
		if _, err := os.Lstat(b.root + f); err == nil {
			t.Errorf("%s is in the image", f)
		}
	}
	if raw, err := os.ReadFile(b.root + "/etc/machine-id"); err != nil || len(raw) > 0 {
		t.Errorf("machine-id: %q, %v", raw, err)
	}
	b.config.Entrypoint = []string{"sh", "-c", "ssh-keygen -A && mkdir -p /run/sshd && exec /usr/sbin/sshd -D -e"}
	b.config.Env, b.config.StopSignal = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, "SIGTERM"
	b.start()
	b.logged("Server listening")
	for unit, want := range map[string]string{"ssh.service": "enabled", "systemd-udevd.service": "masked"} {
		if got, _ := b.says("systemctl", "--root=/", "is-enabled", unit); got != want {
			t.Errorf("%s is %q, want %s", unit, got, want)
		}
	}
	b.must("sh", "-c", "ssh-keygen -q -t ed25519 -N '' -f /tmp/key && mkdir -p -m 700 /root/.ssh && "+
		"cp /tmp/key.pub /root/.ssh/authorized_keys")
	ssh := "ssh -oStrictHostKeyChecking=no -oUserKnownHostsFile=/tmp/known -oBatchMode=yes"
	b.want("0", "sh", "-c", ssh+" -oLogLevel=ERROR -i /tmp/key root@127.0.0.1 id -u")
	if got, err := b.says("sh", "-c", ssh+" root@127.0.0.1 id -u"); err == nil || !strings.Contains(got, "publickey") {
		t.Errorf("without the key: %q, %v", got, err)
	}
	b.signal(syscall.SIGTERM)
}

// useMariaDB: users by password, data that outlives stop and kill, and a replica that follows, also after it was away.
func useMariaDB(t *testing.T, layouts string) {
	b := newBox(t, layouts, "mariadb")
	secret := `REPLICATION_PASSWORD=it's \ secret`
	b.start(secret)
	sql := func(q string) []string { return []string{"mariadb", "-Ne", q} }
	b.want("1", sql("select 1")...)
	b.must(sql("create database d; create table d.t (n int) engine innodb; insert into d.t values (1), (2), (39)")...)
	b.must(sql("create user app identified by 'p w'; grant select on d.* to app")...)
	over := func(password string) (string, error) {
		return b.says("env", "MYSQL_PWD="+password, "mariadb", "-h", "127.0.0.1", "-u", "app", "-Ne", "select sum(n) from d.t")
	}
	if got, err := over("p w"); err != nil || got != "42" {
		t.Errorf("by TCP: got %q, %v", got, err)
	}
	if got, err := over("wrong"); err == nil {
		t.Errorf("with a wrong password: got %q", got)
	}
	b.stop()
	b.logged("Shutdown complete")
	b.start(secret)
	b.want("42", sql("select sum(n) from d.t")...)
	b.must(sql("insert into d.t values (8)")...)
	b.cmd.Process.Kill()
	<-b.ended
	b.start(secret)
	b.want("50", sql("select sum(n) from d.t")...)

	r := newBox(t, layouts, "mariadb")
	if err := r.wire.join(b.wire, "10.9.0.2/24", "10.9.0.1/24"); err != nil {
		t.Fatal(err)
	}
	own := []string{secret, "REPLICA_OF=10.9.0.1", "SERVER_ID=2"}
	r.start(own...)
	r.want("50", sql("select sum(n) from d.t")...)
	b.must(sql("insert into d.t values (50)")...)
	r.want("100", sql("select sum(n) from d.t")...)
	got, err := r.says("env", "MYSQL_PWD=p w", "mariadb", "-h", "127.0.0.1", "-u", "app", "-Ne", "insert into d.t values (1)")
	if err == nil {
		t.Errorf("a write to the replica: got %q", got)
	}
	r.stop()
	b.must(sql("insert into d.t values (100)")...)
	r.start(own...)
	r.want("200", sql("select sum(n) from d.t")...)
}
