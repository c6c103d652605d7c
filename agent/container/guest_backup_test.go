//go:build guest

package container_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hardnode.dev/agent/backup"
	store "hardnode.dev/internal/backup"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire"
	wirebackup "hardnode.dev/internal/wire/backup"
	"hardnode.dev/internal/wire/host"
	wiresnapshot "hardnode.dev/internal/wire/snapshot"
)

// backups is a rig whose containers are backed up to a directory.
type backups struct {
	*rig
	k         *backup.Keeper
	place     store.Place
	keys      []store.Key
	recipient string
}

func newBackups(t *testing.T) *backups {
	t.Helper()
	g := newRig(t)
	dir := t.TempDir()
	recipient, err := store.NewKey(filepath.Join(dir, "key"))
	must(t, err)
	keys, err := store.Keys(filepath.Join(dir, "key"))
	must(t, err)
	place, err := store.Open(dir, nil)
	must(t, err)
	k := &backup.Keeper{Runtime: g.r, Snapshots: g.a, Data: t.TempDir(), Log: logging.New(io.Discard, "test", slog.LevelInfo)}
	return &backups{g, k, place, keys, recipient}
}

// create backs a container up, going on from the last backup, and reads it back.
func (b *backups) create(id wire.CTID, last *store.Manifest) store.Manifest {
	b.Helper()
	want := wirebackup.Create{Recipient: b.recipient, Compress: true}
	if last != nil {
		want.Base, want.Had = last.ID, last.Parts
	}
	var out bytes.Buffer
	must(b.T, b.k.Send(deadline(b.T), id, want, &out))
	line, err := out.ReadBytes('\n')
	must(b.T, err)
	var head wirebackup.Head
	must(b.T, json.Unmarshal(line, &head))
	m, err := store.Save(deadline(b.T), b.place, head, b.recipient, &out, store.Cut{})
	must(b.T, err)
	must(b.T, store.Verify(deadline(b.T), b.place, m, b.keys))
	return m
}

// plain is what a host takes back.
func (b *backups) plain(chain ...store.Manifest) []byte {
	b.Helper()
	var out bytes.Buffer
	for _, m := range chain {
		line, err := json.Marshal(m.Head)
		must(b.T, err)
		out.Write(append(line, '\n'))
		r, err := store.Decrypt(deadline(b.T), b.place, m, b.keys)
		must(b.T, err)
		_, err = io.Copy(&out, r)
		must(b.T, err)
	}
	return out.Bytes()
}

func (b *backups) take(id wire.CTID, n int, raw []byte) (got wirebackup.Taken, err error) {
	b.Helper()
	var out bytes.Buffer
	if err := b.k.Take(deadline(b.T), id, wirebackup.Take{Backups: n}, bytes.NewReader(raw), &out); err != nil {
		return got, err
	}
	must(b.T, json.Unmarshal(out.Bytes(), &got))
	return got, nil
}

// TestBackup: a backup, and what has changed since, is read back and found sound, and makes another container, which never saw the first
// one, what that was; its quota counts what came; what does not fit or was cut is refused, and leaves nothing.
func TestBackup(t *testing.T) {
	b := newBackups(t)
	b.start(b.box(521, 1, 64*mib))
	const sums = "cd / && sha256sum top srv/* | sort"
	b.sh(521, "echo own > /top; echo first > /srv/file; head -c 20000000 /dev/urandom > /srv/big; ln -s /etc/passwd /srv/link; "+
		"mkdir /srv/d; chown 33:33 /srv/d; echo x > /srv/d/x; chmod 4755 /srv/d/x")
	one := b.create(521, nil)
	b.sh(521, "echo second > /srv/file; rm /srv/d/x; mv /srv/big /srv/large; sync")
	two := b.create(521, &one)
	if one.Before != "" || two.Before != one.ID || one.Bytes < 20e6 || two.Bytes > 1<<20 || len(two.Parts) != 2 {
		t.Errorf("backups of %d and %d bytes; the second goes on from %q: %+v", one.Bytes, two.Bytes, two.Before, two.Parts)
	}
	want := b.sh(521, sums+"; stat -c '%n %u:%g %a' /srv/d; readlink /srv/link")

	b.start(b.box(522, 1, 64*mib))
	b.sh(522, "echo another > /srv/other")
	raw := b.plain(one, two)
	got, err := b.take(522, 2, raw)
	must(t, err)
	if len(got.Notes) != 0 {
		t.Errorf("notes: %q", got.Notes)
	}
	out := b.ask(522, wiresnapshot.Ask{Action: wiresnapshot.Restore, ID: wiresnapshot.ID(got.Snapshot)})
	b.start(b.box(522, 1, 64*mib))
	b.says(522, sums+"; stat -c '%n %u:%g %a' /srv/d; readlink /srv/link", want)
	b.says(522, "ls /srv/other 2>/dev/null | wc -l", "0")
	if text := b.sh(522, "dd if=/dev/zero of=/srv/more bs=1M count=60 conv=fsync 2>&1; rm /srv/more"); !strings.Contains(text, "quota") {
		t.Errorf("60 MiB beside the 20 of a backup, of 64: %q", text)
	}
	if len(out.Snapshots) != 2 || !slices.Equal(b.was, []bool{true}) {
		t.Errorf("snapshots: %+v; it is said to be a backup: %v", out.Snapshots, b.was)
	}
	// what was restored is backed up and goes on as any other
	three := b.create(522, nil)
	b.sh(522, "echo third > /srv/file")
	if four := b.create(522, &three); four.Before != three.ID || four.Bytes > 1<<20 {
		t.Errorf("%d bytes that go on from %q", four.Bytes, four.Before)
	}

	// the base is gone: all is sent
	b.ask(521, wiresnapshot.Ask{Action: wiresnapshot.Delete, ID: wiresnapshot.ID(two.ID)})
	if five := b.create(521, &two); five.Before != "" || five.Bytes < 20e6 {
		t.Errorf("without its base: %d bytes that go on from %q", five.Bytes, five.Before)
	}

	b.start(b.box(523, 1, 8*mib))
	bare := b.box(524, 1, 64*mib)
	bare.Volumes = []host.Volume{}
	b.start(bare)
	turned := b.plain(two, one)
	for name, c := range map[string]struct {
		id   wire.CTID
		n    int
		raw  []byte
		want string
	}{
		"too large":        {523, 2, raw, "than the 8 MiB that the node has for it"},
		"cut":              {522, 2, raw[:len(raw)-100], "ends in the middle"},
		"one is missing":   {522, 3, raw, "a backup's head"},
		"in another order": {522, 2, turned, "goes on from"},
		"nothing":          {522, 1, nil, "a backup's head"},
		"no such volume":   {524, 2, raw, `has no volume "data"`},
		"no container":     {599, 2, raw, "has no data"},
	} {
		if got, err := b.take(c.id, c.n, c.raw); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %+v, %v, want %q", name, got, err, c.want)
		}
		if _, err := os.Lstat("/data/snap/" + c.id.String() + "/coming"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: something is left: %v", name, err)
		}
	}
	if err := b.k.Send(deadline(t), 521, wirebackup.Create{Recipient: "age1x"}, io.Discard); err == nil {
		t.Error("a recipient that is none is taken")
	}
	if err := b.k.Send(deadline(t), 521, wirebackup.Create{Recipient: b.recipient, Snapshot: "1"}, io.Discard); err == nil ||
		!strings.Contains(err.Error(), "no such snapshot") {
		t.Errorf("of no snapshot: %v", err)
	}
}
