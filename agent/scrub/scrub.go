// Package scrub looks after DATA: it reads all that lies there once a month and compares checksums, gives block groups back that are
// almost empty before metadata finds no room, and takes quota groups away that nothing counts in any more.
//
// Owns: DATA/scrub.json; when a scrub or a balance goes on, a small part at a time.
// In: the mounted btrfs; somebody's wish for a scrub now.
// Out: how far it is; a problem when blocks are lost, or metadata is nearly full.
// Never: changes what files hold, or works on DATA for longer than it rests.
package scrub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/internal/disk/btrfs"
	"hardnode.dev/internal/keep"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/scrub"
)

// Keeper looks after DATA. Its methods may be called at once.
type Keeper struct {
	data string
	log  *slog.Logger
	wake chan struct{}
	mu   struct {
		sync.Mutex
		kept   kept
		seen   seen
		failed string
		moved  int
		moving bool      // a balance is under way
		at     time.Time // of the last balance
		rest   time.Time // no balance before
	}

	swept time.Time // when quota groups were looked at last; of Run alone
}

// New makes one for the btrfs that is mounted at data.
func New(data string, log *slog.Logger) *Keeper {
	return &Keeper{data: data, log: logging.Or(log), wake: make(chan struct{}, 1)}
}

func (k *Keeper) doc() keep.Doc[kept] {
	return keep.Doc[kept]{Path: filepath.Join(k.data, "scrub.json"), Version: 1}
}

// idle is how often it is looked whether there is something to do.
const idle = 15 * time.Second

// Run looks after DATA until ctx ends.
func (k *Keeper) Run(ctx context.Context) error {
	known, found, err := k.doc().Load()
	if err != nil {
		k.log.Warn("what is known of scrubs can't be read; it begins anew", logging.Err, err)
	}
	if !found || known.Since.IsZero() {
		known.Since = time.Now().UTC()
		if err := k.doc().Save(known); err != nil {
			k.log.Warn("when the next scrub begins is not remembered", logging.Err, err)
		}
	}
	k.mu.Lock()
	known.Wanted = known.Wanted || k.mu.kept.Wanted
	k.mu.kept = known
	k.mu.Unlock()
	last := ""
	for {
		wait, err := k.step(time.Now())
		text := ""
		if err != nil {
			text, wait = err.Error(), idle
		}
		k.mu.Lock()
		k.mu.failed = text
		k.mu.Unlock()
		if text != last && text != "" {
			k.log.Warn("look after DATA", logging.Err, err)
		}
		last = text
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-k.wake:
			t.Stop()
		case <-ctx.Done():
			t.Stop()
			return nil
		}
	}
}

// step does one small part of what there is to do, and says how long to rest.
func (k *Keeper) step(now time.Time) (rest time.Duration, err error) {
	dir, s, err := k.look()
	if err != nil {
		return idle, err
	}
	defer dir.Close()
	if now.Sub(k.swept) >= sweep {
		k.swept = now
		if _, err = btrfs.DropGroups(dir); err != nil {
			return idle, err
		}
	}
	k.mu.Lock()
	known, balance := k.mu.kept, s.short() && !now.Before(k.mu.rest)
	k.mu.Unlock()
	switch {
	case balance:
		return k.balance(dir, now)
	case known.underWay():
		return k.part(dir, s, known, now)
	case known.Wanted || !now.Before(known.next()):
		known = kept{Began: now.UTC(), Ended: known.Ended, Since: known.Since}
		k.log.Info("scrub begins", "bytes", s.data.Used+s.metadata.Used)
		return 0, k.remember(known)
	}
	return idle, nil
}

// look sees how DATA is now. It asks no disk.
func (k *Keeper) look() (dir *os.File, s seen, err error) {
	if dir, err = os.Open(k.data); err != nil {
		return nil, s, err
	}
	if s.devices, err = btrfs.Devices(dir); err == nil {
		s.data, s.metadata, err = btrfs.Spaces(dir)
	}
	if err != nil {
		dir.Close()
		return nil, s, err
	}
	k.mu.Lock()
	k.mu.seen = s
	k.mu.Unlock()
	return dir, s, nil
}

// Closed is why nothing new is to be made on DATA now; nil: it may.
func (k *Keeper) Closed() error {
	dir, s, err := k.look()
	if err != nil {
		return nil // others say so
	}
	dir.Close()
	if words := s.closed(); words != "" {
		return fmt.Errorf("this host takes no new containers: %s", words)
	}
	return nil
}

// Refuses is what Closed says, at the last look and without its first words; "": nothing is refused.
func (k *Keeper) Refuses() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.mu.seen.closed()
}

// closed says why nothing new is made on DATA; "": it may.
func (s seen) closed() string {
	words, closed := s.lacks()
	if !closed {
		return ""
	}
	return "on its DATA, " + words + "; " + remedy
}

// remedy is what makes room.
const remedy = "delete snapshots, nodes or many small files there, or give the host a bigger disk"

// balance gives one block group back.
func (k *Keeper) balance(dir *os.File, now time.Time) (rest time.Duration, err error) {
	moving := func(is bool) {
		k.mu.Lock()
		k.mu.moving = is
		k.mu.Unlock()
	}
	moving(true)
	moved, err := btrfs.Balance(dir, emptier)
	moving(false)
	if errors.Is(err, unix.EINPROGRESS) { // a disk is being filled
		return idle, nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if !moved || err != nil {
		k.mu.rest = now.Add(patience)
		return idle, err
	}
	k.mu.moved++
	k.mu.at = now.UTC()
	return time.Since(now), nil
}

// part scrubs the next part of a device.
func (k *Keeper) part(dir *os.File, s seen, known kept, now time.Time) (rest time.Duration, err error) {
	device, from, to, ok := known.part(s)
	if !ok {
		known.Ended = now.UTC()
		k.log.Info("scrub ended", "bytes", known.Bytes, "corrected", known.Corrected, "unreadable", known.Unreadable,
			logging.Took, known.Ended.Sub(known.Began))
		return idle, k.remember(known)
	}
	got, err := btrfs.Scrub(dir, device, from, to)
	if errors.Is(err, unix.EINPROGRESS) {
		return idle, nil
	}
	if err != nil {
		return idle, err
	}
	known.Device, known.At, known.Bytes = device, to, known.Bytes+got.Bytes
	known.Corrected, known.Unreadable = known.Corrected+got.Corrected, known.Unreadable+got.Unreadable
	if got.Corrected+got.Unreadable > 0 {
		k.log.Error("blocks are not what was written; the kernel's log names the files", "device", device, "corrected", got.Corrected,
			"unreadable", got.Unreadable)
	}
	rest = time.Since(now)
	if got.Bytes == 0 { // nothing lies there
		rest = 0
	}
	return rest, k.remember(known)
}

// remember keeps how far it is.
func (k *Keeper) remember(now kept) error {
	k.mu.Lock()
	k.mu.kept = now
	k.mu.Unlock()
	return k.doc().Save(now)
}

// Begin has a scrub begin now. One that is under way goes on.
func (k *Keeper) Begin() {
	k.mu.Lock()
	k.mu.kept.Wanted = !k.mu.kept.underWay()
	k.mu.Unlock()
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// Status is how far it is.
func (k *Keeper) Status() scrub.Status {
	k.mu.Lock()
	defer k.mu.Unlock()
	now, s := k.mu.kept, k.mu.seen
	out := scrub.Status{Began: now.Began, Next: now.next(), Bytes: now.Bytes, Corrected: now.Corrected, Unreadable: now.Unreadable,
		Failed: k.mu.failed, Data: scrub.Space(s.data), Metadata: scrub.Space(s.metadata), Free: s.free(), Moved: k.mu.moved,
		Moving: k.mu.moving, Balanced: k.mu.at}
	if now.underWay() {
		out.Percent = now.percent(s)
	} else if !now.Began.IsZero() {
		out.Ended, out.Percent = now.Ended, 100
	}
	return out
}

// object is that of the problems.
const object = "DATA disk"

// Problem is what DATA is not well in; nil when it is.
func (k *Keeper) Problem() *host.Problem {
	k.mu.Lock()
	words, closed := k.mu.seen.lacks()
	k.mu.Unlock()
	s := k.Status()
	switch {
	case s.Unreadable > 0:
		return &host.Problem{Code: "internal", Object: object,
			Reason: fmt.Sprintf("%d blocks are not what was written, and no copy is: the scrub of %s", s.Unreadable,
				s.Began.Format("2006-01-02")),
			Next: "hnctl host logs --unit kernel names the files; restore them, and replace the disk; then hnctl host disk scrub"}
	case words != "":
		if closed {
			words += "; new containers are refused"
		}
		return &host.Problem{Code: "exhausted", Object: object, Reason: words, Next: remedy}
	}
	return nil
}
