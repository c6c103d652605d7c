//go:build guest

package container_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/backup"
	store "hardnode.dev/internal/backup"
	"hardnode.dev/internal/backup/sealed"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire"
	wirebackup "hardnode.dev/internal/wire/backup"
	wiresnapshot "hardnode.dev/internal/wire/snapshot"
)

// most is a writer that breaks behind so many bytes.
type most struct {
	w    io.Writer
	left int
}

var errCut = errors.New("the way is cut")

func (m *most) Write(b []byte) (int, error) {
	if len(b) > m.left {
		return 0, errCut
	}
	m.left -= len(b)
	return m.w.Write(b)
}

// send has a backup sent over a way that breaks behind so many bytes, saves what comes, and says how many bytes that were.
func (b *backups) send(id wire.CTID, want wirebackup.Create, breaks int, there store.Cut) (m store.Manifest, bytes int, err error) {
	b.Helper()
	r, w := io.Pipe()
	out := &most{w, breaks}
	go func() { w.CloseWithError(b.k.Send(deadline(b.T), id, want, out)) }()
	in := bufio.NewReader(r)
	line, err := in.ReadBytes('\n')
	if err == nil {
		var head wirebackup.Head
		must(b.T, json.Unmarshal(line, &head))
		m, err = store.Save(deadline(b.T), b.place, head, b.recipient, in, there)
	}
	r.CloseWithError(err)
	return m, breaks - out.left, err
}

// TestBackupCut: what is there of a backup that was cut is not sent again, over a new agent too; a host that lost its secret begins anew.
func TestBackupCut(t *testing.T) {
	if os.Getenv("HARDNODE_SOAK") == "" {
		t.Skip("HARDNODE_SOAK is not set: it takes most of a minute")
	}
	b := newBackups(t)
	b.start(b.box(525, 1, 64*mib))
	b.sh(525, "head -c 40000000 /dev/urandom > /srv/big; for i in $(seq 300); do echo $i > /srv/$i; done; sync")
	sums := b.sh(525, "cat /srv/* | sha256sum")
	if _, n, err := b.send(525, wirebackup.Create{Recipient: b.recipient}, 35e6, store.Cut{}); !errors.Is(err, errCut) {
		t.Fatalf("cut behind %d bytes: %v", n, err)
	}
	for _, step := range []string{"the next agent", "another secret"} {
		cuts, err := store.Cuts(deadline(t), b.place, 525)
		must(t, err)
		if len(cuts) != 1 {
			t.Fatalf("%s: cut are %+v", step, cuts)
		}
		there := cuts[0]
		must(t, there.Look(deadline(t), b.place))
		if r := there.Resume(); r == nil || r.Bytes != 2*sealed.Segment {
			t.Fatalf("%s: there is %+v", step, r)
		}
		k := &backup.Keeper{Runtime: b.r, Snapshots: b.a, Data: b.k.Data, Log: logging.Or(nil)}
		want := wirebackup.Create{Recipient: b.recipient, Snapshot: there.ID, Resume: there.Resume()}
		if step == "another secret" {
			k.Data = t.TempDir()
		}
		b.k = k
		breaks := 1 << 30
		if step == "the next agent" {
			breaks = 4e6 // it is cut again, in the third segment
		}
		m, n, err := b.send(525, want, breaks, there)
		switch step {
		case "the next agent":
			if !errors.Is(err, errCut) {
				t.Fatalf("%s: %d bytes, %v", step, n, err)
			}
			m, n, err = b.send(525, want, 1<<30, there)
			must(t, err, store.Verify(deadline(t), b.place, m, b.keys))
			if n > 10e6 || len(m.Chunks) != 3 {
				t.Errorf("behind 32 MiB of 40 MB, %d bytes came; %d chunks", n, len(m.Chunks))
			}
			b.start(b.box(526, 1, 64*mib))
			got, err := b.take(526, 1, b.plain(m))
			must(t, err)
			b.ask(526, wiresnapshot.Ask{Action: wiresnapshot.Restore, ID: wiresnapshot.ID(got.Snapshot)})
			b.start(b.box(526, 1, 64*mib))
			b.says(526, "cat /srv/* | sha256sum", sums)
			must(t, store.Delete(deadline(t), b.place, 525, m.ID))
			again := wirebackup.Create{Recipient: b.recipient, Snapshot: m.ID}
			if _, _, err := b.send(525, again, 35e6, store.Cut{}); !errors.Is(err, errCut) {
				t.Fatal(err)
			}
		default:
			must(t, err, store.Verify(deadline(t), b.place, m, b.keys))
			if n < 40e6 {
				t.Errorf("%s: only %d bytes came", step, n)
			}
		}
	}
}

// TestBackupTaker is no test, but what TestBackupHalf kills.
func TestBackupTaker(t *testing.T) {
	id, err := wire.ParseCTID(os.Getenv("HARDNODE_TAKE"))
	if err != nil {
		t.Skip("HARDNODE_TAKE is not set")
	}
	g := (&rig{T: t}).again()
	k := &backup.Keeper{Runtime: g.r, Snapshots: g.a, Data: t.TempDir(), Log: logging.Or(nil)}
	fmt.Println("ended:", k.Take(deadline(t), id, wirebackup.Take{Backups: 1}, os.Stdin, io.Discard))
}

// TestBackupHalf: where a backup is taken back, a full disk is said and an agent that is killed is followed by another one: nothing is left
// of what came, what was there is as it was, and the next try does it.
func TestBackupHalf(t *testing.T) {
	b := newBackups(t)
	b.start(b.box(527, 1, 64*mib))
	b.sh(527, "head -c 12000000 /dev/urandom > /srv/big; sync")
	raw := b.plain(b.create(527, nil))
	b.start(b.box(528, 1, 64*mib))
	b.sh(528, "echo mine > /srv/mine; sync")
	const coming = "/data/snap/528/coming"
	nothing := func(what string) {
		t.Helper()
		if _, err := os.Lstat(coming); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: something is left: %v", what, err)
		}
		if list := b.ask(528, wiresnapshot.Ask{Action: wiresnapshot.List}).Snapshots; len(list) != 0 {
			t.Errorf("%s: snapshots: %+v", what, list)
		}
		b.says(528, "cat /srv/mine", "mine")
	}

	fill, err := os.Create("/data/filler")
	must(t, err)
	at := int64(0)
	for _, step := range []int64{64 * mib, mib} {
		for {
			if err := unix.Fallocate(int(fill.Fd()), 0, at, step); errors.Is(err, unix.ENOSPC) {
				break
			} else {
				must(t, err)
			}
			at += step
		}
	}
	if got, err := b.take(528, 1, raw); err == nil || !strings.Contains(err.Error(), "the host's DATA is full") {
		t.Errorf("on a full disk: %+v, %v", got, err)
	}
	must(t, fill.Close(), os.Remove("/data/filler"))
	nothing("a full disk")

	taker := exec.Command("/proc/self/exe", "-test.run=^TestBackupTaker$", "-test.v")
	taker.Env = append(os.Environ(), "HARDNODE_TAKE=528")
	in, err := taker.StdinPipe()
	must(t, err)
	var said bytes.Buffer
	taker.Stdout, taker.Stderr = &said, &said
	must(t, taker.Start())
	if _, err := in.Write(raw[:8e6]); err != nil {
		taker.Wait()
		t.Fatalf("%v: %s", err, said.String())
	}
	if _, err := os.Lstat(coming + "/vol-data"); err != nil {
		t.Errorf("with half of it: %v", err)
	}
	must(t, taker.Process.Kill())
	taker.Wait()
	b.rig = b.again()
	b.k = &backup.Keeper{Runtime: b.r, Snapshots: b.a, Data: b.k.Data, Log: logging.Or(nil)}
	nothing("a killed agent")

	got, err := b.take(528, 1, raw)
	must(t, err)
	b.ask(528, wiresnapshot.Ask{Action: wiresnapshot.Restore, ID: wiresnapshot.ID(got.Snapshot)})
	b.start(b.box(528, 1, 64*mib))
	b.says(528, "ls -l /srv/big | awk '{print $5}'", "12000000")
}
