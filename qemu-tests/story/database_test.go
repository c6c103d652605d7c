//go:build qemu

package story

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/wire/snapshot"
	"hardnode.dev/qemu-tests/cluster"
	"hardnode.dev/qemu-tests/harness"
)

// bank are the sums of pgbench, which its transactions leave equal: accounts, tellers, branches and what was moved; and how many moves.
const bank = "select (select sum(abalance) from pgbench_accounts), (select sum(tbalance) from pgbench_tellers), " +
	"(select sum(bbalance) from pgbench_branches), (select coalesce(sum(delta), 0) from pgbench_history), " +
	"(select count(*) from pgbench_history)"

// TestDatabase: a PostgreSQL node on a real host has a snapshot taken and is backed up onto the other host under pgbench, whole and then
// what has changed, and is restored there as a new node and where it was: all of it is sound, and both have the same rows. Part of
// `make soak`.
func TestDatabase(t *testing.T) {
	if os.Getenv("HARDNODE_SOAK") == "" {
		t.Skip("HARDNODE_SOAK is not set: `make soak PKG=./qemu-tests/story RUN=TestDatabase`")
	}
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "make", "-C", root, "templates", "TEMPLATES=postgresql").CombinedOutput(); err != nil {
		t.Fatalf("make templates: %v\n%s", err, out)
	}
	c, err := cluster.Start(t.Context(), cluster.Options{Dir: harness.Dir(t), Hosts: 2, Bare: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := c.WaitRegistry(t.Context(), patience()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.PushTemplate(t.Context(), "postgresql"); err != nil {
		t.Fatal(err)
	}
	s := story{t, c}
	s.listed("postgresql")
	d := s.database("bank")
	if got := d.sql("show data_checksums"); got != "on" {
		s.Errorf("checksums of data are %q", got)
	}
	s.hnctl("node", "exec", "--user", "postgres", d.id, "--", "pgbench", "-q", "-i", "-s", "3", "postgres")

	keeper, key := s.other(d.host), filepath.Join(t.TempDir(), "key")
	recipient, place := strings.TrimSpace(s.hnctl("node", "backup", "key", key)), "host:"+keeper.Name
	stop := d.load()
	d.moves()
	first := d.snapshot()
	for range 2 {
		d.moves()
		began := time.Now()
		s.figure("%s", s.patiently("node", "backup", "create", d.id, place, "--recipient", recipient))
		s.figure("a backup under load took %.1f s", time.Since(began).Seconds())
	}
	d.moves()
	const said = "number of failed transactions: "
	text := stop()
	if n := strings.Count(text, said); n == 0 || n != strings.Count(text, said+"0 ") {
		s.Errorf("the load: %s", text)
	}
	s.figure("the load's last part:\n%s", text[max(strings.LastIndex(text, "pgbench ("), 0):])
	last := d.sound()
	s.patiently("node", "backup", "verify", place, d.id, "latest", "--key", key)

	s.hnctl("host", "cordon", d.host) // the new node shall be where the backup lies
	there := s.database("elsewhere")
	if there.host != keeper.Name {
		s.Fatalf("the new node is on %s, want %s", there.host, keeper.Name)
	}
	s.patiently("node", "backup", "restore", place, there.id, "latest", "--of", d.id, "--key", key)
	s.settled("elsewhere")
	s.hnctl("host", "uncordon", d.host)
	s.patiently("node", "backup", "restore", place, d.id, "latest", "--key", key)
	s.settled("bank")
	here, elsewhere := d.sound(), there.sound()
	if here != elsewhere || here == last {
		s.Errorf("of one backup there is %s on its own host and %s elsewhere; before that it was %s", here, elsewhere, last)
	}
	s.hnctl("node", "snapshot", "restore", d.id, string(first.ID))
	s.settled("bank")
	if was := d.sound(); was == here || was == last {
		s.Errorf("the snapshot has %s, the backup that came later %s", was, here)
	}
}

// database is a node with PostgreSQL.
type database struct {
	story
	id, host string
}

// database makes an environment of one PostgreSQL node, and waits until it answers.
func (s story) database(name string) database {
	s.Helper()
	s.hnctl("env", "create", "-f", s.file(name, 1, "template: nginx", "template: postgresql", "name: cp", "name: sqldb",
		"dynamic: 2}", "dynamic: 4}\n    diskMiB: 2048"))
	n := s.settled(name).Nodes[0]
	return database{s, n.CTID.String(), n.HostName}
}

// sql is what a query answers, once the server takes one.
func (d database) sql(query string) (answer string) {
	d.Helper()
	d.until("PostgreSQL answers", func() bool {
		out, err := d.HNCTL(d.Context(), "node", "exec", "--user", "postgres", d.id, "--", "psql", "-Atqc", query)
		answer = strings.TrimSpace(string(out))
		return err == nil
	})
	return answer
}

// load has four clients move money until it is stopped, and then returns what they say.
func (d database) load() (stop func() string) {
	d.Helper()
	ctx, cancel := context.WithTimeout(d.Context(), 20*patience())
	d.Cleanup(cancel)
	out, ended := &shown{}, make(chan error, 1)
	go func() {
		ended <- d.HNCTLTo(ctx, out, "node", "exec", "--user", "postgres", d.id, "--", "sh", "-c",
			"until [ -e /tmp/enough ]; do pgbench -n -c 4 -T 5 postgres || exit 1; done")
	}()
	return func() string {
		d.Helper()
		d.inside(d.id, "touch /tmp/enough")
		if err := <-ended; err != nil {
			d.Errorf("the load: %v", err)
		}
		return out.String()
	}
}

// moves waits until some more money was moved.
func (d database) moves() {
	d.Helper()
	const count = "select count(*) from pgbench_history"
	before := d.sql(count)
	d.until("money is moved", func() bool { return d.sql(count) != before })
}

// snapshot takes one; that its template's hook failed, or anything else that is noted, fails the test.
func (d database) snapshot() (taken snapshot.Snapshot) {
	d.Helper()
	ctx, cancel := context.WithTimeout(d.Context(), patience())
	defer cancel()
	before := d.sql("select checkpoints_req from pg_stat_bgwriter")
	out, err := d.Command(ctx, "node", "snapshot", "take", d.id).CombinedOutput()
	if err != nil || strings.Contains(string(out), "note:") {
		d.Fatalf("a snapshot under load: %v: %s", err, out)
	}
	d.figure("%s", out)
	d.until("its hook had PostgreSQL write all it held back", func() bool {
		return d.sql("select checkpoints_req from pg_stat_bgwriter") != before
	})
	var list []snapshot.Snapshot
	d.document(&list, "node", "snapshot", "list", d.id)
	return list[0]
}

// patiently runs what moves much.
func (s story) patiently(args ...string) string {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), 5*patience())
	defer cancel()
	out, err := s.HNCTL(ctx, args...)
	if err != nil {
		s.Fatal(err)
	}
	return string(out)
}

// sound checks every page and every row, and returns the sums.
func (d database) sound() string {
	d.Helper()
	text := d.sql(bank)
	rows := strings.Split(text, "|")
	if len(rows) != 5 || rows[0] != rows[1] || rows[1] != rows[2] || rows[2] != rows[3] || rows[0] == "" {
		d.Errorf("the sums of node %s are not equal: %q", d.id, rows)
	}
	if n := d.sql("select count(*) from pgbench_accounts"); n != "300000" {
		d.Errorf("node %s has %s accounts, want 300000", d.id, n)
	}
	if out := d.patiently("node", "exec", "--user", "postgres", d.id, "--", "pg_amcheck", "--all", "--install-missing",
		"--heapallindexed"); strings.TrimSpace(out) != "" {
		d.Errorf("pg_amcheck in node %s: %s", d.id, out)
	}
	d.figure("node %s: %s", d.id, text)
	return text
}
