//go:build qemu

package templates

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"hardnode.dev/internal/backup"
	"hardnode.dev/internal/backup/sealed"
	"hardnode.dev/internal/disk/btrfs"
	"hardnode.dev/internal/disk/btrfs/stream"
	wirebackup "hardnode.dev/internal/wire/backup"
)

// onBtrfs is a directory on a btrfs of its own.
func onBtrfs(t *testing.T) *os.File {
	t.Helper()
	image, at := filepath.Join(t.TempDir(), "disk"), t.TempDir()
	err := os.WriteFile(image, nil, 0o600)
	if err == nil {
		err = os.Truncate(image, 3<<30)
	}
	for _, args := range [][]string{{"mkfs.btrfs", "-q", image}, {"mount", "-o", "loop,compress=zstd:1", image, at}} {
		if err != nil {
			break
		}
		var out []byte
		if out, err = exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", args[0], err, out)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", at).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	dir, err := os.Open(at)
	if err = errors.Join(err, os.Chmod(at, 0o755), os.Chmod(filepath.Dir(at), 0o755)); err != nil { // boxes have ids of their own
		t.Fatal(err)
	}
	t.Cleanup(func() { dir.Close() })
	return dir
}

// bank are the rows of pgbench, which its transactions leave equal: accounts, tellers, branches and what was moved.
const bank = "select (select sum(abalance) from pgbench_accounts), (select sum(tbalance) from pgbench_tellers), " +
	"(select sum(bbalance) from pgbench_branches), (select coalesce(sum(delta), 0) from pgbench_history), " +
	"(select count(*) from pgbench_accounts)"

// TestDatabaseBackup: PostgreSQL is snapshot and backed up under pgbench, whole and then what has changed, and restored on another btrfs:
// all of it is sound, and its rows add up and are those of the snapshot.
func TestDatabaseBackup(t *testing.T) {
	if os.Getenv("HARDNODE_SOAK") == "" {
		t.Skip("HARDNODE_SOAK is not set: `make soak PKG=./qemu-tests/templates RUN=TestDatabaseBackup`")
	}
	if os.Getuid() != 0 {
		t.Skip("boxes have ids of their own: this needs root")
	}
	layouts := build(t, "postgresql")
	here, there := onBtrfs(t), onBtrfs(t)
	must := func(errs ...error) {
		t.Helper()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
	}
	must(btrfs.CreateSubvolume(here, "box"), btrfs.CreateSubvolume(there, "box"))
	b := newBoxAt(t, layouts, "postgresql", filepath.Join(here.Name(), "box"))
	secret := "REPLICATION_PASSWORD=secret"
	b.start(secret)
	sql := func(q string) []string { return []string{"psql", "-U", "postgres", "-Atqc", q} }
	b.want("on", sql("show data_checksums")...)
	b.must("pgbench", "-U", "postgres", "-q", "-i", "-s", "5", "postgres")

	place, err := backup.Open(t.TempDir(), nil)
	must(err)
	keyFile := filepath.Join(t.TempDir(), "key")
	recipient, err := backup.NewKey(keyFile)
	must(err)
	to, err := age.ParseX25519Recipient(recipient)
	must(err)
	keys, err := backup.Keys(keyFile)
	must(err)
	live, err := os.Open(b.root)
	must(err)
	defer live.Close()
	var last *os.File
	var chain []backup.Manifest
	take := func(id wirebackup.ID) {
		t.Helper()
		b.must(sql("checkpoint")...) // as JEM has it do
		began := time.Now()
		must(btrfs.Snapshot(live, here, string(id), true))
		took := time.Since(began)
		snap, err := os.Open(filepath.Join(here.Name(), string(id)))
		must(err)
		t.Cleanup(func() { snap.Close() })
		is, err := btrfs.SubvolumeIdentity(snap)
		must(err)
		head := wirebackup.Head{ID: id, Node: 100, Taken: began, Parts: []wirebackup.Part{{Is: is}}}
		if last != nil {
			head.Before, head.Parts[0].From = chain[len(chain)-1].ID, chain[len(chain)-1].Parts[0].Is
		}
		r, w := io.Pipe()
		go func() {
			s := (&sealed.Writer{To: to, Secret: []byte("secret"), Begin: func() error { return nil }}).Out(w)
			err := btrfs.Send(t.Context(), snap, last, s)
			if err == nil {
				err = s.Close()
			}
			w.CloseWithError(err)
		}()
		m, err := backup.Save(t.Context(), place, head, recipient, r, backup.Cut{})
		must(err)
		t.Logf("FIGURE snapshot %s in %s; backup of %d bytes in %s", id, took, m.Bytes, time.Since(began))
		chain, last = append(chain, m), snap
	}
	load := make(chan string, 1)
	go func() {
		out, err := b.says("pgbench", "-U", "postgres", "-c", "4", "-T", "30", "postgres")
		if err != nil {
			out += err.Error()
		}
		load <- out
	}()
	moved := func() {
		t.Helper()
		before := b.must(sql("select count(*) from pgbench_history")...)
		b.until("the load goes on", func() bool {
			now, err := b.says(sql("select count(*) from pgbench_history")...)
			return err == nil && now != before
		}, func() string { return "" })
	}
	moved()
	take("1")
	moved()
	take("2")
	moved()
	if text := <-load; !strings.Contains(text, "number of failed transactions: 0") {
		t.Errorf("the load: %s", text)
	} else {
		t.Logf("FIGURE load: %s", text)
	}
	t.Logf("rows where it was: %s", b.must(sql(bank)...))
	b.stop()

	into, err := os.Open(filepath.Join(there.Name(), "box"))
	must(err)
	defer into.Close()
	var at btrfs.Identity
	for _, m := range chain {
		must(backup.Verify(t.Context(), place, m, keys))
		plain, err := backup.Decrypt(t.Context(), place, m, keys)
		must(err)
		has := func(id uint32) bool { return int(id) >= b.ids && int(id) < b.ids+65536 }
		at, err = stream.Apply(t.Context(), plain, into, at, stream.Rules{Has: has})
		if err != nil {
			t.Fatalf("backup %s: %v", m.ID, err)
		}
	}
	must(btrfs.Snapshot(last, here, "again", false))
	var were []string
	for _, root := range []string{filepath.Join(here.Name(), "again"), into.Name()} { // what the snapshot holds, and what came of it
		r := &box{T: t, name: root, root: root, config: b.config, ids: b.ids, wire: b.wire, user: b.user}
		t.Cleanup(r.end)
		r.start(secret)
		r.want("500000", sql("select count(*) from pgbench_accounts")...)
		text := r.must(sql(bank)...)
		t.Logf("rows: %s", text)
		rows := strings.Split(text, "|")
		if len(rows) != 5 || rows[0] != rows[1] || rows[1] != rows[2] || rows[2] != rows[3] || rows[0] == "" {
			t.Errorf("restored: the rows don't add up: %q", rows)
		}
		if out := r.must("pg_amcheck", "-U", "postgres", "--all", "--install-missing", "--heapallindexed"); out != "" {
			t.Errorf("pg_amcheck: %s", out)
		}
		r.stop()
		were = append(were, text)
	}
	if were[0] != were[1] {
		t.Errorf("the rows are others elsewhere: %q", were)
	}
}
