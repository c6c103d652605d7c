// Package backup sends a container's snapshot as a backup, encrypted, and makes a snapshot of a chain of backups.
//
// Owns: what is sent of a snapshot, and whether all of it, what has changed, or what is left of one that was cut; where what comes is
// written before it is a snapshot.
// In: requests of internal/wire/backup; the streams of backups, which may be an attacker's.
// Out: a head and encrypted segments of streams; snapshots, whole or not there.
// Never: has a key that reads backups, keeps them, or touches what a container has now: a snapshot is restored as any other.
package backup

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"filippo.io/age"

	"hardnode.dev/agent/container"
	"hardnode.dev/agent/snapshot"
	"hardnode.dev/agent/snapshot/answer"
	"hardnode.dev/internal/backup/sealed"
	"hardnode.dev/internal/disk/btrfs"
	"hardnode.dev/internal/disk/btrfs/stream"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/backup"
	"hardnode.dev/internal/wire/neighbour"
	wiresnapshot "hardnode.dev/internal/wire/snapshot"
)

// Keeper does it. Its methods may be called at once.
type Keeper struct {
	Runtime   *container.Runtime
	Snapshots *answer.Answerer
	Data      string // the directory of DATA
	Log       *slog.Logger

	mu sync.Mutex // held while the secret is read or made
}

// Send writes a backup: its head as a line of JSON, then frames of internal/backup/sealed.
func (k *Keeper) Send(ctx context.Context, id wire.CTID, want backup.Create, out io.Writer) error {
	began := time.Now()
	to, err := age.ParseX25519Recipient(want.Recipient)
	if err != nil {
		return fmt.Errorf("recipient %q: %v", want.Recipient, err)
	}
	if want.Snapshot == "" {
		taken, err := k.Snapshots.Ask(ctx, id, wiresnapshot.Ask{Action: wiresnapshot.Take, Note: "for a backup"})
		if err != nil {
			return err
		}
		want.Snapshot = backup.ID(taken.Done)
	}
	store := k.Runtime.Snapshots()
	s, parts, done, err := store.Open(id, wiresnapshot.ID(want.Snapshot))
	if err != nil {
		return err
	}
	defer done()
	head := backup.Head{ID: want.Snapshot, Node: id, Taken: s.Taken, Note: s.Note, Image: s.Image, Compressed: want.Compress}
	base := map[string]*os.File{}
	if want.Base != "" && want.Base != want.Snapshot {
		_, before, done, err := store.Open(id, wiresnapshot.ID(want.Base))
		if err == nil {
			defer done()
			for _, p := range before {
				base[p.Volume] = p.Dir
			}
		}
	}
	for i, p := range parts {
		part := backup.Part{Volume: p.Volume}
		if part.Is, err = btrfs.SubvolumeIdentity(p.Dir); err != nil {
			return err
		}
		if part.From, err = goesOnFrom(base[p.Volume], want.Had, p.Volume); err != nil {
			return err
		}
		if part.From != (btrfs.Identity{}) {
			head.Before = want.Base
		} else {
			delete(base, parts[i].Volume)
		}
		head.Parts = append(head.Parts, part)
	}
	send := func(skip backup.Resume) error {
		w, err := k.sealed(head, to, skip, out)
		if err != nil {
			return err
		}
		for _, p := range parts {
			if err := btrfs.Send(ctx, p.Dir, base[p.Volume], w); err != nil {
				return err
			}
		}
		return w.Close()
	}
	if want.Resume == nil {
		err = send(backup.Resume{})
	} else if err = send(*want.Resume); errors.Is(err, sealed.ErrOther) {
		k.Log.Info("backup begins anew", logging.Container, id, "snapshot", head.ID, logging.Reason, err)
		err = send(backup.Resume{})
	}
	if err != nil {
		return err
	}
	k.Log.Info("backup sent", logging.Container, id, "snapshot", head.ID, "before", head.Before, logging.Took, time.Since(began))
	return nil
}

// sealed encrypts the streams of a backup, after its head.
func (k *Keeper) sealed(head backup.Head, to age.Recipient, skip backup.Resume, out io.Writer) (*sealed.Writer, error) {
	secret, err := k.secret()
	if err != nil {
		return nil, err
	}
	head.Resumed = skip.Bytes
	line, err := json.Marshal(head)
	if err != nil {
		return nil, err
	}
	w := &sealed.Writer{To: to, Secret: secret, Skip: skip.Bytes, Had: skip.Mark, Compress: head.Compressed, Begin: func() error {
		_, err := out.Write(append(line, '\n'))
		return err
	}}
	return w.Out(out), nil
}

// goesOnFrom is what a part's stream can go on from: what the last backup holds, if the host has that as it was; zero is nothing.
func goesOnFrom(base *os.File, had []backup.Part, volume string) (btrfs.Identity, error) {
	if base == nil {
		return btrfs.Identity{}, nil
	}
	is, err := btrfs.SubvolumeIdentity(base)
	if err != nil {
		return btrfs.Identity{}, err
	}
	for _, p := range had {
		if p.Volume == volume && p.Is == is {
			return is, nil
		}
	}
	return btrfs.Identity{}, nil
}

// Take makes a snapshot of a chain of backups.
func (k *Keeper) Take(ctx context.Context, id wire.CTID, want backup.Take, in io.Reader, out io.Writer) error {
	began := time.Now()
	var now container.Live
	if err := k.Runtime.Holding(ctx, id, func(h *container.Hold) (err error) {
		now, err = h.Live()
		return err
	}); err != nil {
		return err
	}
	coming, err := k.Runtime.Snapshots().Coming(id)
	if err != nil {
		return err
	}
	defer coming.Drop()
	r := receiver{now: now, coming: coming, in: bufio.NewReaderSize(in, 256<<10), parts: map[string]*part{}}
	defer r.close()
	for range want.Backups {
		if err := r.backup(ctx); err != nil {
			return err
		}
	}
	s := wiresnapshot.Snapshot{Taken: r.head.Taken, Note: r.note(), Image: r.head.Image, Backup: true}
	if r.layer {
		s.Generation = now.Generation
	}
	if s, err = r.finish(s); err != nil {
		return err
	}
	k.Log.Info("backups taken back", logging.Container, id, "snapshot", s.ID, "count", want.Backups, logging.Took, time.Since(began))
	return json.NewEncoder(out).Encode(backup.Taken{Snapshot: backup.ID(s.ID), Notes: r.notes})
}

// receiver is a Take under way.
type receiver struct {
	now    container.Live
	coming *snapshot.Coming
	in     *bufio.Reader
	head   backup.Head
	parts  map[string]*part
	layer  bool
	notes  []string
}

// part is one of the subvolumes that are being made.
type part struct {
	name string
	dir  *os.File
	is   btrfs.Identity
}

func (r *receiver) close() {
	for _, p := range r.parts {
		p.dir.Close()
	}
}

func (r *receiver) note() string {
	note := []byte("backup " + string(r.head.ID) + " of node " + r.head.Node.String())
	if r.head.Note != "" {
		note = append(note, ": "+r.head.Note...)
	}
	note = bytes.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return ' '
		}
		return c
	}, note)
	return string(note[:min(len(note), wiresnapshot.MaxNote)])
}

// backup takes one of the chain.
func (r *receiver) backup(ctx context.Context) error {
	before := r.head.ID
	line, err := r.in.ReadSlice('\n')
	if err != nil {
		return fmt.Errorf("a backup's head: %w", err)
	}
	r.head = backup.Head{}
	if err := neighbour.Decode(line, &r.head); err != nil {
		return fmt.Errorf("a backup's head: %v", err)
	}
	if err := r.head.Validate(); err != nil {
		return err
	}
	if r.head.Before != before {
		return fmt.Errorf("backup %s goes on from %q, and %q came before it", r.head.ID, r.head.Before, before)
	}
	for _, p := range r.head.Parts {
		if err := r.part(ctx, p); err != nil {
			return fmt.Errorf("backup %s of node %s: part %q: %w", r.head.ID, r.head.Node, p.Volume, err)
		}
	}
	return nil
}

// part takes one stream.
func (r *receiver) part(ctx context.Context, want backup.Part) (err error) {
	if want.Volume == "" && r.head.Image != r.now.Image {
		r.leave("the node's own files are left out: the backup's are of image " + string(r.head.Image) + ", and the node, if it runs, " +
			"is of another one")
		_, _, err := stream.Check(ctx, r.in)
		return err
	}
	live, ok := r.now.Parts[want.Volume]
	if !ok {
		return fmt.Errorf("the node has no volume %q: give its environment one first", want.Volume)
	}
	p := r.parts[want.Volume]
	if p != nil && want.From == (btrfs.Identity{}) { // it begins anew
		p.dir.Close()
		delete(r.parts, want.Volume)
		if err := r.coming.Remove(p.name); err != nil {
			return err
		}
		p = nil
	}
	if p == nil {
		p = &part{name: live.Name}
		if p.dir, err = r.coming.Make(live.Name, live.Limit); err != nil {
			return err
		}
		if live.NoCOW {
			if err := btrfs.SetNoCOW(p.dir); err != nil {
				return err
			}
		}
		r.parts[want.Volume] = p
	}
	is, err := stream.Apply(ctx, r.in, p.dir, p.is, stream.Rules{Has: r.now.Has})
	if err != nil {
		return explained(err, live.Limit)
	}
	if is != want.Is {
		return fmt.Errorf("holds %s instead of %s", is.UUID, want.Is.UUID)
	}
	p.is = is
	r.layer = r.layer || want.Volume == ""
	return nil
}
