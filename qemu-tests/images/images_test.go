//go:build qemu

package images

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/qemu-tests/cluster"
	"hardnode.dev/qemu-tests/harness"
)

const path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// brought are the images, and what they must show. Nothing in them knows of Hardnode: no label, no setting of ours.
var brought = []struct {
	image
	ready string // in the log once it serves
	write string // a shell command in the container: changes its data
	read  string // prints what was written
	want  string
	ended string // in the log after a stop by its own signal
	http  bool   // serves /visit, and says its limits at /
}{{
	image: image{name: "postgres", packages: []string{"postgresql-15", "util-linux"}, file: "postgres.sh", at: "/usr/local/bin/start",
		without: "*/lib*/*[lL][lL][vV][mM]*", // its compiler of queries
		run:     "rm -rf /var/lib/postgresql/15 /etc/postgresql/15; mkdir -p /var/lib/postgresql/data",
		config: v1.Config{Entrypoint: []string{"start"},
			Env: []string{"PATH=/usr/local/bin:/usr/lib/postgresql/15/bin:/usr/sbin:/usr/bin:/sbin:/bin",
				"PGDATA=/var/lib/postgresql/data"},
			Volumes: map[string]struct{}{"/var/lib/postgresql/data": {}}, ExposedPorts: map[string]struct{}{"5432/tcp": {}},
			StopSignal: "SIGINT"}},
	ready: "database system is ready to accept connections",
	write: `psql -U postgres -h 127.0.0.1 -qc "create table t (n int); insert into t select generate_series(1, 1000)"`,
	read:  `psql -U postgres -h 127.0.0.1 -Atc "select count(*), sum(n) from t"`,
	want:  "1000|500500",
	ended: "database system is shut down",
}, {
	image: image{name: "mariadb", packages: []string{"mariadb-server-core", "mariadb-client-core"}, file: "mariadb.sh",
		at:  "/usr/local/bin/start",
		run: "id mysql >/dev/null 2>&1 || useradd --system --home-dir /nonexistent --shell /bin/false mysql; mkdir -p /var/lib/mysql",
		config: v1.Config{Cmd: []string{"start"}, Env: []string{path}, Volumes: map[string]struct{}{"/var/lib/mysql": {}},
			ExposedPorts: map[string]struct{}{"3306/tcp": {}}}},
	ready: "ready for connections",
	write: `mariadb -e "create database d; create table d.t (n int); insert into d.t values (1), (2), (39)"`,
	read:  `mariadb -Ne "select sum(n) from d.t"`,
	want:  "42",
	ended: "Shutdown complete",
}, {
	image: image{name: "node", packages: []string{"nodejs"}, file: "app.js", at: "/srv/app.js", run: "true",
		config: v1.Config{Entrypoint: []string{"node"}, Cmd: []string{"app.js"}, WorkingDir: "/srv",
			Env:     []string{path, "NODE_ENV=production"},
			Volumes: map[string]struct{}{"/data": {}}, ExposedPorts: map[string]struct{}{"8080/tcp": {}}}},
	ready: "ready, node v18", ended: "ended in order", http: true,
}, {
	image: image{name: "python", packages: []string{"python3-minimal", "python3"}, file: "app.py", at: "/srv/app.py",
		run: "useradd --create-home --uid 1000 app; mkdir /data; chown app:app /data",
		config: v1.Config{Entrypoint: []string{"python3", "/srv/app.py"}, User: "app", Env: []string{path}, StopSignal: "SIGINT",
			Volumes: map[string]struct{}{"/data": {}}, ExposedPorts: map[string]struct{}{"8080/tcp": {}}}},
	ready: "as 1000", ended: "ended in order", http: true,
}}

// trial is one image on the cluster.
type trial struct {
	*testing.T
	*cluster.Cluster
}

// TestImagesNobodyHereMade takes each image through its life.
func TestImagesNobodyHereMade(t *testing.T) {
	if os.Getenv("HARDNODE_SOAK") == "" {
		t.Skip("HARDNODE_SOAK is not set: these images are hundreds of MB; `make soak PKG=./qemu-tests/images` runs this")
	}
	c, err := cluster.Start(t.Context(), cluster.Options{Dir: harness.Dir(t), Hosts: 1, Bare: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := c.WaitRegistry(t.Context(), 3*time.Minute*harness.Scale()); err != nil {
		t.Fatal(err)
	}
	for _, b := range brought {
		t.Run(b.name, func(t *testing.T) {
			s := trial{t, c}
			dir, err := b.build(c.Root)
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			s.hnctl("template", "push", dir, "--name", b.name)
			s.figure("%s: imported after %.0f s", b.name, time.Since(began).Seconds())
			began = time.Now()
			http := ""
			if b.http {
				http = "    http: 8080\n"
			}
			file := t.TempDir() + "/env.yaml"
			doc := fmt.Sprintf("version: 1\nname: %s\nlayers:\n  - name: cp\n    template: %s\n    nodes: 1\n"+
				"    cloudlets: {reserved: 2, dynamic: 4}\n%s", b.name, b.name, http)
			if err := os.WriteFile(file, []byte(doc), 0o600); err != nil {
				t.Fatal(err)
			}
			s.hnctl("env", "create", "-f", file)
			node := s.node(b.name)
			s.says(node, b.ready, 1)
			s.figure("%s: serves after %.0f s", b.name, time.Since(began).Seconds())

			read := func() string { return strings.TrimSpace(s.sh(node, b.read)) }
			if b.http {
				read = func() string { return fmt.Sprint(s.visits(b.name, "/").Visits) }
				s.visits(b.name, "/visit")
				v := s.visits(b.name, "/visit")
				if b.want = fmt.Sprint(v.Visits); v.Limit != 4*128<<20 {
					t.Errorf("it sees a limit of %d bytes, want 4 cloudlets: %d", v.Limit, 4*128<<20)
				}
				s.figure("%s: sees %d CPUs", b.name, v.CPUs)
			} else {
				s.sh(node, b.write)
			}
			if got := read(); got != b.want {
				t.Errorf("read %q, want %q", got, b.want)
			}

			s.hnctl("env", "stop", b.name)
			s.says(node, b.ended, 1)
			s.hnctl("env", "start", b.name)
			node = s.node(b.name)
			s.says(node, b.ready, 2)
			if got := read(); got != b.want {
				t.Errorf("after stop and start: read %q, want %q", got, b.want)
			}

			s.sh(node, "kill -"+signal(b.config)+" 1")
			s.until("a restart is counted", func() bool { n := s.node(b.name); return n.Restarts > 0 && n.State == "running" })
			s.says(node, b.ready, 3)
			if got := read(); got != b.want {
				t.Errorf("after a restart: read %q, want %q", got, b.want)
			}
			s.figure("%s: %d MiB in use", b.name, s.node(b.name).MemoryMiB)
			s.hnctl("env", "delete", b.name, "--now", "--yes")
		})
	}
}

// signal is what ends the image's program in order, by name.
func signal(c v1.Config) string {
	if c.StopSignal == "" {
		return "TERM"
	}
	return strings.TrimPrefix(c.StopSignal, "SIG")
}

// figure tells a measured value.
func (s trial) figure(format string, args ...any) {
	fmt.Fprintf(s.Output(), "figure: "+format+"\n", args...)
}

// hnctl runs hnctl and fails the test when it fails.
func (s trial) hnctl(args ...string) string {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), time.Hour)
	defer cancel()
	out, err := s.HNCTL(ctx, args...)
	if err != nil {
		s.Fatal(err)
	}
	return string(out)
}

func (s trial) sh(n operator.Node, command string) string {
	s.Helper()
	return s.hnctl("node", "exec", n.CTID.String(), "--", "sh", "-c", command)
}

// node is the environment's only node, once it runs.
func (s trial) node(env string) operator.Node {
	s.Helper()
	e, err := s.WaitEnv(s.Context(), env, 3*time.Minute*harness.Scale(), func(e operator.Environment) bool {
		return len(e.Nodes) == 1 && e.Nodes[0].State == "running"
	})
	if err != nil {
		s.Fatal(err)
	}
	return e.Nodes[0]
}

// until waits for what, and says so when it does not come.
func (s trial) until(what string, is func() bool) {
	s.Helper()
	for end := time.Now().Add(3 * time.Minute * harness.Scale()); !is(); {
		if time.Now().After(end) {
			s.Fatalf("waited for: %s", what)
		}
		select {
		case <-time.After(time.Second):
		case <-s.Context().Done():
			s.Fatalf("waited for: %s", what)
		}
	}
}

// says waits until the node's log holds text, at least so many times.
func (s trial) says(n operator.Node, text string, times int) {
	s.Helper()
	var log string
	defer func() {
		if s.Failed() {
			s.Logf("its log:\n%s", log)
		}
	}()
	s.until(fmt.Sprintf("%q in the log of node %s, %d times", text, n.CTID, times), func() bool {
		var err error
		if log, err = s.Logs(s.Context(), n.CTID.String()); err != nil {
			s.Fatal(err)
		}
		return strings.Count(log, text) >= times
	})
}

// answer is what the programs of testdata answer.
type answer struct {
	Visits, CPUs int
	Limit        int64
}

// visits fetches a page through the resolver.
func (s trial) visits(env, at string) (a answer) {
	s.Helper()
	s.until("the resolver serves "+env, func() bool {
		p, err := s.FetchPage(s.Context(), env, at)
		return err == nil && p.Status == 200 && json.Unmarshal([]byte(p.Body), &a) == nil
	})
	return a
}
