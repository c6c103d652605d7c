//go:build qemu

package templates

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// trials are the templates and what a client does with each. Those that are not quick take hundreds of MB: make soak runs them too.
var trials = []struct {
	name  string
	quick bool
	use   func(t *testing.T, layouts string)
}{
	{"nginx", true, useNginx},
	{"redis", true, useRedis},
	{"postgresql", true, usePostgreSQL},
	{"nginx-bl", false, func(t *testing.T, layouts string) { useBalancer(t, layouts, "nginx-bl", 502) }},
	{"haproxy", false, func(t *testing.T, layouts string) { useBalancer(t, layouts, "haproxy", 503) }},
	{"php", false, usePHP},
	{"node", false, useNode},
	{"python", false, usePython},
	{"go", false, useGo},
	{"mariadb", false, useMariaDB},
	{"storage", false, useStorage},
	{"debian", false, useDebian},
}

// TestTemplates builds templates from Debian's packages and uses them.
func TestTemplates(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("boxes have ids of their own: this needs root")
	}
	soak := os.Getenv("HARDNODE_SOAK") != ""
	var names []string
	for _, c := range trials {
		if c.quick || soak {
			names = append(names, c.name)
		}
	}
	layouts := build(t, names...)
	for _, c := range trials {
		if !c.quick && !soak {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			var size struct {
				Version          string
				Unpacked, Packed int64
			}
			raw, err := os.ReadFile(filepath.Join(layouts, c.name+".json"))
			if err == nil {
				err = json.Unmarshal(raw, &size)
			}
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			c.use(t, layouts)
			t.Logf("FIGURE template %s: %s, %.1f MiB unpacked, %.1f MiB packed; used in %.1f s", c.name, size.Version,
				float64(size.Unpacked)/(1<<20), float64(size.Packed)/(1<<20), time.Since(began).Seconds())
		})
	}
}

// useNginx: the page, one that is not there, who answered; a site of one's own; a stop that finishes what is under way.
func useNginx(t *testing.T, layouts string) {
	b := newBox(t, layouts, "nginx")
	b.put("/var/www/html/big", strings.Repeat("x", 4<<20), 0o644)
	b.start()
	b.page("http://127.0.0.1/", 200, "box")
	b.page("http://[::1]/", 200, "box")
	b.page("http://127.0.0.1/nothing", 404, "")
	if _, head, _, err := b.get("http://127.0.0.1/"); err != nil || head.Get("X-Hardnode-Node") != "box" {
		t.Errorf("got %v, %v, want who answered", head, err)
	}
	b.put("/etc/nginx/conf.d/own.conf", "server { listen 81; location / { return 200 \"own site\"; } }\n", 0o644)
	b.must("nginx", "-t", "-q")
	b.signal(syscall.SIGHUP)
	b.page("http://127.0.0.1:81/", 200, "own site")
	if code, _, body, err := b.get("http://127.0.0.1/big"); err != nil || code != 200 || len(body) != 4<<20 {
		t.Errorf("got %d, %d bytes, %v", code, len(body), err)
	}
	b.stop()
	if !b.cmd.ProcessState.Success() {
		t.Errorf("it ended with %s", b.cmd.ProcessState)
	}
}

// useRedis: what is written is there after a stop and after a kill, without the password nothing is, and a replica follows.
func useRedis(t *testing.T, layouts string) {
	b := newBox(t, layouts, "redis")
	const password = `a "quoted' one`
	auth := "REDISCLI_AUTH=" + password
	b.start("REDIS_PASSWORD="+password, auth)
	cli := func(args ...string) []string { return append([]string{"redis-cli", "-h", "127.0.0.1"}, args...) }
	b.want("PONG", cli("ping")...)
	b.must("hardnode-redis", "check")
	b.must(cli("set", "a", "1")...)
	if got, _ := b.says(append([]string{"env", "-u", "REDISCLI_AUTH"}, cli("get", "a")...)...); !strings.Contains(got, "NOAUTH") {
		t.Errorf("without the password: got %q", got)
	}
	b.stop()
	b.start("REDIS_PASSWORD="+password, auth)
	b.want("1", cli("get", "a")...)
	b.must(cli("incr", "a")...)
	b.cmd.Process.Kill()
	<-b.ended
	b.start("REDIS_PASSWORD="+password, auth)
	b.want("2", cli("get", "a")...)

	r := newBox(t, layouts, "redis")
	if err := r.wire.join(b.wire, "10.9.0.2/24", "10.9.0.1/24"); err != nil {
		t.Fatal(err)
	}
	r.start("REDIS_PASSWORD="+password, auth, "REPLICA_OF=10.9.0.1")
	r.want("2", cli("get", "a")...)
	b.must(cli("set", "b", "3")...)
	r.want("3", cli("get", "b")...)
	if got, _ := r.says(cli("set", "b", "4")...); !strings.Contains(got, "READONLY") {
		t.Errorf("a write to the replica: got %q", got)
	}
	r.stop()
	b.must(cli("set", "c", "5")...)
	r.start("REDIS_PASSWORD="+password, auth, "REPLICA_OF=10.9.0.1:6379")
	r.want("5", cli("get", "c")...)
}

// usePostgreSQL: a database with checksums, users by password, data that outlives stop and kill, and a replica that follows, also after it
// was away, and takes over.
func usePostgreSQL(t *testing.T, layouts string) {
	b := newBox(t, layouts, "postgresql")
	secret := "REPLICATION_PASSWORD=it's secret"
	b.start(secret)
	sql := func(q string) []string { return []string{"psql", "-U", "postgres", "-Atqc", q} }
	b.want("on", sql("show data_checksums")...)
	b.must(sql("create table t (n int); insert into t select generate_series(1, 1000)")...)
	b.must(sql("create user app password 'p w'; grant select on t to app")...)
	over := func(password string) (string, error) {
		return b.says("env", "PGPASSWORD="+password, "psql", "-h", "127.0.0.1", "-U", "app", "-Atc", "select sum(n) from t", "postgres")
	}
	if got, err := over("p w"); err != nil || got != "500500" {
		t.Errorf("by TCP: got %q, %v", got, err)
	}
	if got, err := over("wrong"); err == nil {
		t.Errorf("with a wrong password: got %q", got)
	}
	b.stop()
	b.logged("database system is shut down")
	b.start(secret)
	b.want("500500", sql("select sum(n) from t")...)
	b.must(sql("insert into t values (500)")...)
	b.cmd.Process.Kill()
	<-b.ended
	b.start(secret)
	b.want("501000", sql("select sum(n) from t")...)

	r := newBox(t, layouts, "postgresql")
	if err := r.wire.join(b.wire, "10.9.0.2/24", "10.9.0.1/24"); err != nil {
		t.Fatal(err)
	}
	r.start(secret, "REPLICA_OF=10.9.0.1")
	r.want("501000", sql("select sum(n) from t")...)
	r.want("on", sql("show data_checksums")...)
	b.must(sql("insert into t values (1000)")...)
	r.want("502000", sql("select sum(n) from t")...)
	if got, err := r.says(sql("insert into t values (1)")...); err == nil || !strings.Contains(got, "read-only") {
		t.Errorf("a write to the replica: got %q, %v", got, err)
	}
	r.stop()
	b.must(sql("insert into t values (2000)")...)
	r.start(secret, "REPLICA_OF=10.9.0.1:5432")
	r.want("504000", sql("select sum(n) from t")...)
	b.stop()
	r.must(sql("select pg_promote()")...)
	r.must(sql("insert into t values (4000)")...)
	r.want("508000", sql("select sum(n) from t")...)
	r.must("pg_amcheck", "-U", "postgres", "--all", "--install-missing")
}
